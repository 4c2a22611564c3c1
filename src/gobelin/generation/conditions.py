"""Conditions of images, from rows of the data and from queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gobelin.core.lazy import torch
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.embedding.alignment.align import Shared
from gobelin.generation.generators import Condition


def captions(
    dataset: Dataset, schema: Schema, rows: Sequence[int] | np.ndarray
) -> list[str | None]:
    """The text of each row: in the first text field, of the first column that has one; None where
    the row has no text. Of several texts in one cell the first."""
    field = next((f for f in schema.fields if f.kind == "text"), None)
    columns = [dataset.values(c) for c in field.columns] if field else []
    texts = [next((v for c in columns if (v := c[int(r)]) is not None), None) for r in rows]
    return [None if v is None else str(v[0] if isinstance(v, list) else v) for v in texts]


def narrowed(condition: Condition, parts: frozenset[str]) -> Condition:
    """The condition without the parts that aren't named. For conditions that come from rows: a
    part that a user named must be refused, not dropped (`check_condition`)."""
    dropped: dict[str, Any] = {
        name: None for name in ("target", "text", "source", "mask") if name not in parts
    }
    if "vectors" not in parts:
        dropped |= {
            "vectors": torch.zeros_like(condition.vectors),
            "present": torch.zeros_like(condition.present),
        }
    return replace(condition, **dropped)


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
        target=None if target is None else target_tensor(_values(target)[rows], target.kind),
        fingerprint=shared.fingerprint,
    )


def _values(target: Target) -> np.ndarray:
    """[N] of the target for a generator; none where a row has several labels at once."""
    return np.full(len(target), -1) if target.kind == "labels" else target.values


def target_tensor(values: np.ndarray, kind: str) -> torch.Tensor:
    """[N] as `Condition.target` holds it: float32 of a number, else int64."""
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
    """n times the same condition. Image and mask are in memory once.

    query: its vectors; None = no field at all. label: a class index or a number. space: the shared
    space. kind: of the target. text: a prompt. source: uint8 [H, W, C]. mask: bool [H, W]. None
    leaves a part out."""
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
    first = Condition(fields, vectors, present, target, fingerprint=space.fingerprint)
    return replace(
        first.rows([0] * n),
        text=None if text is None else [text] * n,
        source=None if source is None else np.broadcast_to(source, (n, *source.shape)),
        mask=None if mask is None else np.broadcast_to(mask, (n, *mask.shape)),
    )
