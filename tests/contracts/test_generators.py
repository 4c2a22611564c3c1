"""Every generator that is installed obeys the contract. Oracle: the planted classes (a colour
each), and itself at another batch size, after a save, and from another process's point of view (a
loaded copy)."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processor import RUNTIME

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.image.images import png_bytes
from gobelin.generation.generators import (
    CONDITION_PARTS,
    Condition,
    Context,
    Controls,
    Generator,
    ImageRows,
    Sampler,
    check_condition,
)

NAMES = [
    n
    for n in catalog.names("generators")
    if n != "pretrained" or importlib.util.find_spec("diffusers")
]
COLOURS = np.array([[230, 40, 40], [40, 90, 230]])
SIZE, ROWS, WIDTH, SPACE = 16, 64, 8, "the space of this test"


def planted(n: int = ROWS) -> ImageRows:
    """Images of two colours; the class is the colour, the vector of field `a` names it too, field
    `b` is noise."""
    rng = np.random.default_rng(0)
    label = np.arange(n) % 2
    images = np.clip(
        COLOURS[label][:, None, None] + rng.normal(0, 12, (n, SIZE, SIZE, 3)), 0, 255
    ).astype(np.uint8)
    vectors = rng.normal(size=(n, 2, WIDTH)).astype(np.float32)
    vectors[:, 0] = np.where(label[:, None] == 1, 1.0, -1.0)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    present = np.ones((n, 2), bool)
    present[::3, 1] = False
    vectors *= present[..., None]
    condition = Condition(
        ("a", "b"),
        torch.from_numpy(vectors),
        torch.from_numpy(present),
        torch.from_numpy(label),
        fingerprint=SPACE,
    )
    return ImageRows(images, condition, ("red", "blue"))


SMALL = {
    "width": 16,
    "critic_width": 8,
    "prior_width": 64,
    "hidden": 32,
    "style": 32,
    "depth": 1,
    "heads": 2,
    "batch": 16,
}


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Networks small enough for a contract, and what a generator can't do without: a pretrained one
    is given a pipeline, one of imported images a folder of them."""
    known = {name: {f.name for f in fields(catalog.find("generators", name))} for name in NAMES}
    out: dict[str, dict[str, Any]] = {
        name: {k: v for k, v in SMALL.items() if k in has} for name, has in known.items()
    }
    if "pretrained" in out:
        out["pretrained"] = {
            "model": str(request.getfixturevalue("pipelines")["text"]),
            "evaluations": 4,
        }
    out["imported"] = {"folder": str(request.getfixturevalue("album"))}
    return out


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the two planted classes in a folder each."""
    root, rows = tmp_path_factory.mktemp("album"), planted(24)
    for k, image in enumerate(rows.images):
        (root / rows.classes[k % 2]).mkdir(exist_ok=True)
        (root / rows.classes[k % 2] / f"{k:02d}.png").write_bytes(png_bytes(image))
    return root


@pytest.fixture(scope="module")
def fitted(
    settings: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Sampler]:
    """Every generator after a few steps."""
    rows = planted()
    out = {}
    for name in NAMES:
        context = Context(RUNTIME, tmp_path_factory.mktemp(name), steps=6)
        out[name] = catalog.build("generators", name, settings.get(name)).fit(rows, rows, context)
    return out


def drawn(sampler: Sampler, condition: Condition, seeds: list[int], batch: int = 64) -> np.ndarray:
    return np.concatenate(list(sampler.sample(condition, seeds, Controls(batch=batch))))


def conditions(sampler: Sampler) -> dict[str, Condition]:
    """The empty condition, and one for every way to fill the parts that the sampler accepts."""
    c = planted(6).condition
    none = torch.full((6,), -1)
    absent = Condition(
        c.fields, torch.zeros_like(c.vectors), torch.zeros_like(c.present), none, fingerprint=SPACE
    )
    out = {"nothing": absent}
    if "target" in sampler.accepts:
        out["target"] = Condition(
            c.fields, absent.vectors, absent.present, c.target, fingerprint=SPACE
        )
    if "vectors" in sampler.accepts:
        one = c.present & torch.tensor([True, False])
        out["one field"] = Condition(
            c.fields, c.vectors * one[..., None], one, none, fingerprint=SPACE
        )
        out["all fields"] = Condition(c.fields, c.vectors, c.present, none, fingerprint=SPACE)
    if {"target", "vectors"} <= sampler.accepts:
        out["fields and target"] = c
    if "text" in sampler.accepts:
        out["text"] = replace(absent, text=["red", "blue", None, "a red picture", "", "red"])
    if "source" in sampler.accepts:
        out["source"] = replace(absent, source=planted(6).images[::-1].copy())
        if "mask" in sampler.accepts:
            mask = np.zeros((6, SIZE, SIZE), bool)
            mask[:, 4:12, 2:9] = True
            out["source and mask"] = replace(out["source"], mask=mask)
        if "text" in sampler.accepts:
            out["source and text"] = replace(out["source"], text=out["text"].text)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_weight_zero_teach_nothing(
    name: str,
    settings: dict[str, dict[str, Any]],
    fitted: dict[str, Sampler],
    tmp_path: Path,
) -> None:
    """Whatever their pixels are, the same weights come out; and weights that are all one are as
    none. A private generator is exempt: its noise is drawn anew, so it must differ every time. Its
    own tests look at the sums before the noise."""
    rows, weights = planted(), np.repeat([1.0, 0.0, 0.5, 1.0], ROWS // 4)
    other = np.where((weights == 0)[:, None, None, None], 255 - rows.images, rows.images)

    def fit(where: str, images: np.ndarray, how: np.ndarray | None) -> str:
        one = replace(rows, images=images, weights=how)
        context = Context(RUNTIME, tmp_path / where, steps=3)
        return (
            catalog.build("generators", name, settings.get(name))
            .fit(one, rows, context)
            .fingerprint()
        )

    if getattr(fitted[name], "promise", None):
        assert fit("none", rows.images, None) != fit("again", rows.images, None)
    else:
        assert fit("weighed", rows.images, weights) == fit("other", other, weights)
        assert fit("none", rows.images, None) == fit("ones", rows.images, np.ones(ROWS))
    if name not in (
        "procedural",
        "pretrained",
        "imported",
    ):  # which learn from no image, unless asked to
        assert fit("weighed", rows.images, weights) != fit("none", rows.images, None)
        with pytest.raises(
            GobelinError, match="all 64 training rows with an image have the weight 0"
        ):
            fit("nothing", rows.images, np.zeros(ROWS))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_generator_and_its_fit_a_sampler(name: str, fitted: dict[str, Sampler]) -> None:
    assert isinstance(catalog.build("generators", name), Generator) and isinstance(
        fitted[name], Sampler
    )
    assert (
        fitted[name].accepts <= set(CONDITION_PARTS)
        and fitted[name].accepts <= catalog.find("generators", name).accepts
    )
    assert fitted[name].size == (SIZE, SIZE, 3)


@pytest.mark.parametrize("name", NAMES)
def test_every_condition_makes_images(name: str, fitted: dict[str, Sampler]) -> None:
    for what, condition in conditions(fitted[name]).items():
        images = drawn(fitted[name], condition, list(range(6)))
        assert images.shape == (6, SIZE, SIZE, 3) and images.dtype == np.uint8, what


@pytest.mark.parametrize("name", NAMES)
def test_an_image_depends_on_its_seed_alone(name: str, fitted: dict[str, Sampler]) -> None:
    for what, condition in conditions(fitted[name]).items():
        together = drawn(fitted[name], condition, [5, 6, 7, 8, 9, 10]).astype(int)
        apart = drawn(fitted[name], condition, [5, 6, 7, 8, 9, 10], batch=1).astype(int)
        alone = drawn(fitted[name], condition.rows([2]), [7]).astype(int)
        assert np.abs(together - apart).max() <= 2 and np.abs(together[2] - alone[0]).max() <= 2, (
            what
        )
    same = conditions(fitted[name])["nothing"].rows([0, 0])
    one, other = drawn(fitted[name], same, [1, 2])
    assert (one != other).any()


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_makes_the_same(
    name: str, fitted: dict[str, Sampler], tmp_path: Path
) -> None:
    fitted[name].save(tmp_path / "saved")
    again = catalog.build("generators", name).load(tmp_path / "saved", RUNTIME)
    condition = conditions(fitted[name])["nothing"]
    assert (
        drawn(again, condition, [1, 2, 3, 4, 5, 6])
        == drawn(fitted[name], condition, [1, 2, 3, 4, 5, 6])
    ).all()
    assert again.fingerprint() == fitted[name].fingerprint()
    assert not list((tmp_path / "saved").rglob("*.pkl"))


@pytest.mark.parametrize("name", NAMES)
def test_a_part_that_it_cannot_use_is_an_error(name: str, fitted: dict[str, Sampler]) -> None:
    c = planted(2).condition
    given = {
        "vectors": c.vectors,
        "target": c.target,
        "text": ["x", "y"],
        "source": np.zeros((2, SIZE, SIZE, 3), np.uint8),
    }
    given["mask"] = np.zeros((2, SIZE, SIZE), bool)
    for part in set(given) - fitted[name].accepts:
        bare = {"vectors": torch.zeros_like(c.vectors), "target": None} | {part: given[part]}
        present = c.present if part == "vectors" else torch.zeros_like(c.present)
        condition = Condition(c.fields, present=present, fingerprint=SPACE, **bare)
        with pytest.raises(GobelinError, match=f"{name} can't use {part}"):
            check_condition(name, fitted[name], condition, [0, 1], SPACE)


@pytest.mark.parametrize("name", NAMES)
def test_a_condition_from_another_space_is_an_error(name: str, fitted: dict[str, Sampler]) -> None:
    if "vectors" in fitted[name].accepts:
        with pytest.raises(GobelinError, match="comes from the space"):
            check_condition(name, fitted[name], planted(2).condition, [0, 1], "another space")


@pytest.mark.parametrize("name", NAMES)
def test_the_count_of_steps_follows_from_the_data(
    name: str, settings: dict[str, dict[str, Any]]
) -> None:
    """More images, and larger ones, never get fewer steps; none gets less than the least."""
    component = catalog.build("generators", name, settings.get(name))
    sizes = [(16, 16, 1), (16, 16, 3), (32, 32, 3), (256, 256, 3)]
    counts = [[component.steps_for(n, size) for n in (1, 200, 1000, 60_000)] for size in sizes]
    assert counts == sorted(counts) and all(row == sorted(row) for row in counts)
    assert min(map(min, counts)) >= component.least_steps >= 1 or name == "pretrained"
    trains = component.least_steps > 1 and name != "pretrained"
    assert (counts[2][3] > 2 * counts[2][2]) == trains


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


WEIGHTS, CONFIG = "weights.safetensors", "config.json"
DAMAGE = {
    "weights truncated": (WEIGHTS, lambda data: data[: len(data) // 2], "missing or damaged"),
    "weights without their last byte": (WEIGHTS, lambda data: data[:-1], "missing or damaged"),
    "weights edited": (WEIGHTS, flip, "aren't those that were saved"),
    "weights empty": (WEIGHTS, lambda data: b"", "missing or damaged"),
    "weights gone": (WEIGHTS, None, "missing or damaged"),
    "config truncated": (CONFIG, lambda data: data[: len(data) // 2], "missing or damaged"),
    "config a list": (CONFIG, lambda data: b"[]", "missing or damaged"),
    "config gone": (CONFIG, None, "missing or damaged"),
    "another format": (
        CONFIG,
        lambda data: json.dumps(json.loads(data) | {"format": 99}).encode(),
        "format 99",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "name", [n for n in NAMES if n != "pretrained"]
)  # it has files of its own, and tests of them
def test_a_damaged_folder_is_refused_in_one_line(
    name: str, damage: str, fitted: dict[str, Sampler], tmp_path: Path
) -> None:
    (tmp_path / "saved").mkdir()
    fitted[name].save(tmp_path / "saved")
    file, change, said = DAMAGE[damage]
    path = tmp_path / "saved" / file
    if file == WEIGHTS and name == "procedural":
        assert not path.exists()  # it learns nothing
        return
    path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    with pytest.raises(GobelinError, match=said) as caught:
        catalog.build("generators", name).load(tmp_path / "saved", RUNTIME)
    assert "\n" not in str(caught.value) and str(tmp_path / "saved") in str(caught.value)
