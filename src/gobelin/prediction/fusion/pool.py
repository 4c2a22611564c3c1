"""Heads of several kinds, each on some of the fields, and the weighted mean of their answers.

A linear head adds up many weak directions, trees know thresholds and products, and a head on a few
fields is not disturbed by the others. Which heads, and how much each counts, is a setting;
`--fusion auto` finds them on training rows by cross-fitting (`prediction.pool_choice`).

Heads learn in the mix of classes that the rows have. Weights of classes move their logits
afterwards (Saerens et al. 2002; Menon et al. 2021, equation 9), which keeps the probabilities
sharper than weights in training do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from gobelin.core.config import build, resolved, setting, settings_class
from gobelin.core.files import fingerprint, load_arrays, read_json, save_arrays, write_json
from gobelin.core.lazy import torch
from gobelin.core.machine import Progress, Runtime
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads import members
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.members import (
    LEAVES_OF_GROUPS,
    LINEAR,
    Fitted,
    Inputs,
    Member,
    Smooth,
)
from gobelin.prediction.heads.neural import (
    NeuralPredictor,
    Projection,
    mean_one,
    middle_and_spread,
)
from gobelin.prediction.heads.trees import Trees

WHOLE = "whole"  # in a saved pool: the fields that trees read as they are


@settings_class
class Pool:
    """Heads and their shares."""

    members: tuple[Member, ...] = setting(
        default=(Member(),), min_length=1, description="The heads. One linear head by default."
    )
    components: int = setting(
        default=160, ge=1, le=8192, description="Principal components used of each field."
    )

    batchable: ClassVar[bool] = False
    several: ClassVar[bool] = True

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[PoolPredictor]:
        """As `Fusion.fit`. A job's weight decay changes nothing here, so jobs that differ in it
        alone share one predictor."""
        inputs = Inputs.fit(embeddings.rows(basis), self.components)
        several, answer, shifts = target.kind == "labels", None, {}
        if target.kind == "number":
            answer = middle_and_spread(target, embeddings.rows(basis), basis)
        wanted: dict[str, Job] = {}  # each with the weights that its heads are given
        keys = []
        for job in jobs:
            key = fingerprint(job.rows, job.weights, job.seed)
            keys.append(key)
            if key not in wanted:
                weights, shift = job.weights.astype(np.float64), np.zeros(len(target.classes) or 1)
                if target.exclusive:
                    label = target.values[job.rows]
                    weights, shift = natural(label, weights, len(target.classes))
                    if job.told is not None:
                        shift = natural(label, job.told, len(target.classes))[1]
                wanted[key] = replace(job, weights=mean_one(weights))
                shifts[key] = shift.astype(np.float32)
        answers = target.values if answer is None else (target.values - answer[0]) / answer[1]
        fitted: dict[str, list[Fitted]] = {key: [] for key in wanted}
        for k, member in enumerate(self.members):
            if member.head == "dropout":
                own = [replace(job, decay=member.decay) for job in wanted.values()]
                heads = members.dropout_heads(member, embeddings, target, own, basis, runtime)
                for key, head in zip(wanted, heads, strict=True):
                    fitted[key].append(Fitted(member, head, several=several))
                continue
            alike: dict[str, Fitted] = {}  # a linear head draws nothing: seeds share it
            for done, (key, job) in enumerate(wanted.items()):
                seed = 0 if member.head in LINEAR else job.seed
                same = fingerprint(job.rows, job.weights, seed)
                if same not in alike:
                    rows = embeddings.rows(job.rows)
                    alike[same] = members.fit(
                        member,
                        inputs.of(member, rows),
                        answers[job.rows],
                        job.weights,
                        len(shifts[key]),
                        seed,
                        rows.group_numbers,
                        rows.least_groups,
                        0.0 if answer is None else float(-answer[0] / answer[1]),
                    )
                fitted[key].append(alike[same])
                progress("fit", k * len(wanted) + done + 1, len(self.members) * len(wanted))
        return [
            PoolPredictor(self, embeddings.space, inputs, tuple(fitted[k]), shifts[k], answer)
            for k in keys
        ]

    def load(self, folder: Path) -> PoolPredictor:
        """The inverse of `PoolPredictor.save`. Raises ValueError for arrays that don't belong
        together: a model can be a stranger's."""
        values, arrays = (
            read_json(folder / "config.json"),
            load_arrays(folder / "weights.safetensors"),
        )
        settings, fields = build(Pool, values["settings"]), tuple(values["fields"])
        several = bool(values.get("several", False))
        projections = {
            f: Projection(arrays.pop(f"{f}/mean"), arrays.pop(f"{f}/projection")) for f in fields
        }
        shift, answer = arrays.pop("shift"), arrays.pop("answer", None)
        lacked = arrays.pop("lacked").astype(bool)
        words = {
            f: Projection(arrays.pop(f"{f}/words mean"), arrays.pop(f"{f}/words"))
            for f in fields
            if f"{f}/words" in arrays
        }
        # older pools name none: their trees read components of a wide table
        whole = frozenset(values.get(WHOLE, members.whole(projections)))
        fitted = []
        for k, member in enumerate(settings.members):
            own = {
                name.split("/", 1)[1]: value
                for name, value in arrays.items()
                if name.startswith(f"{k}/")
            }
            if member.head == "dropout":
                network = members.dropout_fusion(member).load(folder / str(k))
                fitted.append(Fitted(member, cast(NeuralPredictor, network), several=several))
                continue
            if member.head in LINEAR:
                head = members.loaded_linear_head(member, own)
                fitted.append(Fitted(member, head, several=several))
                continue
            columns = own.pop("columns")
            table = Trees(**own).checked(len(columns), len(shift))
            fitted.append(Fitted(member, table, columns, several))
        return PoolPredictor(
            settings,
            values["space"],
            Inputs(fields, projections, lacked, words, whole),
            tuple(fitted),
            shift,
            answer,
        )


