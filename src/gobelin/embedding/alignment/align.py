"""The shared space of all fields: its settings, and a fitted space.

`fitting` learns one from training rows, in these steps:

1. Closed form (`closed_form`). Regularised canonical correlations of all fields together, on the
   features and again on random waves of them, and of every two fields alone. Each is a part of
   unit length (`projection`), so a cosine is a fixed mixture of the parts' cosines.
2. Bridges of class names (`bridges`). An image gets a second vector: the softmax-weighted mean of
   the class names' text vectors.
3. Contrastive training (`contrastive_training`). A linear map of each field's vectors. It is kept
   only if, with the bridges or without, it retrieves held-back training rows better than the closed
   form with the bridges (`fitting.better`). Then it is repeated on all training rows.

A row serves those pairs of fields that it has. Rows of one group are right answers for each other.

What this cannot show: that two fields describe the same thing. The space holds what they share,
chance included. Recall on rows that were not trained on (`recall`) says how much that is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.files import (
    fingerprint,
    load_arrays,
    made_anew,
    read_json,
    save_arrays,
    write_json,
)
from gobelin.core.softmax import softmax
from gobelin.embedding.alignment.correlation import FEATURE_ROWS_AT_ONCE
from gobelin.embedding.alignment.projection import FieldMap, unit, vectors, width_of, width_read
from gobelin.embedding.features import Embeddings

CLOSED_FORM, CONTRASTIVE = "closed form", "contrastive"  # how a space was fitted


@dataclass(frozen=True)
class Shared:
    """N rows in the shared space.

    vectors: float32 [N, F, D], of unit length where present, else zero. present: bool [N, F].
    ids: N row names. fingerprint: of the alignment that made them; vectors of two alignments can't
    be compared."""

    fields: tuple[str, ...]
    vectors: np.ndarray
    present: np.ndarray
    ids: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.present)

    def pooled(self) -> np.ndarray:
        """float32 [N, D]: the mean of a row's present vectors, of unit length (zero for a row with
        no field)."""
        return unit(self.vectors.sum(1))

    def of(self, field: str) -> np.ndarray:
        """float32 [N, D]: the vectors of one field."""
        return self.vectors[:, self.fields.index(field)]

    def has(self, field: str) -> np.ndarray:
        """bool [N]: where this field is present."""
        return self.present[:, self.fields.index(field)]


@settings_class
class Align:
    """Settings of the shared space."""

    width: int = setting(default=512, ge=1, le=8192, description="Dimension D of the shared space.")
    components: int = setting(
        default=400, ge=1, le=8192, description="Principal components used of each field."
    )
    landmarks: int = setting(
        default=600,
        ge=0,
        le=65536,
        description="Random waves of each field, which see bends. 0 fits linear maps only.",
    )
    joint: int = setting(
        default=256, ge=1, le=8192, description="Dimensions of the part that all fields share."
    )
    pairs: int = setting(
        default=128,
        ge=0,
        le=8192,
        description="Dimensions of the part of each pair of fields. Fewer if there are many pairs.",
    )
    shrinkage: float = setting(
        default=1.0,
        ge=0,
        le=1e6,
        description="Ridge added to the variance of a component, relative to the mean variance.",
    )
    power: float = setting(
        default=0.5,
        ge=0,
        le=8,
        description="Trust in correlations: 1 trusts the strong ones more, 0 trusts all alike.",
    )
    sharpness: float = setting(
        default=1.5,
        ge=1e-3,
        le=1e3,
        description="Factor on the class logits of an encoder that names classes.",
    )
    steps: int = setting(
        default=300, ge=0, le=10_000_000, description="Steps of the contrastive training."
    )
    batch: int = setting(
        default=512, ge=2, le=10_000_000, description="Rows in a step of the contrastive training."
    )
    rate: float = setting(
        default=5e-4, ge=1e-9, le=10, description="Learning rate of the contrastive training."
    )
    temperature: float = setting(
        default=0.07, ge=1e-4, le=100, description="Temperature of the contrastive loss."
    )
    loss: Literal["softmax", "sigmoid"] = setting(
        default="softmax", description="Form of the contrastive loss."
    )
    hard: float = setting(
        default=0.0, ge=0, le=100, description="Extra weight of near negatives. 0 weighs all alike."
    )
    pull: float = setting(
        default=0.1,
        ge=0,
        le=1e6,
        description="Penalty on the distance of the maps from their start.",
    )
    holdout: float = setting(
        default=0.15,
        ge=0,
        le=0.9,
        description="Share of the training rows held back to choose the maps and to stop training.",
    )
    base: str = setting(
        default="",
        description="Folder of a run whose space is used unchanged; only new fields are added.",
    )


@dataclass(frozen=True, eq=False)
class FittedBridge:
    """A second vector for a field whose encoder names K classes: that of the softmax-weighted mean
    of the names' text features (see `bridges`)."""

    field: str
    to: str  # the field of text
    strength: float  # how much the second vector counts, in 0 .. 1
    weight: np.ndarray  # float32 [D_f, K], of the class logits
    bias: np.ndarray  # float32 [K]
    words: np.ndarray  # float32 [K, D_t], text features of the names


