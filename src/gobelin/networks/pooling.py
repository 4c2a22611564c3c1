"""Several items in one cell (images, clips, words) become one vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def means(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """[M, D] -> [n, D]: the mean of the first counts[0] rows, of the next counts[1] rows, and so
    on; 0 for a count of 0.
    """
    if all(count == 1 for count in counts):
        return rows
    size = torch.tensor(counts, device=rows.device)
    owner = torch.repeat_interleave(size)
    return (
        rows.new_zeros(len(counts), rows.shape[1]).index_add(0, owner, rows)
        / size.clamp_min(1)[:, None]
    )
