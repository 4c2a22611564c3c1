"""Images by any vision model of Hugging Face: CLIP, SigLIP, DINO, DINOv2, ViT, ConvNeXt and their
like, by folder or hub id.

The vector is the one that the model makes of an image (CLIP's projection, a trained pooler), else
the class token, else the mean over positions. Several images in one cell are averaged. Pixels are
resized, cropped and scaled as the model's own image processor does it, which is checked on a few
images when the model is opened; a processor that does more is called itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.images import Opening, image_key, image_query, image_values, open_image
from gobelin.embedding.encoders import Forward, Sample
from gobelin.networks.hub_model import (
    HubModelEncoder,
    Place,
    pooled_vector,
    restored,
    tower_output,
    transformers,
)
from gobelin.networks.pooling import means

PROBES = (
    (60, 90),
    (150, 70),
    (400, 300),
)  # sides of the images on which the two ways to prepare pixels are compared


@settings_class
class ImageModel:
    """Settings."""

    model: str = setting(default="", description="Folder of the model, or its id on the hub.")
    revision: str = setting(default="main", description="Revision of a hub id.")
    local_only: bool = setting(
        default=True,
        description="Whether a hub id is looked for on this machine only. false downloads it.",
    )
    batch: int = setting(default=32, ge=1, le=65536, description="Images at once.")
    opening: Opening = setting(default_factory=Opening, description="How images are opened.")

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    flag: ClassVar[str] = "image"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = False

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # the encoder `image` bids for this kind; this one is taken by name

    def parse(self, text: str, field: Field) -> Cell:
        return image_query(text, field)

    def fit(
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedImageModel:
        return FittedImageModel(self, runtime)

    def load(self, folder: Path, runtime: Runtime) -> FittedImageModel:
        return restored(self, FittedImageModel, folder, runtime)


class FittedImageModel(Forward, HubModelEncoder):
    """A vision tower with its way to prepare pixels."""

    encoder = "image_model"

    def __init__(self, settings: ImageModel, runtime: Runtime) -> None:
        self.settings, self.runtime = settings, runtime
        self.place = Place("image", settings.model, settings.revision, settings.local_only)
        self.prepare = _preparation(self.place)
        self.module = (
            _Tower(*self.place.network())
            .eval()
            .to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        )
        self.width = self.embed([self.prepare(np.zeros((16, 16, 3), np.uint8))[None]]).shape[1]

    def key(self, cell: Cell, root: Path) -> bytes:
        return image_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """[k, 3, H, W], uint8 or what the processor makes, for the k images of the cell."""
        opened = [open_image(v, root, self.settings.opening) for v in image_values(cell)]
        pixels = np.stack([self.prepare(np.asarray(i.convert("RGB"))) for i, _ in opened])
        return pixels, next((how for _, how in opened if how), "")

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, D_f], differentiable."""
        features = []
        with self.runtime.autocast():  # once for all blocks, so that the weights are rounded once
            for block in torch.from_numpy(np.concatenate(list(batch))).split(self.settings.batch):
                x = self.prepare.scaled(block.to(self.runtime.device)).contiguous(
                    memory_format=torch.channels_last
                )
                features.append(self.module(x).float())
        return means(torch.cat(features), [len(images) for images in batch])