@dataclass(frozen=True, eq=False)
class Alignment:
    """A fitted projection of every field."""

    settings: Align
    maps: Mapping[str, FieldMap]  # {field: its map}, in the order of the fields
    space: str  # fingerprint of the encoders
    trained_by: str  # CLOSED_FORM or CONTRASTIVE
    bridges: tuple[FittedBridge, ...] = ()
    compared: tuple[tuple[str, float], ...] = ()  # forms and their mean reciprocal ranks

    @property
    def form(self) -> str:
        """How it was fitted, and whether it has bridges."""
        return f"{self.trained_by} with bridges" if self.bridges else self.trained_by

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.maps)

    def project(self, embeddings: Embeddings) -> Shared:
        """N rows of features as N rows of the shared space.

        Raises GobelinError where the features come from other encoders."""
        if embeddings.space != self.space or embeddings.fields != self.fields:
            raise GobelinError(
                "align: these embeddings come from other encoders than the alignment. Embed with"
                " the same run."
            )
        for field, field_map in self.maps.items():  # a saved run may say anything of its encoders
            if (width := embeddings.features[field].shape[1]) != width_read(field_map):
                raise GobelinError(
                    f"align: {field!r} has {width} features, {width_read(field_map)} were expected."
                    " Fit it again."
                )
        out = np.zeros((len(embeddings), len(self.fields), self.settings.width), np.float32)
        for start in range(0, len(embeddings), FEATURE_ROWS_AT_ONCE):
            stop = min(start + FEATURE_ROWS_AT_ONCE, len(embeddings))
            block = embeddings.rows(np.arange(start, stop))
            for k, field in enumerate(self.fields):
                z = self._field_vectors(field, block.features[field])
                out[start:stop, k] = z * block.present[:, k, None]
        return Shared(self.fields, out, embeddings.present, embeddings.ids, self.fingerprint())

    def _field_vectors(self, field: str, x: np.ndarray) -> np.ndarray:
        """float32 [n, D], of unit length, from features [n, D_f]: the field's own map, and every
        bridge that starts at the field."""
        z = vectors(self.maps[field], x)
        for bridge in self.bridges:
            if bridge.field == field:
                shares = softmax(x @ bridge.weight + bridge.bias, axis=1)  # [n, K], of the classes
                text = shares @ bridge.words  # [n, D_t], the mean text of the classes
                z = unit(z + bridge.strength * vectors(self.maps[bridge.to], text))
        return z

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by the names that they have on disk."""
        out = {f"{f}/{k}": v for f, field_map in self.maps.items() for k, v in field_map.items()}
        for b in self.bridges:
            name = f"bridge/{b.field}/{b.to}"
            out |= {f"{name}/weight": b.weight, f"{name}/bias": b.bias, f"{name}/words": b.words}
        return out

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        arrays = self.arrays
        bridges = [(b.field, b.to, b.strength) for b in self.bridges]
        values = [arrays[k] for k in sorted(arrays)]
        return fingerprint("align", self.space, asdict(self.settings), bridges, *values)

    def save(self, folder: Path) -> None:
        values = {
            "settings": asdict(self.settings),
            "fields": self.fields,
            "space": self.space,
            "kept": self.trained_by,  # the key of saved runs
            "bridges": [[b.field, b.to, b.strength] for b in self.bridges],
            "compared": self.compared,
        }
        write_json(folder / "config.json", values)
        save_arrays(folder / "weights.safetensors", self.arrays)

    @staticmethod
    def load(folder: Path) -> Alignment:
        """The inverse of `save`."""
        values = read_json(folder / "config.json")
        arrays = load_arrays(folder / "weights.safetensors")

        def named(prefix: str) -> dict[str, np.ndarray]:
            """{name: array} of the arrays on disk called prefix/name."""
            return {
                k[len(prefix) + 1 :]: v for k, v in arrays.items() if k.rpartition("/")[0] == prefix
            }

        settings, maps = Align(**values["settings"]), {f: named(f) for f in values["fields"]}
        for field, field_map in maps.items():
            if (width := width_of(field_map)) != settings.width:
                raise GobelinError(
                    f"{folder}: a space of {settings.width} dimensions was expected, the map of"
                    f" {field!r} has {width}. {made_anew(folder)}"
                )
        return Alignment(
            settings,
            maps,
            values["space"],
            values["kept"],
            tuple(
                FittedBridge(field, to, strength, **named(f"bridge/{field}/{to}"))
                for field, to, strength in values["bridges"]
            ),
            tuple((form, score) for form, score in values.get("compared", ())),
        )
