"""Vision towers on tiny saved models. Oracle: transformers' own image processor and model, called
on the same images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from tiny_models import image_model  # noqa: E402

from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.fields import Field  # noqa: E402
from gobelin.data.image.images import png_bytes  # noqa: E402
from gobelin.embedding.encoders import image_model as module  # noqa: E402
from gobelin.embedding.encoders.image_model import FittedImageModel, ImageModel  # noqa: E402
from gobelin.networks.pipelines.calls import quiet  # noqa: E402

KINDS = ("clip", "siglip", "vit", "dinov2", "convnext")
SHAPES = ((64, 40), (33, 90), (32, 32), (200, 201), (10, 17))
IMAGES = [
    np.random.default_rng(k).integers(0, 256, (*s, 3), dtype=np.uint8) for k, s in enumerate(SHAPES)
]
FILES = [png_bytes(i) for i in IMAGES]
FIELD = Field("image", "image_model", ("i",), "image")


@pytest.fixture(scope="module", params=KINDS)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    with quiet():
        return request.param, image_model(
            tmp_path_factory.mktemp("models") / request.param, request.param
        )


def opened(folder: Path, runtime: Runtime, **settings: object) -> FittedImageModel:
    return ImageModel(str(folder), **settings).fit([], FIELD, {}, runtime)  # type: ignore[arg-type]


def decoded(encoder: FittedImageModel, *cells: object) -> list[np.ndarray]:
    return [encoder.decode({"i": cell}, Path())[0] for cell in cells]


def theirs(kind: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """pixel_values [n, 3, H, W] and features [n, D] by transformers, one image at a time."""
    with quiet(), torch.no_grad():
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
        network = transformers.AutoModel.from_pretrained(folder).eval()
        pixels = [
            processor(images=Image.fromarray(i), return_tensors="pt")["pixel_values"]
            for i in IMAGES
        ]
        if kind in ("clip", "siglip"):
            rows = [network.get_image_features(pixel_values=p).pooler_output for p in pixels]
        elif kind == "vit":
            rows = [network(p).last_hidden_state[:, 0] for p in pixels]
        else:
            rows = [network(p).pooler_output for p in pixels]
    return torch.cat(pixels).numpy(), torch.cat(rows).numpy()


def test_pixels_and_features_are_those_of_transformers(
    saved: tuple[str, Path], runtime: Runtime
) -> None:
    kind, folder = saved
    encoder, (pixels, features) = opened(folder, runtime), theirs(kind, folder)
    assert isinstance(encoder.prepare, module._Pixels)  # the short way
    found = encoder.prepare.scaled(
        torch.from_numpy(np.concatenate(decoded(encoder, *FILES)))
    ).numpy()
    deviation = np.array(encoder.prepare.deviation)[:, None, None]
    assert np.abs((found - pixels) * deviation).max() < 1 / 255 / 2
    rows = encoder.embed(decoded(encoder, *FILES))
    assert (
        rows.shape == (5, encoder.width)
        and rows.dtype == np.float32
        and features.std(0).min() > 1e-3
    )
    assert np.allclose(rows, features, atol=1e-4)
    several = encoder.embed(decoded(encoder, FILES[:2], FILES[3]))
    assert np.allclose(several, [features[:2].mean(0), features[3]], atol=1e-4)


def test_batches_and_order_change_nothing(saved: tuple[str, Path], runtime: Runtime) -> None:
    for precision, most in (("float32", 1e-4), ("bfloat16", 0.05)):
        chosen = dataclasses.replace(runtime, precision=precision)
        one, many = (opened(saved[1], chosen, batch=b) for b in (1, 64))
        cells = decoded(one, *FILES)
        rows = many.embed(cells)
        scale = np.abs(rows).max()
        assert np.abs(one.embed(cells) - rows).max() < most * scale
        assert np.abs(many.embed(cells[::-1])[::-1] - rows).max() < most * scale


def test_a_processor_that_does_more_is_called_itself(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quiet():
        folder = image_model(tmp_path / "dinov2", "dinov2")
    short = opened(folder, runtime)
    wrong = dataclasses.replace(short.prepare, resample=0)  # type: ignore[type-var]
    monkeypatch.setattr(
        module, "_steps", lambda own: wrong
    )  # steps that don't give what the processor gives
    long = opened(folder, runtime)
    assert isinstance(long.prepare, module._Processor)
    assert np.allclose(
        long.embed(decoded(long, *FILES)), short.embed(decoded(short, *FILES)), atol=1e-4
    )
