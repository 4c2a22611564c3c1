"""Tuning: the networks of some encoders are trained further, together with a linear head over the
features of all fields.

The head starts as the linear fusion of the frozen features (linear probing, then fine-tuning; Kumar
et al. 2022). Present fields are hidden at random (ModDrop, Neverova et al. 2016); images are
mirrored and shifted. Networks stay in evaluation mode: running means of a few rows would be worse
than those of their pretraining. `decision` decides whether the tuned encoders are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.machine import derived_seed, generator
from gobelin.core.workers import in_order
from gobelin.data.dataset import Dataset
from gobelin.embedding.encoders import Tunable
from gobelin.embedding.features import Embedder
from gobelin.networks.convolution import change, pixels_of, signal_of
from gobelin.networks.pipelines import low_rank
from gobelin.networks.training import training
from gobelin.prediction.cross_fit import Training, balanced
from gobelin.prediction.heads.batched import losses
from gobelin.prediction.heads.draws import shown_fields
from gobelin.prediction.heads.neural import NeuralPredictor
from gobelin.prediction.tuning.settings import Tune

STOPPING_ROWS = 512  # held-back rows, at most, whose loss stops the training
ENCODER_RATES = {"lora": 2e-3, "full": 2e-4}  # learning rates where `tune.rate` is 0
HEAD_RATE = 2e-3  # learning rate of the head


@dataclass(frozen=True)
class TuningData:
    """Labelled training rows, nothing else."""

    embedder: Embedder  # with the frozen encoders
    dataset: Dataset
    # features of all rows of `dataset` by the frozen encoders, of the fields of prediction
    training: Training


@dataclass(frozen=True, eq=False)
class TuningBatch:
    """The rows of a step and their decoded cells."""

    rows: Tensor  # int64 [n]
    cells: Mapping[str, list[Any]]  # {tuned field: n decoded cells, None where absent}


class Tuning:
    """The training task: networks of the encoders (or their low-rank changes) and a head.

    start: the fitted linear fusion of the frozen features. held_back: bool [n], rows that only
    stop and judge the training."""

    def __init__(
        self,
        settings: Tune,
        data: TuningData,
        encoders: Mapping[str, Tunable],
        start: NeuralPredictor,
        held_back: np.ndarray,
    ) -> None:
        train_set = data.training
        self.settings, self.data, self.encoders, self.start = settings, data, dict(encoders), start
        self.runtime, self.fields = train_set.runtime, train_set.embeddings.fields
        device = train_set.runtime.device
        self.rows = torch.from_numpy(np.flatnonzero(~held_back))
        self.stopping_rows = torch.from_numpy(np.flatnonzero(held_back)[:STOPPING_ROWS])
        self.present = torch.from_numpy(train_set.embeddings.present)
        self.frozen = {  # {field that is not tuned: [n, D_f]}
            f: torch.from_numpy(train_set.embeddings.features[f]).to(device)
            for f in self.fields
            if f not in encoders
        }
        self.cells = {f: data.dataset.cells(data.embedder.schema.field(f)) for f in encoders}
        # mean [D_f] and directions [D_f, K_f] of each field
        self.projections = [
            tuple(torch.from_numpy(a).to(device) for a in (p.mean, p.directions))
            for p in (start.projections[f] for f in self.fields)
        ]
        values = train_set.target.values
        self.numeric = train_set.target.kind == "number"
        if start.answer is not None:
            mean, deviation = start.answer
            values = ((values - mean) / deviation).astype(np.float32)
        self.answers = torch.from_numpy(values).to(device)
        self.share = self._shares(train_set, held_back).to(device)
        self.head = nn.ParameterDict(
            {k: nn.Parameter(torch.from_numpy(v).clone()) for k, v in start.head.items()}
        ).to(device)
        # a pretrained network may come partly frozen
        networks = [encoder.module.requires_grad_(True) for encoder in self.encoders.values()]
        if settings.how == "lora":
            networks = [
                low_rank.adapt(n, settings.rank, derived_seed(self.runtime.seed, "tune", k))
                for k, n in enumerate(networks)
            ]
        self.modules: Mapping[str, nn.Module] = {
            "encoders": nn.ModuleList(networks),
            "head": self.head,
        }
        groups = [
            {
                "params": [p for n in networks for p in n.parameters()],
                "lr": settings.rate or ENCODER_RATES[settings.how],
            },
            {"params": list(self.head.values()), "lr": HEAD_RATE, "weight_decay": 0.0},
        ]
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"adam": torch.optim.AdamW(groups)}

    @staticmethod
    def _shares(train_set: Training, held_back: np.ndarray) -> Tensor:
        """float32 [n]: how much each row counts, with mean one among the rows that are learned from
        and among those held back."""
        share = torch.zeros(len(held_back))
        for rows in (np.flatnonzero(~held_back), np.flatnonzero(held_back)):
            weights = balanced(
                train_set.target, rows, train_set.weights[rows], train_set.settings.balanced
            )
            share[rows] = torch.from_numpy(weights / max(float(weights.mean()), 1e-12))
        return share

    def batch(self, step: int) -> TuningBatch:
        """The rows of a step and views of their cells, decoded by workers."""
        seed = self.runtime.seed
        size = min(self.settings.batch, len(self.rows))
        rows = self.rows[training.shuffled(step, len(self.rows), size, seed)]
        places = list(enumerate(rows.tolist()))

        def view(name: str, place: tuple[int, int]) -> Any:  # noqa: ANN401 - a decoded cell is any
            k, row = place
            rng = generator(seed, "view", name, step, k)
            return _view(self._decoded(name, row), self.settings, rng)

        workers = self.data.embedder.workers
        return TuningBatch(
            rows,
            {name: list(in_order(partial(view, name), places, workers)) for name in self.encoders},
        )

    def _decoded(self, name: str, row: int) -> Any:  # noqa: ANN401 - a decoded cell is any
        cell = self.cells[name][row]
        if cell is None:
            return None
        return self.encoders[name].decode(cell, self.data.dataset.root)[0]

    def step(self, batch: TuningBatch, rng: torch.Generator) -> dict[str, Tensor]:
        """One optimiser step; the loss by name. As `networks.training.Task`."""
        shown = shown_fields(self.present[batch.rows], self.settings.dropout, rng)  # [n, F]
        tuned = {}  # {field: [n, D_f]}
        for name, encoder in self.encoders.items():
            x = torch.zeros(len(batch.rows), encoder.width, device=self.runtime.device)
            rows = torch.nonzero(shown[:, self.fields.index(name)])[:, 0]
            if len(rows):  # a hidden cell is not encoded
                cells = [batch.cells[name][k] for k in rows.tolist()]
                x = x.index_copy(0, rows.to(x.device), encoder.forward(cells))
            tuned[name] = x
        penalty = torch.stack(
            [(w**2).sum() for name, w in self.head.items() if name.startswith("map")]
        ).sum()
        loss = self._loss(batch.rows, tuned, shown) + self.start.settings.decay * penalty
        training.descend(self.optimisers["adam"], loss)
        return {"loss": loss.detach()}

    def _loss(self, rows: Tensor, tuned: Mapping[str, Tensor], shown: Tensor) -> Tensor:
        """The weighted mean loss of n rows, a scalar. tuned: {tuned field: [n, D_f]}. shown: [n,
        F]."""
        rows = rows.to(self.runtime.device)
        components = [  # F tensors [n, K_f]
            ((tuned[f] if f in tuned else self.frozen[f][rows]) - mean) @ directions
            for f, (mean, directions) in zip(self.fields, self.projections, strict=True)
        ]
        head = {name: w[None] for name, w in self.head.items()}  # one head: [1, ...]
        shown = shown.to(self.runtime.device)[None]
        scores = self.start.settings.join.scores(head, [c[None] for c in components], shown)
        return losses(scores, self.answers[rows][None], self.share[rows][None], self.numeric)[0]

    def held_back_loss(self) -> float:
        """The mean loss of the held-back rows, no field hidden."""
        total = 0.0
        for block in self.stopping_rows.split(self.settings.batch):
            tuned = {}
            for name, encoder in self.encoders.items():
                has = [k for k, r in enumerate(block.tolist()) if self.cells[name][r] is not None]
                workers = self.data.embedder.workers
                decoded = in_order(partial(self._decoded, name), block[has].tolist(), workers)
                x = torch.zeros(len(block), encoder.width)
                if has:
                    x[has] = torch.from_numpy(encoder.embed(list(decoded)))
                tuned[name] = x.to(self.runtime.device)
            total += len(block) * float(self._loss(block, tuned, self.present[block].float()))
        return total / len(self.stopping_rows)


def _view(decoded: Any, settings: Tune, rng: torch.Generator) -> Any:  # noqa: ANN401 - a decoded cell is any
    """Images, uint8 [k, H, W, C], mirrored and shifted at random; any other cell unchanged."""
    if not (isinstance(decoded, np.ndarray) and decoded.dtype == np.uint8 and decoded.ndim == 4):
        return decoded
    signal = signal_of(decoded)  # float32 [k, C, H, W]
    if float(torch.rand(1, generator=rng)) < settings.mirror:
        signal = signal.flip(3)
    return pixels_of(change(signal, rng, settings.shift, 0.0, colour=False))
