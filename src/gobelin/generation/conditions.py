"""Conditions: what an image is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.embedding.alignment.align import Shared
from gobelin.generation.generators import Condition


def captions(
    dataset: Dataset, schema: Schema, rows: Sequence[int] | np.ndarray
) -> list[str | None]:
    """The text of each row in the first field that a text encoder reads, there in the first column
    that has one."""
    field = next((f for f in schema.fields if f.kind == "text"), None)
    columns = [dataset.values(c) for c in field.columns] if field else []
    found = [next((v for c in columns if (v := c[int(r)]) is not None), None) for r in rows]
    return [None if v is None else str(v[0] if isinstance(v, list) else v) for v in found]


def narrowed(condition: Condition, parts: frozenset[str]) -> Condition:
    """The condition without the parts that aren't named. For conditions that nobody asked for word
    by word."""
    gone: dict[str, Any] = {
        name: None for name in ("target", "text", "source", "mask") if name not in parts
    }
    if "vectors" not in parts:
        gone |= {
            "vectors": torch.zeros_like(condition.vectors),
            "present": torch.zeros_like(condition.present),
        }
    return replace(condition, **gone)


def condition(
    shared: Shared, target: Target | None, rows: np.ndarray, fields: Sequence[str] | None = None
) -> Condition:
    """The condition of some rows: all their vectors, or those of `fields` alone, and their
    target."""
    present = shared.present[rows]
    if fields is not None:
        present = present & np.isin(shared.fields, list(fields))
    return Condition(
        fields=shared.fields,
        vectors=torch.from_numpy(shared.vectors[rows] * present[:, :, None]),
        present=torch.from_numpy(present),
        target=None if target is None else target_tensor(_asked(target)[rows], target.kind),
        fingerprint=shared.fingerprint,
    )


def _asked(target: Target) -> np.ndarray:
    """What a generator is told of the target: nothing of labels that hold side by side."""
    return np.full(len(target), -1) if target.kind == "labels" else target.values


def target_tensor(values: np.ndarray, kind: str) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32 if kind == "number" else np.int64))


def from_query(
    query: Shared | None,
    label: int | float | None,
    space: Shared,
    kind: str,
    n: int,
    *,
    text: str | None = None,
    source: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> Condition:
    """n times the same condition: a query's vectors (None: no field at all), a label, a prompt, a
    source image uint8 [H, W, C] and a mask bool [H, W] (None: none). However many, image and mask
    are in memory once."""
    fields, width = space.fields, space.vectors.shape[2]
    vectors = (
        torch.zeros(1, len(fields), width) if query is None else torch.from_numpy(query.vectors)
    )
    present = (
        torch.zeros(1, len(fields), dtype=torch.bool)
        if query is None
        else torch.from_numpy(query.present)
    )
    missing = float("nan") if kind == "number" else -1
    target = target_tensor(np.array([missing if label is None else label]), kind)
    one = Condition(fields, vectors, present, target, fingerprint=space.fingerprint)
    return replace(
        one.rows([0] * n),
        text=None if text is None else [text] * n,
        source=None if source is None else np.broadcast_to(source, (n, *source.shape)),
        mask=None if mask is None else np.broadcast_to(mask, (n, *mask.shape)),
    )
