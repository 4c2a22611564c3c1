"""Training on: the networks of some encoders together with a linear head over the features of all
fields.

The head starts as the linear fusion of the untouched features (linear probing, then fine-tuning;
Kumar et al. 2022), present fields are hidden at random (ModDrop, Neverova et al. 2016), images are
mirrored and shifted. Networks stay in evaluation mode: running means of a few rows would be worse
than those that they came with. What is kept of it, `tuned` decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.config import setting, settings_class
from gobelin.core.machine import derived_seed, generator
from gobelin.core.workers import in_order
from gobelin.data.dataset import Dataset
from gobelin.embedding.encoders import Tunable
from gobelin.embedding.features import Reader
from gobelin.networks import low_rank
from gobelin.networks import training as train
from gobelin.networks.convolution import change, pixels_of, signal_of
from gobelin.prediction.cross_fit import Training, balanced
from gobelin.prediction.heads.batched import losses
from gobelin.prediction.heads.draws import shown_fields
from gobelin.prediction.heads.neural import NeuralPredictor

LOOKED_AT = 512  # held-back rows that stop the training, at most
RATES = {"lora": 2e-3, "full": 2e-4}
HEAD_RATE = 2e-3


@settings_class
class Tune:
    """Settings of training encoders further on the run's rows."""

    fields: tuple[str, ...] = setting(
        default=(), description="Fields whose encoders are trained further. None by default."
    )
    how: Literal["lora", "full"] = setting(
        default="lora", description="lora learns low-rank changes, full changes every weight."
    )
    minutes: float = setting(default=2.0, ge=0.01, le=1e5, description="Training time in minutes.")
    steps: int = setting(
        default=0,
        ge=0,
        le=100_000_000,
        description="Training steps. 0 measures how many fit into the minutes.",
    )
    rank: int = setting(default=8, ge=1, le=4096, description="Rank of the low-rank changes.")
    rate: float = setting(
        default=0.0, ge=0, le=1, description="Learning rate. 0 means 0.002 (lora) or 0.0002 (full)."
    )
    batch: int = setting(default=32, ge=1, le=65536, description="Rows in a step.")
    dropout: float = setting(
        default=0.3, ge=0, le=0.95, description="Chance that a present field is hidden in a step."
    )
    held_back: float = setting(
        default=0.2,
        ge=0.05,
        le=0.5,
        description="Share of the training groups held back to judge the result.",
    )
    mirror: float = setting(
        default=0.5, ge=0, le=1, description="Chance that an image is flipped left to right."
    )
    shift: float = setting(
        default=0.1, ge=0, le=0.5, description="Largest shift of an image, as a share of its side."
    )


@dataclass(frozen=True)
class Material:
    """Labelled training rows, nothing else. reader: encoders as they came. training: features by
    them of the fields that prediction uses, of all rows of `dataset`."""

    reader: Reader
    dataset: Dataset
    training: Training


class Batch:
    """rows: int64 [n]. cells: {field: n decoded cells, None where absent}."""

    def __init__(self, rows: Tensor, cells: Mapping[str, list[Any]]) -> None:
        self.rows, self.cells = rows, cells


