"""Early fusion: the fields' features side by side with their presence, and one head over all.

Each field is reduced to principal components of the basis rows, scaled, and weighted by the root of its width so that a
wide field doesn't drown a narrow one. An absent field is zeros *and* says so; in training, present fields are hidden at random
(Neverova et al. 2016, ModDrop), so that every subset of fields is a case that the head has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from gobelin.config import within
from gobelin.data.fields import Target
from gobelin.embedding import Embeddings, principal
from gobelin.fusion import Job, own
from gobelin.networks.heads import HeadJob, HeadSettings, forward, train_heads
from gobelin.runtime import Progress, Runtime
from gobelin.store import fingerprint, load_arrays, read_json, save_arrays, write_json


@dataclass(frozen=True)
class Concat:
    """components: principal components kept of each field. hidden: width of a hidden layer, 0 for a linear head. decay: L2
    penalty. dropout: chance that a present field is hidden in a training step. steps, batch, rate: of the training."""

    components: int = 160
    hidden: int = 0
    decay: float = 1e-3
    dropout: float = 0.3
    steps: int = 300
    batch: int = 256
    rate: float = 0.02

    batchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within(self, {
            "components": (1, 8192), "hidden": (0, 65536), "decay": (0, 1e6), "dropout": (0, 0.95), "steps": (1, 1e7),
            "batch": (1, 1e7), "rate": (1e-9, 10),
        })  # fmt: skip

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[ConcatPredictor]:
        weights = _basis(embeddings.rows(basis), self.components)
        numeric = target.kind == "number"
        answers = target.values.astype(np.float32 if numeric else np.int64)
        if numeric:
            known = target.values[basis][target.present[basis]]
            weights["answer"] = np.array([known.mean(), known.std() or 1.0], np.float32)
            answers = (answers - weights["answer"][0]) / weights["answer"][1]
        features = _features(embeddings, weights)
        settings = HeadSettings(
            1 if numeric else len(target.classes), numeric, self.hidden, self.steps, self.batch, self.rate, self.dropout
        )
        heads = train_heads(
            features,
            torch.from_numpy(embeddings.present),
            torch.from_numpy(answers),
            [HeadJob(j.rows, _balanced(j.weights), j.seed, self.decay if j.decay is None else j.decay) for j in jobs],
            settings,
            progress,
        )
        return [
            ConcatPredictor(self, embeddings.fields, embeddings.space, {**weights, **{k: v.numpy() for k, v in h.items()}})
            for h in heads
        ]

    def load(self, folder: Path) -> ConcatPredictor:
        values = read_json(folder / "config.json")
        weights = load_arrays(folder / "weights.safetensors")
        return ConcatPredictor(Concat(**values["settings"]), tuple(values["fields"]), values["space"], weights)


def _balanced(weights: np.ndarray) -> np.ndarray:
    """Weights with mean one, so that the rate of learning doesn't depend on their scale."""
    return (weights / max(float(weights.mean()), 1e-12)).astype(np.float32)


def _basis(rows: Embeddings, components: int) -> dict[str, np.ndarray]:
    """Mean [D_f] and projection [D_f, K] of every field, from the rows where it is present."""
    out = {}
    for field in rows.fields:
        mean, directions, variances = principal(rows, field, components)
        scale = np.sqrt(len(variances) / max(float(variances.sum()), 1e-12))
        out[f"{field}/mean"] = mean.astype(np.float32)
        out[f"{field}/projection"] = (directions * scale).astype(np.float32)
    return out


def _features(rows: Embeddings, weights: dict[str, np.ndarray]) -> list[torch.Tensor]:
    """The components of every field, float32 [N, K_f]."""
    return [
        torch.from_numpy(((rows.features[f] - weights[f"{f}/mean"]) @ weights[f"{f}/projection"]).astype(np.float32))
        for f in rows.fields
    ]


class ConcatPredictor:
    """weights: {field/mean, field/projection, map1, bias1 (, map2, bias2)(, answer)}."""

    def __init__(self, settings: Concat, fields: tuple[str, ...], space: str, weights: dict[str, np.ndarray]) -> None:
        self.settings, self.fields, self.space, self.weights = settings, fields, space, weights

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        kept = own(embeddings, self.fields, self.space)
        outputs = []
        heads = {k: torch.from_numpy(v)[None] for k, v in self.weights.items() if k.startswith(("map", "bias"))}
        for block in kept.blocks():
            features = [f[None] for f in _features(block, self.weights)]
            shown = torch.from_numpy(block.present.astype(np.float32))[None]
            outputs.append(forward(heads, features, shown)[0].numpy())
        out = np.concatenate(outputs) if outputs else np.zeros((0, self.weights["bias1"].shape[-1]), np.float32)
        if "answer" in self.weights:
            out = out * self.weights["answer"][1] + self.weights["answer"][0]
        return out

    def fingerprint(self) -> str:
        return fingerprint("concat", asdict(self.settings), self.space, *[self.weights[k] for k in sorted(self.weights)])

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", {"settings": asdict(self.settings), "fields": self.fields, "space": self.space})
        save_arrays(folder / "weights.safetensors", self.weights)
