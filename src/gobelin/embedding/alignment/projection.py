"""The map of one field into the shared space: linear maps of its features and of random waves of
them, in parts of unit length side by side, and one linear map of the whole.

Parts of unit length make the cosine of two rows a fixed mixture of the parts' cosines, whatever
their scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gobelin.embedding.alignment.correlation import Basis, waved

# the arrays of a field's map by name, see `arrays`
FieldMap = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ProjectionPart:
    """One part of a field's map: components of a basis, mapped.

    last: [K, width], after the basis. weight: of this part in a cosine."""

    basis: Basis
    last: np.ndarray
    weight: float = 1.0


def arrays(parts: list[ProjectionPart]) -> dict[str, np.ndarray]:
    """The arrays of a field's map, by name.

    The parts of the features come first, then those of waves (H columns in all). A caller may
    add `whole` [H, D], a map of all parts together; without it the parts are the vector (H = D)."""
    out: dict[str, np.ndarray] = {}
    for basis, basis_parts in _by_basis(parts):
        name = "" if basis.waves is None else "lifted_"
        last = np.concatenate([p.last for p in basis_parts], 1)  # [K, H of this basis]
        out[f"{name}mean"] = basis.mean
        out[f"{name}projection"] = (basis.directions @ last).astype(np.float32)
        if basis.waves is not None:
            out["waves"] = basis.waves
    ordered = [p for _, basis_parts in _by_basis(parts) for p in basis_parts]
    out["widths"] = np.array([p.last.shape[1] for p in ordered])
    out["shares"] = np.array([p.weight for p in ordered], np.float32)
    return out


def width_of(w: FieldMap) -> int:
    """D of the vectors that a map gives."""
    return int(w["whole"].shape[1] if "whole" in w else w["widths"].sum())


def width_read(w: FieldMap) -> int:
    """D_f of the features that a map takes."""
    if "projection" in w:
        return len(w["projection"])
    return len(w["waves"]) if "waves" in w else int(w["landmarks"].shape[1])


def vectors(w: FieldMap, x: np.ndarray) -> np.ndarray:
    """float32 [n, D], of unit length, of features [n, D_f]."""
    z = side_by_side(w, x)
    return unit(z @ w["whole"] if "whole" in w else z)


def side_by_side(w: FieldMap, x: np.ndarray) -> np.ndarray:
    """float32 [n, H]: the parts of features [n, D_f], each as long as the root of its weight. So
    the product of two rows is the weighted sum of the parts' cosines."""
    parts = []
    if "projection" in w:
        parts.append((x - w["mean"]) @ w["projection"])
    if "lifted_projection" in w:
        lifted = waved(x, w["waves"]) if "waves" in w else _likeness(w, x)
        parts.append((lifted - w["lifted_mean"]) @ w["lifted_projection"])
    edges = np.cumsum(w["widths"])[:-1]
    cut = np.split(np.concatenate(parts, 1), edges, axis=1)
    return np.concatenate([unit(p) * np.sqrt(s) for p, s in zip(cut, w["shares"], strict=True)], 1)


def _likeness(w: FieldMap, x: np.ndarray) -> np.ndarray:
    """float32 [n, M]: exp(-|(x - l) / scale|^2 / bandwidth) for M landmarks l. Maps that were made
    before there were waves have them; the landmarks are training rows."""
    a, b = x / w["scale"], w["landmarks"] / w["scale"]
    squared = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)
    return np.exp(-squared / float(w["bandwidth"][0])).astype(np.float32)


def unit(x: np.ndarray) -> np.ndarray:
    """float32, as x [..., D]: rows of unit length; a row of zeros stays."""
    return (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


def _by_basis(parts: list[ProjectionPart]) -> list[tuple[Basis, list[ProjectionPart]]]:
    """The parts of each basis: first that of the features as they are, then that of waves."""
    plain = [p for p in parts if p.basis.waves is None]
    lifted = [p for p in parts if p.basis.waves is not None]
    return [(some[0].basis, some) for some in (plain, lifted) if some]