class Tuning:
    """What is trained: the modules (or their low-rank changes) and the head."""

    def __init__(
        self,
        settings: Tune,
        material: Material,
        encoders: Mapping[str, Tunable],
        start: NeuralPredictor,
        held: np.ndarray,
    ) -> None:
        training = material.training
        self.settings, self.material, self.encoders, self.start = (
            settings,
            material,
            dict(encoders),
            start,
        )
        self.runtime, self.fields = training.runtime, training.embeddings.fields
        device = training.runtime.device
        self.rows, self.held = (
            torch.from_numpy(np.flatnonzero(~held)),
            torch.from_numpy(np.flatnonzero(held)[:LOOKED_AT]),
        )
        self.present = torch.from_numpy(training.embeddings.present)
        self.known = {
            f: torch.from_numpy(training.embeddings.features[f]).to(device)
            for f in self.fields
            if f not in encoders
        }
        self.cells = {f: material.dataset.cells(material.reader.schema.field(f)) for f in encoders}
        fixed = {k: torch.from_numpy(v).to(device) for k, v in start.weights.items() if "/" in k}
        self.basis = [(fixed[f"{f}/mean"], fixed[f"{f}/projection"]) for f in self.fields]
        values = training.target.values
        self.numeric = training.target.kind == "number"
        if self.numeric:
            values = ((values - start.weights["answer"][0]) / start.weights["answer"][1]).astype(
                np.float32
            )
        self.answers, self.share = torch.from_numpy(values).to(device), torch.zeros(len(values))
        for rows in (self.rows, torch.from_numpy(np.flatnonzero(held))):
            counts = balanced(
                training.target,
                rows.numpy(),
                training.weights[rows.numpy()],
                training.settings.balance,
            )
            self.share[rows] = torch.from_numpy(counts / max(float(counts.mean()), 1e-12))
        self.share = self.share.to(device)
        learned = {
            k: torch.from_numpy(v)
            for k, v in start.weights.items()
            if "/" not in k and k != "answer"
        }
        self.head = nn.ParameterDict({k: nn.Parameter(v.clone()) for k, v in learned.items()}).to(
            device
        )
        networks = [
            encoder.module.requires_grad_(True) for encoder in self.encoders.values()
        ]  # as it came, part may be frozen
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
                "lr": settings.rate or RATES[settings.how],
            },
            {"params": list(self.head.values()), "lr": HEAD_RATE, "weight_decay": 0.0},
        ]
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"adam": torch.optim.AdamW(groups)}

    def batch(self, step: int) -> Batch:
        """The rows of a step and views of their cells, decoded by workers."""
        seed = self.runtime.seed
        rows = self.rows[
            train.shuffled(step, len(self.rows), min(self.settings.batch, len(self.rows)), seed)
        ]
        places = list(enumerate(rows.tolist()))

        def view(name: str, place: tuple[int, int]) -> Any:  # noqa: ANN401
            return _view(
                self._decoded(name, place[1]),
                self.settings,
                generator(seed, "view", name, step, place[0]),
            )

        workers = self.material.reader.workers
        return Batch(
            rows,
            {name: list(in_order(partial(view, name), places, workers)) for name in self.encoders},
        )

    def _decoded(self, name: str, row: int) -> Any:  # noqa: ANN401
        cell = self.cells[name][row]
        return (
            None
            if cell is None
            else self.encoders[name].decode(cell, self.material.dataset.root)[0]
        )

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        shown = shown_fields(self.present[batch.rows], self.settings.dropout, rng)
        found = {}
        for name, encoder in self.encoders.items():
            there = torch.nonzero(shown[:, self.fields.index(name)])[:, 0]
            x = torch.zeros(len(batch.rows), encoder.width, device=self.runtime.device)
            if len(there):
                x = x.index_copy(
                    0,
                    there.to(x.device),
                    encoder.forward([batch.cells[name][k] for k in there.tolist()]),
                )
            found[name] = x
        penalty = torch.stack(
            [(w**2).sum() for name, w in self.head.items() if name.startswith("map")]
        ).sum()
        loss = self._loss(batch.rows, found, shown) + self.start.settings.decay * penalty
        train.descend(self.optimisers["adam"], loss)
        return {"loss": loss.detach()}

    def _loss(self, rows: Tensor, found: Mapping[str, Tensor], shown: Tensor) -> Tensor:
        """Weighted mean over these rows. found: {tuned field: [n, D_f]}."""
        rows = rows.to(self.runtime.device)
        features = [
            ((found[f] if f in found else self.known[f][rows]) - mean) @ projection
            for f, (mean, projection) in zip(self.fields, self.basis, strict=True)
        ]
        head = {name: w[None] for name, w in self.head.items()}
        out = self.start.settings.join.scores(
            head, [f[None] for f in features], shown.to(self.runtime.device)[None]
        )
        return losses(out, self.answers[rows][None], self.share[rows][None], self.numeric)[0]

    def held_out(self) -> float:
        """The loss of held-back rows, nothing hidden."""
        total = 0.0
        for block in self.held.split(self.settings.batch):
            found = {}
            for name, encoder in self.encoders.items():
                which = [k for k, r in enumerate(block.tolist()) if self.cells[name][r] is not None]
                decoded = list(
                    in_order(
                        partial(self._decoded, name),
                        block[which].tolist(),
                        self.material.reader.workers,
                    )
                )
                x = torch.zeros(len(block), encoder.width)
                if which:
                    x[which] = torch.from_numpy(encoder.embed(decoded))
                found[name] = x.to(self.runtime.device)
            total += len(block) * float(self._loss(block, found, self.present[block].float()))
        return total / len(self.held)


def _view(decoded: Any, settings: Tune, rng: torch.Generator) -> Any:  # noqa: ANN401 - a decoded cell is any
    """Images uint8 [k, H, W, C] mirrored and shifted; anything else as it is."""
    if not (isinstance(decoded, np.ndarray) and decoded.dtype == np.uint8 and decoded.ndim == 4):
        return decoded
    signal = signal_of(decoded)
    if float(torch.rand(1, generator=rng)) < settings.mirror:
        signal = signal.flip(3)
    return pixels_of(change(signal, rng, settings.shift, 0.0, colour=False))
