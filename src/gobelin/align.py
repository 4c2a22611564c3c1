"""One kept space for every field: a linear projection a field, closed form first, then contrastive.

Start: regularised canonical correlations of many sets (Kettenring 1971) on the principal components of each field. Then the
projections are trained with the symmetric contrastive loss of every pair of fields (Radford et al. 2021, fig. 3), pulled
towards their start, and stopped by the retrieval of held-back training rows. When contrastive training doesn't retrieve
better, or buys one pair of fields with another's loss, the closed form is kept. A row serves the pairs of fields that it has.

What this cannot show: that two fields describe the same thing. It finds what they share linearly, chance included; recall
on rows that were not trained on (`search`) says how much that is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from gobelin.config import within
from gobelin.embedding import Embeddings, principal
from gobelin.errors import GobelinError
from gobelin.runtime import Progress, Runtime, generator, numpy_generator, silent
from gobelin.store import fingerprint, load_arrays, read_json, save_arrays, write_json

CLOSED_FORM, CONTRASTIVE = "closed form", "contrastive"
WORST = 0.03  # what a pair of fields may lose of its retrieval while the others gain


@dataclass(frozen=True)
class Shared:
    """N rows in the shared space. vectors: float32 [N, F, D], unit length where present, else zero. present: bool [N, F]."""

    fields: tuple[str, ...]
    vectors: np.ndarray
    present: np.ndarray
    ids: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.present)

    def pooled(self) -> np.ndarray:
        """float32 [N, D]: the mean of a row's present vectors, of unit length (zero for a row with nothing)."""
        mean = self.vectors.sum(1)
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)

    def of(self, field: str) -> np.ndarray:
        """float32 [N, D]: the vectors of one field."""
        return self.vectors[:, self.fields.index(field)]

    def has(self, field: str) -> np.ndarray:
        """bool [N]."""
        return self.present[:, self.fields.index(field)]


@dataclass(frozen=True)
class Align:
    """width: D of the shared space. components: principal components kept of each field. shrinkage: ridge added to the
    variance of every component, as a share of their mean. steps, batch, rate, temperature: of the
    contrastive training. pull: weight of the distance from the start. holdout: share of the training rows held back to
    stop by."""

    width: int = 128
    components: int = 192
    shrinkage: float = 1.0
    steps: int = 300
    batch: int = 512
    rate: float = 5e-4
    temperature: float = 0.07
    pull: float = 0.1
    holdout: float = 0.15

    def __post_init__(self) -> None:
        within(self, {
            "width": (1, 8192), "components": (1, 8192), "shrinkage": (0, 1e6), "steps": (0, 1e7), "batch": (2, 1e7),
            "rate": (1e-9, 10), "temperature": (1e-4, 100), "pull": (0, 1e6), "holdout": (0, 0.9),
        })  # fmt: skip

    def fit(self, train: Embeddings, groups: Sequence[str], runtime: Runtime, progress: Progress = silent) -> Alignment:
        """Learn from training rows. groups [N]: rows of one group are held back together."""
        if len(train) < 2 or not train.present.any():
            raise GobelinError(f"align: {len(train)} training rows with something in them. At least 2 are needed.")
        names = sorted(set(groups))
        order = numpy_generator(runtime.seed, "align", "holdout").permutation(len(names))
        held_names = {names[k] for k in order[: int(self.holdout * len(names))]}
        held = np.array([g in held_names for g in groups])
        bases = {f: _basis(train, f, self.components, self.shrinkage) for f in train.fields}
        whitened = {f: bases[f].apply(train.features[f]) for f in train.fields}
        start = self._closed_form(whitened, train.present & ~held[:, None], train.fields)
        tuned, kept = self._contrastive(whitened, train.present, held, train.fields, start, runtime, progress)
        if kept == CLOSED_FORM:  # nothing was stopped by the held-back rows: they may serve too
            tuned = self._closed_form(whitened, train.present, train.fields)
        weights = {}
        for k, f in enumerate(train.fields):
            weights[f"{f}/mean"] = bases[f].mean
            weights[f"{f}/projection"] = (bases[f].whiten @ tuned[k]).astype(np.float32)
        return Alignment(self, train.fields, weights, train.space, kept)

    def _closed_form(self, x: dict[str, np.ndarray], present: np.ndarray, fields: Sequence[str]) -> list[np.ndarray]:
        """Projections [K_f, D] that maximise the summed correlations of all pairs of fields (Kettenring 1971, SUMCOR)."""
        sizes = [x[f].shape[1] for f in fields]
        edges = np.concatenate([[0], np.cumsum(sizes)])
        joint = np.eye(edges[-1])
        for a, b in combinations(range(len(fields)), 2):
            both = present[:, a] & present[:, b]
            if both.sum() > 2:
                xa, xb = x[fields[a]][both].astype(np.float64), x[fields[b]][both].astype(np.float64)
                block = xa.T @ xb / both.sum()
                joint[edges[a] : edges[a + 1], edges[b] : edges[b + 1]] = block
                joint[edges[b] : edges[b + 1], edges[a] : edges[a + 1]] = block.T
        values, vectors = np.linalg.eigh(joint)
        top = np.argsort(-values)[: self.width]
        strength = np.clip(values[top] - 1, 0, None)  # zero where no pair of fields shares anything
        basis = vectors[:, top] * strength / max(strength.max(), 1e-12)
        full = np.zeros((edges[-1], self.width))
        full[:, : basis.shape[1]] = basis
        blocks = [full[edges[k] : edges[k + 1]] for k in range(len(fields))]
        # a field that meets no other in any row (an image folder has but one): its own principal components
        return [block if np.abs(block).max(initial=0) > 1e-9 else np.eye(*block.shape) for block in blocks]

    def _contrastive(
        self,
        x: dict[str, np.ndarray],
        present: np.ndarray,
        held: np.ndarray,
        fields: Sequence[str],
        start: list[np.ndarray],
        runtime: Runtime,
        progress: Progress,
    ) -> tuple[list[np.ndarray], str]:
        """The start, trained on until held-back retrieval stops rising, and which of the two was kept."""
        first = [torch.tensor(s, dtype=torch.float32) for s in start]
        weights = [w.clone().requires_grad_() for w in first]
        inputs = [torch.from_numpy(x[f]) for f in fields]
        have = torch.from_numpy(present)
        stay, out = torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))
        optimiser = torch.optim.Adam(weights, lr=self.rate)
        begun = _retrieval(inputs, first, have, out)
        best, best_weights, kept, since = 0.0, first, CLOSED_FORM, 0
        for step in range(self.steps):
            rng = generator(runtime.seed, "align", step)
            rows = stay[torch.randperm(len(stay), generator=rng)[: self.batch]]
            loss = _contrast([i[rows] for i in inputs], weights, have[rows], self.temperature)
            loss = loss + self.pull * sum(((w - s) ** 2).sum() for w, s in zip(weights, first, strict=True))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % 20 == 19:
                progress("align", step + 1, self.steps)
                gains, since = _retrieval(inputs, weights, have, out) - begun, since + 1
                score = float(gains.mean()) if len(gains) else 0.0
                if score > best + 1e-3 and gains.min() > -WORST:
                    best, best_weights, kept, since = score, [w.detach().clone() for w in weights], CONTRASTIVE, 0
                if since == 4:
                    break
        progress("align", self.steps, self.steps)
        return [w.detach().numpy() for w in best_weights], kept

    @staticmethod
    def load(folder: Path) -> Alignment:
        values = read_json(folder / "config.json")
        weights = load_arrays(folder / "weights.safetensors")
        return Alignment(Align(**values["settings"]), tuple(values["fields"]), weights, values["space"], values["kept"])