def natural(label: np.ndarray, weights: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows' weights in the mix of classes that the rows have, float64 [n]; and what turns its
    logits into those of the mix that the weights make, float64 [C].

    label: int [n]. weights: [n]. Rows of weight 0 are no rows. A class without rows has shift 0."""
    counts = np.bincount(label, weights > 0, classes)
    sums = np.bincount(label, weights, classes)
    known = (counts > 0) & (sums > 0)
    factor = np.ones(classes)
    factor[known] = (sums[known] / sums.sum()) / (counts[known] / counts.sum())
    return weights / factor[label], np.log(factor)


@dataclass(frozen=True, eq=False)
class PoolPredictor:
    """A fitted pool. shift: float32 [C], added to the logits; [1] of a number, where it is 0.
    answer: float32 [2], about the mean and the standard deviation of a number."""

    settings: Pool
    space: str  # fingerprint of the encoders
    inputs: Inputs
    fitted: tuple[Fitted, ...]
    shift: np.ndarray
    answer: np.ndarray | None

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        rows = embeddings.checked(self.inputs.fields, self.space)
        out = [self._block_scores(block) for block in (rows.blocks() if len(rows) else [rows])]
        return np.concatenate(out).astype(np.float32)

    def _block_scores(self, rows: Embeddings) -> np.ndarray:
        """float64 [n, C] or [n, 1]."""
        known: dict[str, np.ndarray] = {}  # components of these rows, computed once for all heads
        answers = [one.answers(self.inputs, rows, known) for one in self.fitted]
        heard = [self.inputs.heard(one.member, rows) for one in self.fitted]
        mean = members.mixed(answers, heard, [one.member.share for one in self.fitted])
        if self.fitted[0].several:
            return np.log(mean) - np.log1p(-mean)
        if self.answer is not None:
            return mean * float(self.answer[1]) + float(self.answer[0])
        return np.log(mean) + self.shift

    @property
    def has_gradient(self) -> bool:
        """Whether no head is of trees or of ordered classes."""
        return all(isinstance(one.head, Smooth | NeuralPredictor) for one in self.fitted)

    def scores_of(self, row: Embeddings, field: str, features: torch.Tensor) -> torch.Tensor:
        """As `Differentiable.scores_of`."""
        rows = row.checked(self.inputs.fields, self.space)
        answers = torch.stack(
            [one.answers_of(self.inputs, rows, field, features) for one in self.fitted]
        )  # [M, n, C]
        heard = [self.inputs.heard(one.member, rows)[0] for one in self.fitted]
        shares = np.array([one.member.share for one in self.fitted])
        given = shares * heard if any(shares * heard) else shares
        mean = torch.einsum("m,mnv->nv", torch.from_numpy(given / given.sum()), answers)
        if self.fitted[0].several:
            return mean.logit()
        if self.answer is not None:
            return mean * float(self.answer[1]) + float(self.answer[0])
        return mean.log() + torch.from_numpy(self.shift.astype(np.float64))

    def _arrays(self) -> dict[str, np.ndarray]:
        """All arrays by the names that they have on disk."""
        out = {"shift": self.shift, "lacked": self.inputs.lacked.astype(np.uint8)}
        if self.answer is not None:
            out["answer"] = self.answer
        for f, projection in self.inputs.projections.items():
            out |= {f"{f}/mean": projection.mean, f"{f}/projection": projection.directions}
        for f, projection in self.inputs.words.items():
            out |= {f"{f}/words mean": projection.mean, f"{f}/words": projection.directions}
        for k, one in enumerate(self.fitted):
            if isinstance(one.head, NeuralPredictor):
                continue
            if isinstance(one.head, Trees):
                assert one.columns is not None
                own: Mapping[str, np.ndarray] = {**one.head.arrays(), "columns": one.columns}
            else:
                own = vars(one.head)
            out |= {f"{k}/{name}": np.ascontiguousarray(value) for name, value in own.items()}
        return out

    def fingerprint(self) -> str:
        arrays = self._arrays()
        networks = [
            one.head.fingerprint() for one in self.fitted if isinstance(one.head, NeuralPredictor)
        ]
        return fingerprint(
            "pool",
            asdict(self.settings),
            self.space,
            *[arrays[k] for k in sorted(arrays)],
            *networks,
        )

    def save(self, folder: Path) -> None:
        config = {
            "settings": resolved(self.settings),
            "fields": self.inputs.fields,
            "space": self.space,
            WHOLE: sorted(self.inputs.whole),
        }
        several = {"several": True} if self.fitted[0].several else {}
        write_json(folder / "config.json", config | several | {LEAVES_OF_GROUPS: True})
        save_arrays(folder / "weights.safetensors", self._arrays())
        for k, one in enumerate(self.fitted):
            if isinstance(one.head, NeuralPredictor):
                (folder / str(k)).mkdir(exist_ok=True)
                one.head.save(folder / str(k))
