"""The network of places: Fourier features of several scales, each with its own layers, summed
(GeoCLIP, Vivanco Cepeda, Nayak & Shah 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gobelin.core.errors import GobelinError


class FourierScale(nn.Module):
    """One scale: Fourier features cos(2 pi B v), sin(2 pi B v) of v [n, 2], then a network."""

    frequencies: Tensor  # B, float32 [F, 2]

    def __init__(self, frequencies: Tensor, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        """layers: weight [out, in] and bias [out] of each, in order."""
        super().__init__()
        self.register_buffer("frequencies", frequencies)
        parts: list[nn.Module] = []
        for weight, bias in layers:
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                linear.weight.copy_(weight), linear.bias.copy_(bias)
            parts += [linear, nn.ReLU()]
        self.layers = nn.Sequential(*parts[:-1])

    def forward(self, v: Tensor) -> Tensor:
        angle = 2 * torch.pi * v @ self.frequencies.T  # [n, F]
        return self.layers(torch.cat([angle.cos(), angle.sin()], dim=-1))


class LocationNetwork(nn.Module):
    """The sum of all scales, [n, 2] -> [n, D_f]."""

    def __init__(self, scales: Sequence[FourierScale]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)

    def forward(self, v: Tensor) -> Tensor:
        return torch.stack([scale(v) for scale in self.scales]).sum(0)


def opened(path: Path, remedy: str) -> LocationNetwork:
    """The network of a file of weights as GeoCLIP writes it. Only tensors are read from it. Raises
    a GobelinError for another file, with this remedy."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        count = 1 + max(int(name.split(".")[0].removeprefix("LocEnc")) for name in tensors)
        scales = []
        for k in range(count):
            names = [f"LocEnc{k}.capsule.{layer}" for layer in (1, 3, 5)] + [f"LocEnc{k}.head.0"]
            layers = [(tensors[f"{n}.weight"], tensors[f"{n}.bias"]) for n in names]
            scales.append(FourierScale(tensors[f"LocEnc{k}.capsule.0.b"].float(), layers))
    except Exception as error:  # the many ways in which a file can be another one
        raise GobelinError(
            f"{path}: is no file of weights of GeoCLIP's location encoder ({type(error).__name__})."
            f" {remedy}"
        ) from error
    return LocationNetwork(scales).eval()
