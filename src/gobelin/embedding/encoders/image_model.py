"""Images by any vision model of Hugging Face, by folder or hub id.

For example CLIP, SigLIP, DINO, DINOv2, ViT or ConvNeXt. The vector of an image is the model's own
(CLIP's projection, a trained pooler), else the class token, else the mean over positions. Several
images in one cell are averaged. Pixels are resized, cropped and scaled here, much faster than by
the model's own image processor. When the model is opened, a few images test that both give the
same; else the processor itself is called.
"""

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
from gobelin.data.budget import excess
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import BadCell, cell_key, file_values
from gobelin.data.image.images import Opening, decoded, image_query
from gobelin.embedding.encoders import Sample
from gobelin.embedding.hub_encoder import HubEncoder, restored
from gobelin.networks.hub_model import ModelSource, pooled_vector, tower_output, transformers
from gobelin.networks.pooling import means

# Height and width of the images on which the two ways to prepare pixels are compared.
PROBES = ((60, 90), (150, 70), (400, 300))
ENLARGED = 32  # bytes a pixel that a processor needs: several copies in bytes and in floats


@settings_class
class ImageModel:
    """Settings. Saved are `model` as it is given here, and a hash of the files: elsewhere, set
    `model` to their new place."""

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


class FittedImageModel(HubEncoder[ImageModel]):
    """A vision tower with its way to prepare pixels."""

    name = "image_model"
    kind = "image"

    def __init__(self, settings: ImageModel, runtime: Runtime) -> None:
        super().__init__(settings, runtime)
        self.prepare = _preparation(self.place)
        self.module = self.network(
            lambda: _Tower(*self.place.network()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        )
        pixels = self.prepare(np.zeros((16, 16, 3), np.uint8))
        self.side = max(pixels.shape[1:])
        self.width = self.embed([pixels[None]]).shape[1]

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """[k, 3, H, W] of the k images of the cell: uint8, or float32 from the model's
        processor."""
        prepared, notes = [], []
        for value in file_values(cell):  # one at a time, so that one is in memory
            with decoded(value, root, self.settings.opening) as (image, note):
                _refuse_thin(image.size, self.side)
                prepared.append(self.prepare(np.asarray(image.convert("RGB"))))
            notes.append(note)
        return np.stack(prepared), next((note for note in notes if note), "")

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, D_f], differentiable."""
        features = []
        with self.runtime.autocast():  # once for all blocks, so that the weights are rounded once
            for block in torch.from_numpy(np.concatenate(list(batch))).split(self.settings.batch):
                features.append(self._features(block))
        return means(torch.cat(features), [len(images) for images in batch])

    def of_pixels(self, images: Tensor) -> Tensor:
        """float32 [n, D_f] of float32 [n, 3, H, W]."""
        with self.runtime.autocast():
            return self._features(images)

    def _features(self, images: Tensor) -> Tensor:
        """float32 [n, D_f] of [n, 3, H, W], as `decode` gives them."""
        x = self.prepare.scaled(images.to(self.runtime.device))
        out: Tensor = self.module(x.contiguous(memory_format=torch.channels_last))
        return out.float()


def _refuse_thin(size: tuple[int, int], side: int) -> None:
    """BadCell for an image so long and thin that the budget lacks the memory to enlarge its shorter
    side to that of the model, as a processor does before it cuts out the middle. size: width and
    height.
    """
    longer = max(side, side * max(size) // min(size))
    if reason := excess("cell_mb", ENLARGED * side * longer):
        raise BadCell(f"is {size[0]} x {size[1]} pixels, enlarged for the model it {reason}")


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
        if (vector := pooled_vector(output, self.pooled)) is not None:
            return vector
        last: Tensor = output.last_hidden_state  # [n, tokens, D] or [n, D, h, w]
        return last.mean((2, 3)) if last.ndim == 4 else last[:, 0] if self.marked else last.mean(1)


@dataclass(frozen=True)
class _Pixels:
    """The steps of most processors: resize, crop, scale."""

    width: int  # to which an image is resized; 0 = by `edge`
    height: int
    edge: int  # to which the shorter side is resized; 0 = by `width` and `height`
    crop: tuple[int, int] | None  # width and height of the middle part that stays
    resample: int  # Pillow's filter
    factor: float  # x -> (x factor - mean) / deviation, computed for a batch at once
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

    processor: Any

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> float32 [3, height, width]."""
        return np.asarray(
            self.processor(images=[pixels], return_tensors="np")["pixel_values"][0], np.float32
        )

    def scaled(self, pixels: Tensor) -> Tensor:
        return pixels.float()


def _preparation(place: ModelSource) -> _Pixels | _Processor:
    """The short way if it gives the same as the model's processor, else the processor. Raises a
    GobelinError for a processor that makes no fixed size."""
    library, folder = transformers(), str(place.folder)
    processor = place.opened(
        lambda: library.AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True
        )
    )
    rng, long = numpy_generator(0, "probes"), _Processor(processor)
    probes = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in PROBES]
    expected = place.opened(lambda: [long(p) for p in probes])
    if len({e.shape for e in expected}) > 1 or expected[0].ndim != 3:
        raise GobelinError(
            f"{place.where}: {folder}: its processor makes images of no fixed size. Use another"
            " model."
        )
    short = _steps(processor)
    if short is None:
        return long
    prepared = [short(p) for p in probes]
    same = all(
        p.shape == e.shape
        and np.abs(short.scaled(torch.from_numpy(p.copy())[None])[0].numpy() - e).max() < 1e-4
        for p, e in zip(prepared, expected, strict=True)
    )
    return short if same else long


def _steps(processor: Any) -> _Pixels | None:  # noqa: ANN401 - any image processor
    """The steps that the processor's settings name; None where a step is unknown."""

    def setting(name: str) -> Any:  # noqa: ANN401
        value = getattr(processor, name, None)
        return dict(value) if name in ("size", "crop_size") and value else value

    size, crop, channels = setting("size") or {}, setting("crop_size") or {}, 3
    edge = int(size.get("shortest_edge") or 0)
    width, height = int(size.get("width") or 0), int(size.get("height") or 0)
    keep = (
        (int(crop["width"]), int(crop["height"]))
        if setting("do_center_crop") and crop.get("width")
        else None
    )
    if (
        percent := setting("crop_pct")
    ) and edge:  # ConvNeXt: a larger edge, then the middle; a square from 384 on
        keep = (edge, edge) if edge < 384 else None
        width, height, edge = (edge, edge, 0) if edge >= 384 else (0, 0, int(edge / percent))
    if not setting("do_resize") or not (edge or (width and height)):
        return None
    plain = not setting("do_normalize")
    factor = float(setting("rescale_factor") or 1 / 255) if setting("do_rescale") else 1.0
    mean = tuple(float(m) for m in setting("image_mean") or ()) if not plain else (0.0,) * channels
    deviation = (
        tuple(float(d) for d in setting("image_std") or ()) if not plain else (1.0,) * channels
    )
    if len(mean) != channels or len(deviation) != channels:
        return None
    return _Pixels(width, height, edge, keep, int(setting("resample")), factor, mean, deviation)
