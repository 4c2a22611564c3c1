"""Generators of volumes. Oracles: the contract of images, planted volumes and classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from processor import RUNTIME
from solids import box

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field, Schema, Target
from gobelin.data.image.images import Opening
from gobelin.data.media import medium
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import VolumeOpening
from gobelin.embedding.alignment.align import Shared
from gobelin.generation import sampling
from gobelin.generation.generators import Condition, Context, Controls, ImageRows, Sampler
from gobelin.generation.image_rows import image_field, image_rows, refuse_medium, source_image

SIDE, ROWS = 16, 24
SETTINGS = {
    "flow": {"width": 16, "heads": 2, "depth": 1, "batch": 8},
    "vaegan": {"width": 4, "prior_width": 32, "batch": 8},
    "translate": {"width": 16, "style": 16, "batch": 8},
}


def planted(n: int = ROWS, source: bool = False) -> ImageRows:
    """Volumes of two classes: a bright upper half, or a bright left half. A source is the negative
    of its volume."""
    rng, label = np.random.default_rng(0), np.arange(n) % 2
    volumes = rng.normal(60, 8, (n, SIDE, SIDE, SIDE, 1))
    volumes[label == 0, SIDE // 2 :] += 120
    volumes[label == 1, :, :, : SIDE // 2] += 120
    made = np.clip(volumes, 0, 255).astype(np.uint8)
    vectors = torch.from_numpy(rng.normal(size=(n, 1, 4)).astype(np.float32))
    condition = Condition(
        ("a",),
        vectors,
        torch.ones(n, 1, dtype=torch.bool),
        torch.from_numpy(label),
        source=255 - made if source else None,
        fingerprint="s",
    )
    return ImageRows(made, condition, ("upper", "left"))


@pytest.fixture(scope="module", params=SETTINGS)
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    rows = planted(source=request.param == "translate")
    context = Context(RUNTIME, tmp_path_factory.mktemp(request.param), steps=4)
    return catalog.build("generators", request.param, SETTINGS[request.param]).fit(
        rows, rows.first(16), context
    )


def drawn(sampler: Sampler, n: int, batch: int = 64) -> np.ndarray:
    condition = planted(source="source" in sampler.accepts).condition.rows(range(n))
    return np.concatenate(list(sampler.sample(condition, range(n), Controls(batch=batch))))


def test_volumes_do_not_depend_on_their_batch_and_survive_a_save(
    fitted: Sampler, tmp_path: Path
) -> None:
    volumes = drawn(fitted, 3)
    assert volumes.shape == (3, *fitted.size) == (3, SIDE, SIDE, SIDE, 1)
    assert volumes.dtype == np.uint8 and volumes.std() > 0
    one_by_one = drawn(fitted, 3, 1)
    assert np.abs(one_by_one.astype(int) - volumes).max() <= 1
    fitted.save(tmp_path)
    name = type(fitted).name
    again = catalog.build("generators", name).load(tmp_path, RUNTIME)
    assert again.size == fitted.size and again.fingerprint() == fitted.fingerprint()
    assert np.array_equal(drawn(again, 3), volumes)


def test_a_source_volume_is_kept_at_strength_0(tmp_path: Path) -> None:
    rows = planted(source=True)
    sampler = catalog.build("generators", "translate", SETTINGS["translate"]).fit(
        rows, rows.first(0), Context(RUNTIME, tmp_path, steps=2)
    )
    condition = rows.condition.rows([0, 1])
    same = np.concatenate(list(sampler.sample(condition, [0, 1], Controls(strength=0.0))))
    assert np.array_equal(same, condition.source)
    # a mask: what is outside stays the source's, exactly
    mask = np.zeros((2, SIDE, SIDE, SIDE), bool)
    mask[:, :4] = True
    masked = replace(condition, mask=mask)
    new = np.concatenate(list(sampler.sample(masked, [0, 1], Controls())))
    assert np.array_equal(new[:, 4:], condition.source[:, 4:])
    assert not np.array_equal(new[:, :4], condition.source[:, :4])


@pytest.mark.slow
def test_flow_learns_the_class_of_a_volume(tmp_path: Path) -> None:
    rows = planted(64)
    settings = {"width": 32, "heads": 2, "depth": 2, "batch": 16, "half_life": 10.0}
    sampler = catalog.build("generators", "flow", settings).fit(
        rows, rows.first(0), Context(RUNTIME, tmp_path, steps=120)
    )
    volumes = drawn(sampler, 16).astype(float)
    upper = volumes[:, SIDE // 2 :].mean((1, 2, 3, 4)) - volumes[:, : SIDE // 2].mean((1, 2, 3, 4))
    left = volumes[:, :, :, : SIDE // 2].mean((1, 2, 3, 4)) - volumes[:, :, :, SIDE // 2 :].mean(
        (1, 2, 3, 4)
    )
    assert ((upper > left) == (np.arange(16) % 2 == 0)).all()


@pytest.mark.parametrize("side", [12, 72])
def test_volumes_of_other_sizes_are_refused(side: int, tmp_path: Path) -> None:
    rows = planted(4)
    wrong = replace(rows, images=np.zeros((4, side, side, side, 1), np.uint8))
    with pytest.raises(GobelinError, match=f"volumes of 16 to 64 voxels, found {side} x {side}"):
        catalog.build("generators", "flow").fit(wrong, wrong, Context(RUNTIME, tmp_path, steps=1))


def schema_of(*kinds: str) -> Schema:
    columns = tuple(Column(f"c{k}", kind) for k, kind in enumerate(kinds))
    return Schema(columns, tuple(Field.of(c.name, "x", [c]) for c in columns))


def test_the_generated_field_has_a_medium_and_the_generator_makes_it() -> None:
    schema = schema_of("text", "volume", "image")
    assert image_field(schema) == "c1"
    assert image_field(schema_of("image", "volume", "volume"), "c1") == "c2"
    refuse_medium("flow", schema)
    with pytest.raises(GobelinError, match="gan makes images, the column 'c1' holds volumes") as e:
        refuse_medium("gan", schema)
    assert "Use flow or imported or translate or vaegan" in str(e.value)
    with pytest.raises(GobelinError, match="'c0' holds images, the columns to make hold others"):
        image_field(schema_of("image", "volume"), "c0")


def test_rows_of_volumes_are_fitted_to_one_size(tmp_path: Path) -> None:
    """Oracle: a volume of constant value, one of twice the side, one of three channels."""
    values = [np.full((4, 4, 4), 90, np.uint8), np.full((8, 8, 8), 60, np.uint8)]
    for k, value in enumerate(values):
        np.save(tmp_path / f"{k}.npy", value)
    np.save(tmp_path / "2.npy", np.zeros((4, 4, 4, 3), np.uint8))

    def rows_of(names: list[str]) -> ImageRows:
        dataset = Dataset(pa.table({"c0": names}), tmp_path, "test").with_ids()
        n = len(names)
        shared = Shared(
            ("c0",), np.zeros((n, 1, 2), np.float32), np.ones((n, 1), bool), dataset.ids, "s"
        )
        target = Target("", "class", np.zeros(n, np.int64), ("a",))
        return image_rows(dataset, np.arange(n), schema_of("volume"), shared, target, 4, 1)

    rows = rows_of(["0.npy", "1.npy"])
    assert rows.images.shape == (2, 4, 4, 4, 1)
    assert (rows.images[0] == 90).all() and (rows.images[1] == 60).all()
    with pytest.raises(GobelinError, match="volumes of 1 and of 3 channels"):
        rows_of(["0.npy", "2.npy"])


def test_volumes_are_written_with_their_provenance(tmp_path: Path) -> None:
    volumes = planted(2).images
    origins = [{"seed": k, "generator": "flow"} for k in range(2)]
    names = sampling.write(iter([volumes]), ["a", "b"], origins, tmp_path, pictures=True)
    assert names == ["a.nii.gz", "b.nii.gz"] and (tmp_path / "b.png").is_file()
    data = (tmp_path / "b.nii.gz").read_bytes()
    assert is_marked(data) and is_marked((tmp_path / "b.png").read_bytes())
    assert read_lineage(tmp_path / "b.nii.gz") == {"seed": 1, "generator": "flow"}
    assert np.array_equal(medium("volume").array(data), volumes[1])
    pytest.importorskip("nibabel")
    opened, _ = open_volume("b.nii.gz", tmp_path, VolumeOpening())
    assert np.array_equal(opened.values, volumes[1])


def test_a_source_file_of_a_volume(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.full((8, 8, 8), 7, np.uint8))
    array, sides = source_image(tmp_path / "v.npy", (4, 4, 4, 1), "volume")
    assert (array == 7).all() and array.shape == (4, 4, 4, 1) and sides == (8, 8, 8)
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    for name, problem in (("gone.npy", "no such file"), ("bad.npy", "is no .npy file")):
        with pytest.raises(GobelinError, match=problem):
            source_image(tmp_path / name, (4, 4, 4, 1), "volume")


def test_a_source_is_seen_through_the_window_of_its_column(tmp_path: Path) -> None:
    """Of HU -900 to 100, 0 lies at nine tenths; alone, the file would set a range of its own."""
    np.save(tmp_path / "hu.npy", np.full((8, 8, 8), 0, np.int16))
    window = VolumeOpening(low=-900, high=100)
    array, _ = source_image(tmp_path / "hu.npy", (4, 4, 4, 1), "volume", window)
    assert (np.abs(array.astype(int) - 0.9 * 255) <= 1).all()
    Image.fromarray(np.full((8, 8), 900, np.uint16)).save(tmp_path / "hu.png")
    array, _ = source_image(tmp_path / "hu.png", (4, 4, 1), "image", Opening(low=0, high=1000))
    assert (np.abs(array.astype(int) - 0.9 * 255) <= 1).all()


def test_a_source_file_of_a_mesh(tmp_path: Path) -> None:
    cube = box((1, 1, 1))
    lines = [f"v {x} {y} {z}" for x, y, z in cube.vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in cube.faces + 1]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    array, _ = source_image(tmp_path / "a.obj", (8, 8, 8, 1), "mesh")
    assert (array[2:-2, 2:-2, 2:-2] == 255).all()
    with pytest.raises(GobelinError, match="Give the path of a volume"):
        source_image(tmp_path / "a.obj", (8, 8, 8, 1), "volume")