class _Tower(nn.Module):
    """Pixels to one vector."""

    def __init__(self, network: nn.Module, pooled: bool) -> None:
        super().__init__()
        self.network, self.pooled = network, pooled
        self.marked = any(
            n.endswith(("cls_token", "class_embedding")) for n, _ in network.named_parameters()
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, 3, H, W] -> [n, D]."""
        output = tower_output(self.network, "image", {"pixel_values": pixels})
        if (own := pooled_vector(output, self.pooled)) is not None:
            return own
        last: Tensor = output.last_hidden_state  # [n, tokens, D] or [n, D, h, w]
        return last.mean((2, 3)) if last.ndim == 4 else last[:, 0] if self.marked else last.mean(1)


@dataclass(frozen=True)
class _Pixels:
    """The steps of most processors. width, height, or edge: what an image is resized to, itself or
    its shorter side (0 = none). crop: width and height of the middle that is kept. factor, mean,
    deviation: of the scaling, which waits for the batch."""

    width: int
    height: int
    edge: int
    crop: tuple[int, int] | None
    resample: int
    factor: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> uint8 [3, height, width]."""
        image = Image.fromarray(pixels)
        short, long = min(image.size), max(image.size)
        sides = (self.width, self.height)
        if self.edge:  # the longer side is cut, not rounded
            sides = (self.edge, int(self.edge * long / short))
            sides = sides if image.width == short else sides[::-1]
        if sides != image.size:
            image = image.resize(sides, self.resample)
        if self.crop:
            left, top = (image.width - self.crop[0]) // 2, (image.height - self.crop[1]) // 2
            image = image.crop((left, top, left + self.crop[0], top + self.crop[1]))
        return np.asarray(image).transpose(2, 0, 1)

    def scaled(self, pixels: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> float32."""
        mean, deviation = (
            torch.tensor(v, device=pixels.device)[:, None, None]
            for v in (self.mean, self.deviation)
        )
        return (pixels.float() * self.factor - mean) / deviation


@dataclass(frozen=True)
class _Processor:
    """The model's own image processor."""

    own: Any

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> float32 [3, height, width]."""
        return np.asarray(
            self.own(images=[pixels], return_tensors="np")["pixel_values"][0], np.float32
        )

    def scaled(self, pixels: Tensor) -> Tensor:
        return pixels.float()


def _preparation(place: Place) -> _Pixels | _Processor:
    """The short way if it gives what the model's processor gives, else that; an error for one that
    makes no fixed size."""
    library, folder = transformers(), str(place.folder)
    own = place.opened(
        lambda: library.AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True
        )
    )
    rng, long = numpy_generator(0, "probes"), _Processor(own)
    probes = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in PROBES]
    expected = place.opened(lambda: [long(p) for p in probes])
    if len({e.shape for e in expected}) > 1 or expected[0].ndim != 3:
        raise GobelinError(
            f"{place.where}: {folder}: its processor makes images of no fixed size. Use another"
            " model."
        )
    short = _steps(own)
    if short is None:
        return long
    made = [short(p) for p in probes]
    same = all(
        m.shape == e.shape
        and np.abs(short.scaled(torch.from_numpy(m.copy())[None])[0].numpy() - e).max() < 1e-4
        for m, e in zip(made, expected, strict=True)
    )
    return short if same else long


def _steps(own: Any) -> _Pixels | None:  # noqa: ANN401 - any image processor
    """The steps that its settings name, None where they name none that are known."""

    def said(name: str) -> Any:  # noqa: ANN401
        value = getattr(own, name, None)
        return dict(value) if name in ("size", "crop_size") and value else value

    size, crop, channels = said("size") or {}, said("crop_size") or {}, 3
    edge = int(size.get("shortest_edge") or 0)
    width, height = int(size.get("width") or 0), int(size.get("height") or 0)
    keep = (
        (int(crop["width"]), int(crop["height"]))
        if said("do_center_crop") and crop.get("width")
        else None
    )
    if (
        percent := said("crop_pct")
    ) and edge:  # ConvNeXt: a larger edge, then the middle; a square from 384 on
        keep = (edge, edge) if edge < 384 else None
        width, height, edge = (edge, edge, 0) if edge >= 384 else (0, 0, int(edge / percent))
    if not said("do_resize") or not (edge or (width and height)):
        return None
    plain = not said("do_normalize")
    factor = float(said("rescale_factor") or 1 / 255) if said("do_rescale") else 1.0
    mean = tuple(float(m) for m in said("image_mean") or ()) if not plain else (0.0,) * channels
    deviation = tuple(float(d) for d in said("image_std") or ()) if not plain else (1.0,) * channels
    if len(mean) != channels or len(deviation) != channels:
        return None
    return _Pixels(width, height, edge, keep, int(said("resample")), factor, mean, deviation)
