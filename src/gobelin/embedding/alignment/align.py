"""One kept space for every field: a projection a field, closed form first, then contrastive.

Start, all in closed form (`correlation`): regularised canonical correlations of many sets, on the
features and again on every field's likeness to landmark rows; and those of every two fields alone,
whose ridge held-back rows choose. Each is a part of unit length (`projection`), so a cosine is a
mixture of what all fields, and what these two, have in common; the parts together are turned to
their principal directions and cut to the width of the space. Then a linear map of each field's
vectors is trained with a contrastive loss of every pair of fields (`networks.contrast`), pulled
towards the identity, and stopped by the retrieval of held-back training rows. When that doesn't
retrieve better, or buys one pair of fields with another's loss, the closed form is kept. A row
serves the pairs of fields that it has; rows of one group belong together. Batches are read from
memory-mapped features, and with torch.distributed started each process takes its share of a batch,
so neither rows nor batch need fit one process.

A network that names classes is a bridge to words: its softmax mixes the text vectors of the names,
and an image also stands where that mixture stands (`Bridge`).

What this cannot show: that two fields describe the same thing. It finds what they share, chance
included; recall on rows that were not trained on (`search`) says how much that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, load_arrays, read_json, save_arrays, write_json
from gobelin.core.machine import Progress, Runtime, generator, numpy_generator, silent
from gobelin.embedding.alignment.closed_form import WATCHED, Closed, reciprocal_ranks
from gobelin.embedding.alignment.contrastive import (
    crew,
    gathered,
    sigmoid_loss,
    softmax_loss,
    summed,
)
from gobelin.embedding.alignment.correlation import BLOCK, Basis
from gobelin.embedding.alignment.projection import Part, arrays, unit, vectors
from gobelin.embedding.features import Embeddings
from gobelin.evidence import intervals

CLOSED_FORM, CONTRASTIVE = "closed form", "contrastive"
WORST = 0.03  # what a pair of fields may lose of its retrieval while the others gain
BRIDGES = (0.0, 0.125, 0.25, 0.5)  # weights of a bridge that held-back rows choose from
RIDGES = (0.01, 0.1, 1.0)  # of a field that is bound later
WHOLE = 50_000  # training rows whose vectors are computed once
PATIENCE = 2  # looks without a better one, and training ends
TURNS, TURNED = (
    4,
    20_000,
)  # how often rows are held back, and of how many at most; once where they are more


@dataclass(frozen=True)
class Shared:
    """N rows in the shared space. vectors: float32 [N, F, D], unit length where present, else zero.
    present: bool [N, F]."""

    fields: tuple[str, ...]
    vectors: np.ndarray
    present: np.ndarray
    ids: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.present)

    def pooled(self) -> np.ndarray:
        """float32 [N, D]: the mean of a row's present vectors, of unit length (zero for a row with
        nothing)."""
        return unit(self.vectors.sum(1))

    def of(self, field: str) -> np.ndarray:
        """float32 [N, D]: the vectors of one field."""
        return self.vectors[:, self.fields.index(field)]

    def has(self, field: str) -> np.ndarray:
        """bool [N]."""
        return self.present[:, self.fields.index(field)]


@dataclass(frozen=True)
class Bridge:
    """A field whose encoder names classes, and a field of words. weight [D_f, K], bias [K]: of the
    classes' logits. words: [K, D_t], the names by the encoder of the field of words."""

    field: str
    to: str
    weight: np.ndarray
    bias: np.ndarray
    words: np.ndarray


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
        description="Training rows that all rows are compared with. 0 fits linear maps only.",
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

    def fit(
        self,
        train: Embeddings,
        groups: Sequence[str],
        runtime: Runtime,
        progress: Progress = silent,
        bridges: Sequence[Bridge] = (),
    ) -> Alignment:
        """Learn from training rows. groups [N]: rows of one group belong together and are held back
        together."""
        if len(train) < 2 or not train.present.any():
            raise GobelinError(
                f"align: {len(train)} training rows with something in them. At least 2 are needed."
            )
        parts = self._held(groups, runtime)
        names = np.unique(list(groups), return_inverse=True)[1]
        sides = [
            {f: Basis.fit(train, f, self.components, count, runtime.seed) for f in train.fields}
            for count in ([0, self.landmarks] if self.landmarks else [0])
        ]
        closed = Closed(train, sides, self.joint, self.pairs, self.width)
        seen = [closed.products(train.present & ~held[:, None]) for held in parts]
        joints = [closed.joints(one, self.shrinkage, self.power) for one in seen]
        ridges = closed.choose([one[0] for one in seen], joints, parts, names)
        starts = [
            Alignment(
                self, train.fields, closed.weights(one[0], joint, ridges), train.space, CLOSED_FORM
            )
            for one, joint in zip(seen if bridges else seen[:1], joints, strict=False)
        ]
        found = (
            self._contrastive(starts[0], train, parts[0], names, runtime, progress)
            if self.steps
            else starts[0]
        )
        if found.kept == CONTRASTIVE:
            starts = [found]
        else:  # nothing was stopped by the held-back rows: they may serve too
            last = closed.products(train.present)
            found = replace(
                found,
                weights=closed.weights(
                    last[0], closed.joints(last, self.shrinkage, self.power), ridges
                ),
            )
        for bridge in bridges:
            strength = _strength(starts, bridge, train, names, parts[: len(starts)])
            if strength:
                found, *starts = (
                    _bridged(one, bridge, strength, train) for one in (found, *starts)
                )
        return found

    def _held(self, groups: Sequence[str], runtime: Runtime) -> list[np.ndarray]:
        """bool [N] each: rows that are held back in turn, whole groups; one turn alone where rows
        are many."""
        names = sorted(set(groups))
        order = numpy_generator(runtime.seed, "align", "holdout").permutation(len(names))
        size = int(self.holdout * len(names))
        turns = min(TURNS, len(names) // size) if size and len(groups) <= TURNED else 1
        held = [{names[k] for k in order[t * size : (t + 1) * size]} for t in range(turns)]
        return [np.array([g in one for g in groups]) for one in held]

    def _contrastive(
        self,
        start: Alignment,
        train: Embeddings,
        held: np.ndarray,
        names: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> Alignment:
        """The start, or with it trained linear maps [D, D] of its vectors that retrieve held-back
        rows better."""
        x, present = _Vectors(train, start), train.present
        first = [torch.eye(self.width) for _ in train.fields]
        weights = [w.clone().requires_grad_() for w in first]
        scale = [
            torch.tensor(float(np.log(1 / self.temperature)), requires_grad=True),
            torch.tensor(-5.0, requires_grad=True),
        ]
        have, groups = torch.from_numpy(present), torch.from_numpy(names)
        stay, out = np.flatnonzero(~held), np.flatnonzero(held)[:WATCHED]
        watched = x.rows(out)
        learned = [*weights, *(scale if self.loss == "sigmoid" else [])]
        optimiser = torch.optim.Adam(learned, lr=self.rate)
        begun = _retrieval(_project(watched, first), have[out], names[out])
        best, best_weights, since = 0.0, first, 0
        rank, world = crew()
        for step in range(self.steps):
            rng = generator(runtime.seed, "align", step)
            rows = stay[torch.randperm(len(stay), generator=rng)[: self.batch].numpy()]
            with runtime.autocast():
                z = [
                    gathered(one, len(rows)) for one in _project(x.rows(rows[rank::world]), weights)
                ]
                loss = self._loss(z, have[rows], groups[rows], scale)
            loss = loss + self.pull * sum(
                ((w - s) ** 2).sum() for w, s in zip(weights, first, strict=True)
            )
            optimiser.zero_grad()
            loss.backward()
            summed(learned)
            optimiser.step()
            if step % 20 == 19:
                progress("align", step + 1, self.steps)
                gains, since = (
                    _retrieval(_project(watched, weights), have[out], names[out]) - begun,
                    since + 1,
                )
                score = float(gains.mean()) if len(gains) else 0.0
                if score > best + 1e-3 and gains.min() > -WORST:
                    best, best_weights, since = score, [w.detach().clone() for w in weights], 0
                if since == PATIENCE:
                    break
        progress("align", self.steps, self.steps)
        return (
            start
            if best_weights is first
            else _turned(start, [w.detach().numpy() for w in best_weights])
        )

    def _loss(
        self, z: Sequence[Tensor], have: Tensor, groups: Tensor, scale: Sequence[Tensor]
    ) -> Tensor:
        """The mean over the pairs of fields that stand together in at least two rows."""
        losses = []
        for a, b in combinations(range(len(z)), 2):
            both = have[:, a] & have[:, b]
            if int(both.sum()) > 1:
                cosines, same = (
                    (z[a][both] @ z[b][both].T).float(),
                    groups[both][:, None] == groups[both][None],
                )
                if self.loss == "sigmoid":
                    losses.append(
                        sigmoid_loss(cosines, same, (-scale[0]).exp(), scale[1], self.hard)
                    )
                else:
                    losses.append(
                        softmax_loss(cosines, same, torch.tensor(self.temperature), self.hard)
                    )
        return (
            torch.stack(losses).mean()
            if losses
            else torch.stack([one.sum() for one in z]).sum() * 0.0
        )

    @staticmethod
    def load(folder: Path) -> Alignment:
        values = read_json(folder / "config.json")
        weights = load_arrays(folder / "weights.safetensors")
        bridges = tuple((a, b, strength) for a, b, strength in values["bridges"])
        return Alignment(
            Align(**values["settings"]),
            tuple(values["fields"]),
            weights,
            values["space"],
            values["kept"],
            bridges,
        )


class _Vectors:
    """Vectors of rows by their number: computed once where that is little, else when they are asked
    for."""

    def __init__(self, train: Embeddings, start: Alignment) -> None:
        self.train, self.start = train, start
        self.whole = start.project(train).vectors if len(train) <= WHOLE else None

    def rows(self, index: np.ndarray) -> list[Tensor]:
        """F tensors, float32 [n, D]."""
        vectors = (
            self.start.project(self.train.rows(index)).vectors
            if self.whole is None
            else self.whole[index]
        )
        return [
            torch.from_numpy(np.ascontiguousarray(vectors[:, k])) for k in range(vectors.shape[1])
        ]


def _project(inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    return [
        torch.nn.functional.normalize(x @ w, dim=1) for x, w in zip(inputs, weights, strict=True)
    ]


@torch.no_grad()
def _retrieval(z: Sequence[Tensor], have: Tensor, names: np.ndarray) -> np.ndarray:
    """The logarithm of the mean reciprocal rank of every ordered pair of fields that these rows
    have."""
    scores = []
    for a, b in combinations(range(len(z)), 2):
        both = have[:, a] & have[:, b]
        if int(both.sum()) > 1:
            cosines, own = z[a][both] @ z[b][both].T, names[both.numpy()]
            scores += [float(reciprocal_ranks(c, own).mean().log()) for c in (cosines, cosines.T)]
    return np.array(scores)


def _strength(
    starts: Sequence[Alignment],
    bridge: Bridge,
    train: Embeddings,
    names: np.ndarray,
    parts: Sequence[np.ndarray],
) -> float:
    """The weight of a bridge with which rows held back from each start are found best from both
    sides; 0 where the interval of the gain over no bridge, groups its units, holds 0."""
    a, b = (train.fields.index(f) for f in (bridge.field, bridge.to))
    scores: list[list[np.ndarray]] = [[] for _ in BRIDGES]
    units: list[np.ndarray] = []
    for start, held in zip(starts, parts, strict=True):
        rows = np.flatnonzero(held & train.present[:, a] & train.present[:, b])[:WATCHED]
        units.append(names[rows])
        for k, strength in enumerate(BRIDGES):
            z = torch.from_numpy(
                _bridged(start, bridge, strength, train).project(train.rows(rows)).vectors
            )
            cosines = z[:, a] @ z[:, b].T
            ranks = reciprocal_ranks(cosines, names[rows]) + reciprocal_ranks(
                cosines.T, names[rows]
            )
            scores[k].append(ranks.numpy())
    found = np.array([np.concatenate(one) for one in scores])
    if found.shape[1] < 2:
        return 0.0
    best = int(found.mean(1).argmax())
    level = 1 - 0.05 / (len(BRIDGES) - 1)  # the best of several
    return (
        BRIDGES[best]
        if intervals.mean(found[best] - found[0], np.concatenate(units), level).low > 0
        else 0.0
    )


def _turned(start: Alignment, turns: Sequence[np.ndarray]) -> Alignment:
    """`start` with every field's vectors mapped by [D, D]."""
    more = {}
    for f, turn in zip(start.fields, turns, strict=True):
        whole = start.weights.get(f"{f}/whole", np.eye(len(turn), dtype=np.float32))
        more[f"{f}/whole"] = np.ascontiguousarray(whole @ turn, np.float32)
    return replace(start, weights=start.weights | more, kept=CONTRASTIVE)


def _bridged(found: Alignment, bridge: Bridge, strength: float, train: Embeddings) -> Alignment:
    """`found` with one bridge more. The names' mean is moved to that of the training words, so that
    only what tells names apart counts."""
    there = train.present[:, train.fields.index(bridge.to)]
    words = bridge.words - bridge.words.mean(0) + train.features[bridge.to][there].mean(0)
    sharp, name = found.settings.sharpness, f"bridge/{bridge.field}/{bridge.to}"
    more = {
        f"{name}/weight": bridge.weight * sharp,
        f"{name}/bias": bridge.bias * sharp,
        f"{name}/words": words,
    }
    weights = found.weights | {k: np.ascontiguousarray(v, np.float32) for k, v in more.items()}
    over = (*found.bridges, (bridge.field, bridge.to, strength))
    return Alignment(found.settings, found.fields, weights, found.space, found.kept, over)


@dataclass(frozen=True, eq=False)
class Alignment:
    """A fitted projection for every field. weights: {field/...}, the arrays of its map
    (`projection.arrays`), and of bridges {bridge/field/to/...}. kept: which training. bridges:
    (field, field of words, weight)."""

    settings: Align
    fields: tuple[str, ...]
    weights: dict[str, np.ndarray]
    space: str
    kept: str
    bridges: tuple[tuple[str, str, float], ...] = ()

    def project(self, embeddings: Embeddings) -> Shared:
        """Rows of features into the shared space. An error when they come from other encoders."""
        if embeddings.space != self.space or embeddings.fields != self.fields:
            raise GobelinError(
                "align: these embeddings come from other encoders than the alignment. Embed with"
                " the same run."
            )
        vectors = np.zeros((len(embeddings), len(self.fields), self.settings.width), np.float32)
        for start in range(0, len(embeddings), BLOCK):
            block = embeddings.rows(np.arange(start, min(start + BLOCK, len(embeddings))))
            vectors[start : start + BLOCK] = self._vectors(block)
        return Shared(self.fields, vectors, embeddings.present, embeddings.ids, self.fingerprint())

    def _vectors(self, block: Embeddings) -> np.ndarray:
        out = np.zeros((len(block), len(self.fields), self.settings.width), np.float32)
        for k, f in enumerate(self.fields):
            z = self._one(f, block.features[f])
            for _, to, strength in (b for b in self.bridges if b[0] == f):
                name = f"bridge/{f}/{to}"
                logits = (
                    block.features[f] @ self.weights[f"{name}/weight"]
                    + self.weights[f"{name}/bias"]
                )
                z = unit(
                    z
                    + strength
                    * self._one(to, softmax(logits, axis=1) @ self.weights[f"{name}/words"])
                )
            out[:, k] = z * block.present[:, k, None]
        return out

    def _one(self, field: str, x: np.ndarray) -> np.ndarray:
        """float32 [n, D], of unit length."""
        return vectors(self._maps[field], x)

    @cached_property
    def _maps(self) -> dict[str, dict[str, np.ndarray]]:
        return {
            f: {k[len(f) + 1 :]: v for k, v in self.weights.items() if k.rpartition("/")[0] == f}
            for f in self.fields
        }

    def bind(self, train: Embeddings, groups: Sequence[str], runtime: Runtime) -> Alignment:
        """The same space with the fields that it lacks, whose vectors are those of the old ones as
        they were, to the bit.

        train: rows with old and new fields. A new field learns, by ridge regression on its whitened
        components, to stand where the row's old fields stand; the ridge is the one with which
        held-back rows are found best."""
        new = tuple(f for f in train.fields if f not in self.fields)
        old = train.keep(self.fields)
        if old.fields != self.fields or not new:
            raise GobelinError(
                f"align: the kept space has the fields {', '.join(self.fields)}, these rows have"
                f" {', '.join(train.fields)}. Give rows with all of those and at least one more."
            )
        s, held = self.settings, self.settings._held(groups, runtime)[0]
        names = np.unique(list(groups), return_inverse=True)[1]
        goal = (
            Alignment(s, self.fields, self.weights, old.space, self.kept, self.bridges)
            .project(old)
            .pooled()
        )
        weights = dict(self.weights)
        for f in new:
            basis = Basis.fit(train, f, s.components, s.landmarks, runtime.seed)
            there = train.present[:, train.fields.index(f)] & old.present.any(1)
            scale = basis.scale(s.shrinkage).astype(np.float32)
            x = basis(train.features[f]) * scale
            judged = np.flatnonzero(there & held)[:WATCHED]
            scores = []
            for ridge in RIDGES:
                z = unit(x[judged] @ _ridge(x[there & ~held], goal[there & ~held], ridge))
                scores.append(
                    float(
                        reciprocal_ranks(torch.from_numpy(z @ goal[judged].T), names[judged]).mean()
                    )
                    if len(judged)
                    else 0.0
                )
            last = _ridge(x[there], goal[there], RIDGES[int(np.argmax(scores))])
            weights |= {
                f"{f}/{k}": v for k, v in arrays([Part(basis, scale[:, None] * last)]).items()
            }
        return Alignment(s, train.fields, weights, train.space, self.kept, self.bridges)

    def fingerprint(self) -> str:
        arrays = [self.weights[k] for k in sorted(self.weights)]
        return fingerprint("align", self.space, asdict(self.settings), list(self.bridges), *arrays)

    def save(self, folder: Path) -> None:
        values = {
            "settings": asdict(self.settings),
            "fields": self.fields,
            "space": self.space,
            "kept": self.kept,
        }
        write_json(folder / "config.json", values | {"bridges": [list(b) for b in self.bridges]})
        save_arrays(folder / "weights.safetensors", self.weights)


def _ridge(x: np.ndarray, goal: np.ndarray, ridge: float) -> np.ndarray:
    """[K, D]: least squares with a penalty that is `ridge` times the mean square of a component
    (Hoerl & Kennard 1970)."""
    x = x.astype(np.float64)
    square = x.T @ x
    penalty = ridge * max(np.trace(square) / max(len(square), 1), 1e-12)
    return np.linalg.solve(square + penalty * np.eye(len(square)), x.T @ goal)
