"""What neural fusions share: components of every field, all jobs trained as one computation, a
predictor on disk.

Each field is reduced to principal components of the basis rows, scaled, and weighted by the root of
its width so that a wide field doesn't drown a narrow one. In training, present fields are hidden at
random (Neverova et al. 2016, ModDrop), so that every subset of fields is a case that the network
has seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint, load_arrays, read_json, save_arrays, write_json
from gobelin.core.machine import Progress, Runtime
from gobelin.data.fields import Target
from gobelin.embedding.alignment.correlation import principal
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads.batched import train_heads
from gobelin.prediction.heads.draws import HeadSettings
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.joins import Join, Ordered


@settings_class
class Neural(ABC):
    """The settings of any neural fusion."""

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
        weights = _basis(embeddings.rows(basis), self.components)
        numeric = target.kind == "number"
        answers = target.values.astype(np.int64 if target.exclusive else np.float32)
        if numeric:
            known = target.values[basis][target.present[basis]]
            weights["answer"] = np.array([known.mean(), known.std() or 1.0], np.float32)
            answers = (answers - weights["answer"][0]) / weights["answer"][1]
        outputs = 1 if numeric else len(target.classes)
        heads = train_heads(
            Ordered(self.join) if target.kind == "ordinal" else self.join,
            _features(embeddings, weights),
            torch.from_numpy(embeddings.present),
            torch.from_numpy(answers),
            [
                Job(
                    j.rows, _balanced(j.weights), j.seed, self.decay if j.decay is None else j.decay
                )
                for j in jobs
            ],
            HeadSettings(outputs, numeric, self.steps, self.batch, self.rate, self.dropout),
            progress,
        )
        found = [{**weights, **{k: v.numpy() for k, v in head.items()}} for head in heads]
        return [NeuralPredictor(self, embeddings.fields, embeddings.space, one) for one in found]

    def load(self, folder: Path) -> NeuralPredictor:
        """What `NeuralPredictor.save` wrote, with the settings that it was fitted with."""
        values, weights = (
            read_json(folder / "config.json"),
            load_arrays(folder / "weights.safetensors"),
        )
        return NeuralPredictor(
            type(self)(**values["settings"]), tuple(values["fields"]), values["space"], weights
        )


def _balanced(weights: np.ndarray) -> np.ndarray:
    """Weights with mean one, so that the rate of learning doesn't depend on their scale."""
    return (weights / max(float(weights.mean()), 1e-12)).astype(np.float32)


def _basis(rows: Embeddings, components: int) -> dict[str, np.ndarray]:
    """Mean [D_f] and projection [D_f, K] of every field, from the rows where it is present."""
    out = {}
    for field in rows.fields:
        mean, directions, variances = principal(rows, field, components)
        total = float(
            variances.sum()
        )  # none in a field of which nothing was seen: then nothing is read from it
        scale = np.sqrt(len(variances) / total) if total > 1e-12 else 0.0
        out[f"{field}/mean"] = mean.astype(np.float32)
        out[f"{field}/projection"] = (directions * scale).astype(np.float32)
    return out


def _features(rows: Embeddings, weights: dict[str, np.ndarray]) -> list[torch.Tensor]:
    """The components of every field, [N, K_f], in the weights' precision."""
    out = []
    for f in rows.fields:
        directions = weights[f"{f}/projection"]
        out.append(
            torch.from_numpy(
                ((rows.features[f] - weights[f"{f}/mean"]) @ directions).astype(directions.dtype)
            )
        )
    return out


@dataclass(frozen=True, eq=False)
class NeuralPredictor:
    """weights: {field/mean, field/projection} of every field, those of the join, and of a number
    its mean and deviation as `answer`."""

    settings: Neural
    fields: tuple[str, ...]
    space: str
    weights: dict[str, np.ndarray]

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        kept = embeddings.own(self.fields, self.space)
        exact = {
            name: one.astype(np.float64) for name, one in self.weights.items()
        }  # float32 sums depend on a row's place
        head = {
            name: torch.from_numpy(one)[None]
            for name, one in exact.items()
            if "/" not in name and name != "answer"
        }
        join, out = Ordered(self.settings.join) if "cuts" in head else self.settings.join, []
        for block in kept.blocks() if len(kept) else [kept]:
            features = [f[None] for f in _features(block, exact)]
            shown = torch.from_numpy(block.present.astype(np.float64))[None]
            out.append(join.scores(head, features, shown)[0].numpy())
        if "answer" not in self.weights:
            return np.concatenate(out).astype(np.float32)
        return np.concatenate(out) * self.weights["answer"][1] + self.weights["answer"][0]

    def fingerprint(self) -> str:
        name = type(self.settings).__name__.lower()
        return fingerprint(
            name,
            asdict(self.settings),
            self.space,
            *[self.weights[k] for k in sorted(self.weights)],
        )

    def save(self, folder: Path) -> None:
        config = {"settings": asdict(self.settings), "fields": self.fields, "space": self.space}
        write_json(folder / "config.json", config)
        save_arrays(folder / "weights.safetensors", self.weights)
