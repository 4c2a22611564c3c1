"""Encoder of meshes. Oracles: planted shapes and sizes, a mesh that was turned and scaled, and the
image encoder itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from solids import box, scattered, sphere, torus, turned

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.files import BadCell
from gobelin.data.image.images import png_bytes
from gobelin.data.mesh.meshes import NOT_CLOSED, Mesh, ply_bytes
from gobelin.data.mesh.shape import shape_width
from gobelin.data.mesh.views import turntable, views
from gobelin.embedding import pictured
from gobelin.embedding.columns.schema import default_encoder
from gobelin.embedding.encoders import Classes, Sample, TrainingCells
from gobelin.embedding.encoders.mesh import Mesh as Settings

FIELD, KINDS = Field("thing", "mesh", ("thing",), "mesh"), {"thing": "mesh"}
SMALL = {"network": "pixels", "views": 4, "pixels": 32}


def fitted(meshes: list[Mesh], runtime: Runtime, **settings: Any) -> Any:  # noqa: ANN401
    cells = TrainingCells([{"thing": ply_bytes(m)} for m in meshes], least_groups=2)
    component = Settings(**{**SMALL, **settings})
    return component.fit(cells, FIELD, KINDS, runtime)


def vectors(encoder: Any, meshes: list[Mesh]) -> np.ndarray:  # noqa: ANN401
    cells = [{"thing": ply_bytes(m)} for m in meshes]
    return np.asarray(encoder.embed([encoder.decode(c, Path())[0] for c in cells]))


def kinds_of_things(seed: int) -> list[Mesh]:
    rng = np.random.default_rng(seed)
    sizes = rng.uniform(0.5, 2, (4, 3))
    boxes = [box(tuple(s)) for s in sizes]  # type: ignore[arg-type]
    rings = [torus(1, rng.uniform(0.2, 0.5), 16, 8) for _ in range(4)]
    balls = [Mesh(sphere(1, 2).vertices * s, sphere(1, 2).faces) for s in sizes]
    return boxes + rings + balls


def test_alike_meshes_are_near(runtime: Runtime) -> None:
    things = kinds_of_things(0)
    encoder = fitted(things, runtime)
    x = vectors(encoder, things)
    assert x.shape == (12, encoder.network.width + shape_width(False, False))
    x = (x - x.mean(0)) / (x.std(0).mean() + 1e-9)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) + 1e9 * np.eye(12)
    assert (apart.argmin(1) // 4 == np.arange(12) // 4).mean() > 0.8  # chance: 0.27


def test_views_are_those_of_the_image_encoder(runtime: Runtime) -> None:
    """The first part of a vector is the mean of what the image encoder says of each view."""
    things = kinds_of_things(1)
    encoder = fitted(things, runtime)
    ring = things[5]
    pictures = views(ring, turntable(4, 30), 32)
    image = catalog.build("encoders", "pixels").fit([], FIELD, {}, runtime)
    each = [image.embed([image.decode({"i": png_bytes(p)}, Path())[0]]) for p in pictures]
    mean = np.mean(each, axis=0)[0]
    found = vectors(encoder, [ring])
    assert np.allclose(found[0, : len(mean)], mean, atol=1e-5)
    # classes that the image encoder names: the logits of a mesh are the mean of those of its views
    assert encoder.classes() is None
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(len(mean), 3)).astype(np.float32), np.ones(3, np.float32)
    encoder.network.classes = lambda: Classes(weight, bias, ("a", "b", "c"))
    named = encoder.classes()
    logits = np.mean([v[0] @ weight + bias for v in each], axis=0)
    assert np.allclose(found[0] @ named.weight + named.bias, logits, atol=1e-3)


def test_turned_and_scaled(runtime: Runtime) -> None:
    things = [scattered(k, 20) for k in range(6)]
    moved = [turned(t, 9, 3.0, 2.0) for t in things]
    free = fitted(things, runtime, any_turn=True, any_scale=True)
    assert np.allclose(vectors(free, moved), vectors(free, things), atol=0.02)
    larger = [Mesh(t.vertices * 3, t.faces, t.colours) for t in things]
    sized = fitted(things, runtime)
    assert np.abs(vectors(sized, larger) - vectors(sized, things)).max() > 0.5
    scaled = fitted(things, runtime, any_scale=True)
    assert np.allclose(vectors(scaled, larger), vectors(scaled, things), atol=1e-3)


def test_notes_bids_and_mistakes(tmp_path: Path, runtime: Runtime) -> None:
    (tmp_path / "a.ply").write_bytes(ply_bytes(scattered(0)))
    (tmp_path / "b.stl").write_bytes(b"\0" * 90)
    encoder = fitted(kinds_of_things(2), runtime)
    assert encoder.decode({"thing": "a.ply"}, tmp_path)[1] == NOT_CLOSED
    for bad in ("b.stl", "c.obj", "../a.ply"):
        with pytest.raises(BadCell):
            encoder.decode({"thing": bad}, tmp_path)
    bid = Settings.bid(Sample("thing", ("a.ply", "c.obj"), 2, tmp_path))
    assert bid is not None and bid.kind == "mesh" and default_encoder("mesh") == "mesh"
    with pytest.raises(GobelinError, match=r"encoders.mesh.network: 'imag' .* 'image'"):
        catalog.build("encoders", "mesh", {"network": "imag"})


def test_without_weights_the_way_out_is_named(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lacking:
        def fit(self, *given: Any) -> None:  # noqa: ANN401
            raise MissingExtra("The weights", "demo")

    monkeypatch.setattr(pictured, "image_encoder", lambda settings: Lacking())
    with pytest.raises(GobelinError, match=r"demo.*--set encoders.mesh.network=pixels"):
        fitted(kinds_of_things(3)[:3], runtime)
