"""A small file of weights in the layout of GeoCLIP's location encoder."""

from __future__ import annotations

from pathlib import Path

import torch


def weights_file(folder: Path) -> Path:
    """Two scales, vectors of 6."""
    rng = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng) / 2

    tensors = {}
    for k in range(2):
        tensors[f"LocEnc{k}.capsule.0.b"] = drawn(4, 2)
        for layer in (1, 3, 5):
            tensors |= {
                f"LocEnc{k}.capsule.{layer}.weight": drawn(8, 8),
                f"LocEnc{k}.capsule.{layer}.bias": drawn(8),
            }
        tensors |= {f"LocEnc{k}.head.0.weight": drawn(6, 8), f"LocEnc{k}.head.0.bias": drawn(6)}
    torch.save(tensors, folder / "weights.pth")
    return folder / "weights.pth"
