"""The map of one field into the shared space: linear maps of its features and of its likeness to
landmarks, in parts of unit length side by side, and one linear map of the whole.

Parts of unit length make the cosine of two rows a fixed mixture of the parts' cosines, whatever
their scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gobelin.embedding.alignment.correlation import Basis, likeness

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Part:
    """A map [K, width] of a basis' components, and how much its cosine counts."""

    basis: Basis
    last: np.ndarray
    weight: float = 1.0


def arrays(parts: list[Part]) -> dict[str, np.ndarray]:
    """The arrays of a field's map. The parts of one basis come first, then those of the other (H
    columns in all). Beside them `whole` [H, D] may map what they are together; without it they stay
    as they are (H = D)."""
    out: dict[str, np.ndarray] = {}
    for basis, own in _by_basis(parts):
        lifted = basis.lift is not None
        name = "lifted_" if lifted else ""
        out[f"{name}mean"] = basis.mean
        out[f"{name}projection"] = (
            basis.directions @ np.concatenate([p.last for p in own], 1)
        ).astype(np.float32)
        if basis.lift is not None:
            out |= {"landmarks": basis.lift.landmarks, "scale": basis.lift.scale}
            out["bandwidth"] = np.array([basis.lift.bandwidth], np.float32)
    ordered = [p for _, own in _by_basis(parts) for p in own]
    out["widths"] = np.array([p.last.shape[1] for p in ordered])
    out["shares"] = np.array([p.weight for p in ordered], np.float32)
    return out


def vectors(w: Arrays, x: np.ndarray) -> np.ndarray:
    """float32 [n, D], of unit length, of features [n, D_f]."""
    z = side_by_side(w, x)
    return unit(z @ w["whole"] if "whole" in w else z)


def side_by_side(w: Arrays, x: np.ndarray) -> np.ndarray:
    """float32 [n, H]: the parts, each of the root of its weight's length."""
    parts = []
    if "projection" in w:
        parts.append((x - w["mean"]) @ w["projection"])
    if "lifted_projection" in w:
        seen = likeness(x, w["landmarks"], w["scale"], float(w["bandwidth"][0]))
        parts.append((seen - w["lifted_mean"]) @ w["lifted_projection"])
    edges = np.cumsum(w["widths"])[:-1]
    cut = np.split(np.concatenate(parts, 1), edges, axis=1)
    return np.concatenate([unit(p) * np.sqrt(s) for p, s in zip(cut, w["shares"], strict=True)], 1)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of unit length, float32; a row of zeros stays."""
    return (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


def _by_basis(parts: list[Part]) -> list[tuple[Basis, list[Part]]]:
    """At most one basis of features as they are, and one of likenesses."""
    sides = [
        [p for p in parts if p.basis.lift is None],
        [p for p in parts if p.basis.lift is not None],
    ]
    return [(own[0].basis, own) for own in sides if own]
