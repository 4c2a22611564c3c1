"""The encoders of a run before tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from gobelin.core.config import resolved
from gobelin.core.files import file_name, read_json, write_json
from gobelin.core.progress import step
from gobelin.core.stages import right_values
from gobelin.data.fields import Field
from gobelin.embedding import lexicon
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.columns import schema
from gobelin.embedding.encoders import FittedEncoder, TrainingCells
from gobelin.embedding.features import Embedder
from gobelin.embedding.fitting import fit_encoder
from gobelin.embedding.late_encoders import EncoderFacts, LoadedLate
from gobelin.embedding.lexicon import Lexicon
from gobelin.workbench.run.data import RunData
from gobelin.workbench.save import disclosure

WORDS = "words"  # folder in the stage of an encoder of texts
FACTS = "facts.json"  # in the stage of every encoder: its width and fingerprint


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
        folder, fields = self.data.folder, self.data.schema.fields
        named = {field.name: field for field in fields}
        encoders: Mapping[str, FittedEncoder] = LoadedLate(
            list(named),
            lambda name: self._encoder(named[name]),
            lambda name: self._facts(named[name]),
        )
        if not all(folder.has(stage_of(field), self.data.key) for field in fields):
            encoders = dict(encoders)  # they are fitted, all of them, in the order of the fields
        cache = None if folder.saved else folder.folder / "cache"
        threads = self.data.runtime.threads
        return Embedder(self.data.schema, encoders, cache, threads, self._lexicons)

    @cached_property
    def _lexicons(self) -> Mapping[str, Lexicon]:
        """The words of the fields of texts, fitted on training cells or loaded from the run
        folder; none for an encoder that keeps words itself."""
        found: dict[str, Lexicon] = {}
        for field in self.data.schema.fields:
            if not lexicon.wanted(field):
                continue
            stage = self.data.folder.folder / stage_of(field)
            if self.data.folder.has(stage_of(field), self.data.key):
                if (stage / WORDS).is_dir():  # a run of before has none
                    found[field.name] = self.data.folder.loaded(
                        stage_of(field), lambda at: Lexicon.load(at / WORDS)
                    )
                continue
            if (made := Lexicon.fit(self._cells(field))) is not None:
                found[field.name] = made
        return found

    def _cells(self, field: Field) -> TrainingCells:
        """The training cells of a field."""
        rows = self.data.rows
        train = rows.part("train")
        return TrainingCells(
            rows.dataset.rows(train).cells(field),
            [rows.groups[k] for k in train],
            self.data.settings.data.least_groups,
            rows.dataset.root,
        )

    def _facts(self, field: Field) -> EncoderFacts | None:
        """What the stage of an encoder says of it; None where it says nothing."""
        stage = self.data.folder.folder / stage_of(field)
        if not (stage / FACTS).is_file():
            return None
        with right_values(stage):
            return EncoderFacts.from_json(read_json(stage / FACTS))

    def _encoder(self, field: Field) -> FittedEncoder:
        data, settings = self.data, self.data.settings
        component = schema.build_encoder(field.encoder, settings.choices)
        runtime = data.runtime  # after the component, which may have loaded torch
        if data.folder.has(stage_of(field), data.key):
            return data.folder.loaded(stage_of(field), lambda at: component.load(at, runtime))
        data.take_over({"encoders": settings.encoders, "align": resolved(settings.align)})
        if (base := kept_space.base_with_encoder(settings.align, field)) is not None:
            return base.loaded(stage_of(field), lambda at: component.load(at, runtime))
        kinds = {c: data.rows.schema.kind(c) for c in field.columns}
        with step(f"fit the encoder of {field.name}"):
            return fit_encoder(component, self._cells(field), field, kinds, runtime)

    def save(self) -> None:
        """Write each encoder as a stage of the run folder."""
        for field in self.data.schema.fields:
            encoder = self.embedder.encoders[field.name]
            with self.data.folder.making(stage_of(field), self.data.key) as temporary:
                if temporary is not None:
                    encoder.save(temporary)
                    if field.name in self.embedder.lexicons:
                        self.embedder.lexicons[field.name].save(temporary / WORDS)
                    disclosure.mark(temporary, self._least_groups(field))
                    facts = EncoderFacts(encoder.width, encoder.fingerprint())
                    write_json(temporary / FACTS, asdict(facts))

    def _least_groups(self, field: Field) -> int | None:
        """How many groups have each value that this field's encoder keeps."""
        settings = self.data.settings
        base = kept_space.base_with_encoder(settings.align, field)
        return settings.data.least_groups if base is None else disclosure.least_groups(base)
