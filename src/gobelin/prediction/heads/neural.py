"""The frame of all neural fusions: components of every field, all jobs trained as one computation,
a predictor on disk.

Each field is reduced to principal components of the basis rows, scaled to a mean variance of 1
whatever the units of the field. In training, present fields are hidden at random (Neverova et al.
2016, ModDrop), so that the network is trained on every subset of fields.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint, load_arrays, read_json, save_arrays, write_json
from gobelin.core.lazy import torch
from gobelin.core.machine import Progress, Runtime
from gobelin.data.coarse import middle_of, spread_of
from gobelin.data.fields import Target
from gobelin.embedding.alignment.correlation import principal
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.joins import Join, Ordered, SideBySide


@settings_class
class Neural(ABC):
    """The settings that every neural fusion has."""

    components: int = setting(
        default=160, ge=1, le=8192, description="Principal components used of each field."
    )
    decay: float = setting(
        default=1e-3, ge=0, le=1e6, description="Weight decay, where tuning chooses none."
    )
    dropout: float = setting(
        default=0.3,
        ge=0,
        le=0.95,
        description="Chance that a present field is hidden in a training step.",
    )
    steps: int = setting(default=300, ge=1, le=10_000_000, description="Training steps.")
    batch: int = setting(default=256, ge=1, le=10_000_000, description="Rows in a training step.")
    rate: float = setting(default=0.01, ge=1e-9, le=10, description="Learning rate at the start.")

    batchable: ClassVar[bool] = True
    several: ClassVar[bool] = True

    @property
    @abstractmethod
    def join(self) -> Join:
        """How fields become scores."""

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[NeuralPredictor]:
        """As `Fusion.fit`."""
        from gobelin.prediction.heads.batched import train_heads
        from gobelin.prediction.heads.draws import HeadSettings

        rows = embeddings.rows(basis)
        projections = {f: Projection.fit(rows, f, self.components) for f in rows.fields}
        answer = None
        numeric = target.kind == "number"
        answers = target.values.astype(np.int64 if target.exclusive else np.float32)
        if numeric:
            answer = middle_and_spread(target, rows, basis)
            answers = (answers - answer[0]) / answer[1]
        outputs = 1 if numeric else len(target.classes)
        heads = train_heads(
            Ordered(self.join) if target.kind == "ordinal" else self.join,
            [torch.from_numpy(p(embeddings.features[f])) for f, p in projections.items()],
            torch.from_numpy(embeddings.present),
            torch.from_numpy(answers),
            [
                replace(
                    job,
                    weights=mean_one(job.weights),
                    decay=self.decay if job.decay is None else job.decay,
                )
                for job in jobs
            ],
            HeadSettings(outputs, numeric, self.steps, self.batch, self.rate, self.dropout),
            progress,
        )
        return [
            NeuralPredictor(
                self,
                embeddings.fields,
                embeddings.space,
                projections,
                {name: weight.numpy() for name, weight in head.items()},
                answer,
            )
            for head in heads
        ]

    def load(self, folder: Path) -> NeuralPredictor:
        """The inverse of `NeuralPredictor.save`, with the settings that it was fitted with."""
        values = read_json(folder / "config.json")
        arrays = load_arrays(folder / "weights.safetensors")
        fields = tuple(values["fields"])
        projections = {
            f: Projection(arrays.pop(f"{f}/mean"), arrays.pop(f"{f}/projection")) for f in fields
        }
        answer = arrays.pop("answer", None)
        settings = type(self)(**values["settings"])
        return NeuralPredictor(settings, fields, values["space"], projections, arrays, answer)


def middle_and_spread(target: Target, rows: Embeddings, basis: np.ndarray) -> np.ndarray:
    """float32 [2]: about the mean and the standard deviation of the basis rows' numbers. They are
    rounded (`data.coarse`), as they are saved."""
    known = target.present[basis]
    x, group = target.values[basis][known].astype(np.float64), rows.group_numbers[known]
    middle = middle_of(x, group, rows.least_groups)
    return np.array([middle, spread_of(x, group, middle, rows.least_groups) or 1.0], np.float32)


def mean_one(weights: np.ndarray) -> np.ndarray:
    """Weights with mean one, so that the learning rate doesn't depend on their scale."""
    return (weights / max(float(weights.mean()), 1e-12)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Projection:
    """Features of a field as scaled components: (x - mean) @ directions.

    mean: [D_f]. directions: [D_f, K_f]."""

    mean: np.ndarray
    directions: np.ndarray

    @staticmethod
    def fit(
        rows: Embeddings, field: str, components: int, total: float | None = None
    ) -> Projection:
        """Principal components of the rows where the field is present, float32.

        total: the sum of their variances; None: a mean of one."""
        mean, directions, variances = principal(rows, field, components)
        found = float(variances.sum())
        wanted = len(variances) if total is None else total
        # No variance: a field that no row has, or that never differs. It then counts nothing.
        scale = np.sqrt(wanted / found) if found > 1e-12 else 0.0
        return Projection(mean.astype(np.float32), (directions * scale).astype(np.float32))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[N, K_f] of x [N, D_f], in the precision of the projection."""
        return ((x - self.mean) @ self.directions).astype(self.directions.dtype)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """float64 [n, K_f] of x float64 [n, D_f], differentiable."""
        one = self.exact()
        return (x - torch.from_numpy(one.mean)) @ torch.from_numpy(one.directions)

    def exact(self) -> Projection:
        """The same in float64."""
        return Projection(self.mean.astype(np.float64), self.directions.astype(np.float64))


@dataclass(frozen=True, eq=False)
class NeuralPredictor:
    """A fitted neural fusion."""

    settings: Neural
    fields: tuple[str, ...]
    space: str  # fingerprint of the encoders
    projections: Mapping[str, Projection]  # of every field
    head: Mapping[str, np.ndarray]  # the join's weights, {name: array}
    answer: np.ndarray | None = None  # float32 [2], mean and standard deviation of a number

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        rows = embeddings.checked(self.fields, self.space)
        # float32 sums would depend on a row's place in its block.
        head = {name: weight.astype(np.float64) for name, weight in self.head.items()}
        projections = {f: p.exact() for f, p in self.projections.items()}
        out = []
        for block in rows.blocks() if len(rows) else [rows]:
            features = [projections[f](block.features[f]) for f in self.fields]
            out.append(self._block_scores(head, features, block.present.astype(np.float64)))
        if self.answer is None:
            return np.concatenate(out).astype(np.float32)
        return np.concatenate(out) * self.answer[1] + self.answer[0]

    def _block_scores(
        self, head: Mapping[str, np.ndarray], features: Sequence[np.ndarray], shown: np.ndarray
    ) -> np.ndarray:
        """float64 [n, C], of features [n, K_f] of each field, and shown [n, F]."""
        join = self.settings.join
        if isinstance(join, SideBySide) and not {"map2", "cuts"} & set(head):
            return join.scores_of_one(head, features, shown)
        weights = {name: torch.from_numpy(weight)[None] for name, weight in head.items()}
        parts = [torch.from_numpy(x)[None] for x in features]  # one head: [1, ...]
        ordered = Ordered(join) if "cuts" in head else join
        return ordered.scores(weights, parts, torch.from_numpy(shown)[None])[0].numpy()

    @property
    def has_gradient(self) -> bool:
        return True

    def scores_of(self, row: Embeddings, field: str, features: torch.Tensor) -> torch.Tensor:
        """As `Differentiable.scores_of`."""
        rows = row.checked(self.fields, self.space)
        parts = []
        for f in self.fields:
            x = torch.from_numpy(np.asarray(rows.features[f], np.float64)).expand(len(features), -1)
            parts.append(self.projections[f].of(features.double() if f == field else x)[None])
        head = {name: torch.from_numpy(w.astype(np.float64))[None] for name, w in self.head.items()}
        shown = torch.from_numpy(rows.present.astype(np.float64)).expand(len(features), -1)[None]
        join = self.settings.join
        out = (Ordered(join) if "cuts" in head else join).scores(head, parts, shown)[0]
        return out if self.answer is None else out * self.answer[1] + self.answer[0]

    def _arrays(self) -> dict[str, np.ndarray]:
        """All arrays by the names that they have on disk."""
        out = dict(self.head)
        for f, projection in self.projections.items():
            out |= {f"{f}/mean": projection.mean, f"{f}/projection": projection.directions}
        return out if self.answer is None else out | {"answer": self.answer}

    def fingerprint(self) -> str:
        name, arrays = type(self.settings).__name__.lower(), self._arrays()
        return fingerprint(
            name, asdict(self.settings), self.space, *[arrays[k] for k in sorted(arrays)]
        )

    def save(self, folder: Path) -> None:
        config = {"settings": asdict(self.settings), "fields": self.fields, "space": self.space}
        write_json(folder / "config.json", config)
        save_arrays(folder / "weights.safetensors", self._arrays())
