"""The encoders of a run before tuning."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gobelin.core.files import file_name
from gobelin.data.fields import Field
from gobelin.embedding import schema
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.encoders import FitsFiles, FittedEncoder
from gobelin.embedding.features import Embedder
from gobelin.workbench.run.data import RunData


def stage_of(field: Field) -> str:
    """Name of the stage that holds the fitted encoder of a field."""
    return f"encoders/{file_name(field.name)}"


@dataclass(frozen=True, eq=False)
class RunEncoders:
    """One encoder for each field."""

    data: RunData

    @cached_property
    def embedder(self) -> Embedder:
        """The encoders, fitted on training cells or loaded from the run folder; none is tuned."""
        folder = self.data.folder
        encoders = {field.name: self._encoder(field) for field in self.data.schema.fields}
        cache = None if folder.saved else folder.folder / "cache"
        return Embedder(self.data.schema, encoders, cache, self.data.runtime.threads)

    def _encoder(self, field: Field) -> FittedEncoder:
        data, settings, runtime = self.data, self.data.settings, self.data.runtime
        component = schema.build_encoder(field.encoder, settings.choices)
        if data.folder.has(stage_of(field), data.key):
            return data.folder.loaded(stage_of(field), lambda at: component.load(at, runtime))
        if (base := kept_space.base_with_encoder(settings.align, field)) is not None:
            return base.loaded(stage_of(field), lambda at: component.load(at, runtime))
        rows = data.rows
        cells = rows.dataset.rows(rows.part("train")).cells(field)
        kinds = {c: rows.schema.kind(c) for c in field.columns}
        if isinstance(component, FitsFiles):
            return component.fit_files(cells, field, kinds, runtime, rows.dataset.root)
        return component.fit(cells, field, kinds, runtime)

    def save(self) -> None:
        """Write each encoder as a stage of the run folder."""
        for field in self.data.schema.fields:
            encoder = self.embedder.encoders[field.name]
            with self.data.folder.making(stage_of(field), self.data.key) as temporary:
                if temporary is not None:
                    encoder.save(temporary)