@dataclass(frozen=True)
class _Basis:
    mean: np.ndarray  # [D_f]
    whiten: np.ndarray  # [D_f, K]

    def apply(self, features: np.ndarray) -> np.ndarray:
        return ((features - self.mean) @ self.whiten).astype(np.float32)


def _basis(train: Embeddings, field: str, components: int, shrinkage: float) -> _Basis:
    """Principal components over the root of variance plus ridge: regularised whitening, weak directions stay weak."""
    mean, directions, variances = principal(train, field, components)
    scale = 1 / np.sqrt(variances + shrinkage * variances.mean() + 1e-12)
    return _Basis(mean.astype(np.float32), (directions * scale).astype(np.float32))


def _project(inputs: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [torch.nn.functional.normalize(x @ w, dim=1) for x, w in zip(inputs, weights, strict=True)]


def _contrast(
    inputs: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], have: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The mean over pairs of fields of the symmetric cross-entropy over cosines (Radford et al. 2021, fig. 3)."""
    z, losses = _project(inputs, weights), []
    for a, b in combinations(range(len(z)), 2):
        both = have[:, a] & have[:, b]
        if int(both.sum()) > 1:
            logits = z[a][both] @ z[b][both].T / temperature
            own = torch.arange(len(logits))
            cross = torch.nn.functional.cross_entropy
            losses.append((cross(logits, own) + cross(logits.T, own)) / 2)
    return torch.stack(losses).mean() if losses else sum(w.sum() for w in weights) * 0.0  # type: ignore[return-value]


@torch.no_grad()
def _retrieval(
    inputs: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], have: torch.Tensor, rows: torch.Tensor
) -> np.ndarray:
    """The logarithm of the mean reciprocal rank of every ordered pair of fields that these rows have."""
    z, scores = _project([i[rows] for i in inputs], weights), []
    for a, b in combinations(range(len(z)), 2):
        both = have[rows][:, a] & have[rows][:, b]
        if int(both.sum()) > 1:
            cosines = z[a][both] @ z[b][both].T
            for c in (cosines, cosines.T):
                ranks = (c >= c.diagonal()[:, None]).sum(1)
                scores.append(float((1.0 / ranks).mean().log()))
    return np.array(scores)


class Alignment:
    """A fitted projection for every field. weights: {field/mean [D_f], field/projection [D_f, D]}."""

    def __init__(self, settings: Align, fields: tuple[str, ...], weights: dict[str, np.ndarray], space: str, kept: str) -> None:
        self.settings, self.fields, self.weights, self.space, self.kept = settings, fields, weights, space, kept

    def project(self, embeddings: Embeddings) -> Shared:
        """Rows of features into the shared space. An error when they come from other encoders."""
        if embeddings.space != self.space or embeddings.fields != self.fields:
            raise GobelinError("align: these embeddings come from other encoders than the alignment. Embed with the same run.")
        vectors = np.zeros((len(embeddings), len(self.fields), self.settings.width), np.float32)
        for k, f in enumerate(self.fields):
            z = (embeddings.features[f] - self.weights[f"{f}/mean"]) @ self.weights[f"{f}/projection"]
            z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
            vectors[:, k] = z * embeddings.present[:, k, None]
        return Shared(self.fields, vectors, embeddings.present, embeddings.ids, self.fingerprint())

    def fingerprint(self) -> str:
        return fingerprint("align", self.space, asdict(self.settings), *[self.weights[k] for k in sorted(self.weights)])

    def save(self, folder: Path) -> None:
        values = {"settings": asdict(self.settings), "fields": self.fields, "space": self.space, "kept": self.kept}
        write_json(folder / "config.json", values)
        save_arrays(folder / "weights.safetensors", self.weights)
