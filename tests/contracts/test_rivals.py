"""Every rival that is found obeys the contract: the real rows first and untouched, added rows never
real."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest

from gobelin.augmentation.rivals import Arm, Rival, RivalInput, UnlabelledPool
from gobelin.core import catalog
from gobelin.data.dataset import LINEAGE_COLUMN, Dataset
from gobelin.data.image.images import Opening, open_image, squared

NAMES = catalog.names("rivals")
SIZE = 8


@pytest.fixture(scope="module")
def material(shapes: Dataset) -> RivalInput:
    train = shapes.rows([7, 3, 11, 20, 5, 9]).set_aside([("00011", "image")])
    pool = UnlabelledPool(
        shapes.rows([30, 31, 32, 33]),
        "shape",
        ["cross", "circle", "cross", "cross"],
        np.array([1, 0, 1, 1]),
        np.array([0.6, 0.9, 0.8, 0.7]),
    )
    return RivalInput(
        train, "image", np.array([0, 0, 3, 5, 1]), SIZE, 4, 1, np.array([0, 0, 0, 1, 0, 1]), pool
    )


def of(material: RivalInput, **changes: object) -> RivalInput:
    return replace(material, **changes)


@pytest.fixture(scope="module", params=NAMES)
def arm(request: pytest.FixtureRequest, material: RivalInput) -> Arm:
    rival = catalog.build("rivals", request.param)
    assert isinstance(rival, Rival) and type(rival).__dataclass_params__.frozen
    found = rival.arm(material)
    assert found.name == request.param
    return found


def test_real_rows_come_first_and_are_unchanged(arm: Arm, material: RivalInput) -> None:
    n = len(material.train)
    real = arm.dataset.rows(range(n))
    assert real.ids == material.train.ids and set(real.origins) == {"real"}
    for column in material.train.column_names:
        assert real.values(column) == material.train.values(column)
    assert arm.dataset.column_names == material.train.column_names


def test_weights(arm: Arm) -> None:
    assert arm.weights.shape == (len(arm.dataset),) and arm.weights.dtype == np.float32
    assert (arm.weights >= 0).all() and arm.weights.sum() > 0 and arm.generator_seed is None


def test_added_rows_carry_their_lineage(arm: Arm, material: RivalInput) -> None:
    n = len(material.train)
    added = arm.dataset.rows(range(n, len(arm.dataset)))
    assert not (added.origins == "real").any() and len(set(arm.dataset.ids)) == len(arm.dataset)
    if not len(added):
        assert arm.weights.max() > arm.weights.min()  # what adds no row weighs the rows otherwise
        return
    sources = {i: (d, k) for d in (material.train, material.pool.rows) for k, i in enumerate(d.ids)}
    for k, text in enumerate(added.table[LINEAGE_COLUMN].to_pylist()):
        lineage = json.loads(text)
        parents = [sources[p] for p in lineage.get("parents", [])]
        assert lineage and "00011" not in lineage.get("parents", [])
        own = {"image", "shape"} if arm.name == "retrieved" else {"image"}
        for column in set(added.column_names) - own:
            for dataset, p in parents[:1]:  # the first parent lends all but its image
                assert added.values(column)[k] == dataset.values(column)[p]
        open_image(added.values("image")[k], added.root, Opening())


def test_same_seed_same_arm(arm: Arm, material: RivalInput) -> None:
    rival = catalog.build("rivals", arm.name)
    again = rival.arm(material)
    assert again.dataset.table.equals(arm.dataset.table) and np.array_equal(
        again.weights, arm.weights
    )
    many = rival.arm(of(material, workers=3))
    assert many.dataset.table.equals(arm.dataset.table)


def test_generator_size_is_the_parent_made_small(material: RivalInput) -> None:
    arm = catalog.build("rivals", "generator_size").arm(material)
    made, real = arm.dataset.values("image")[6:], material.train.values("image")
    assert len(made) == len(material.plan)
    for value, parent in zip(made, material.plan, strict=True):
        small = squared(open_image(real[parent], material.train.root, Opening())[0], SIZE)
        assert np.array_equal(
            np.asarray(open_image(value, material.train.root, Opening())[0]), small
        )


def test_oversampling_and_weights_count_the_parents_again(material: RivalInput) -> None:
    """A row planned twice counts three times, by rows or by weight; the row without an image
    once."""
    again, weights = (
        catalog.build("rivals", name).arm(material) for name in ("oversampling", "weights")
    )
    real = material.train.values("image")
    assert again.dataset.values("image")[6:] == [real[p] for p in material.plan]
    assert weights.dataset.ids == material.train.ids
    assert weights.weights.tolist() == [3, 2, 1, 2, 1, 2]


def test_copies_show_an_image_of_the_class_beside_the_parents_other_cells(
    material: RivalInput,
) -> None:
    plan = np.array([0, 3, 5] * 40)
    arm = catalog.build("rivals", "copies").arm(of(material, plan=plan))
    real, classes = material.train.values("image"), material.classes
    shown = [real.index(v) for v in arm.dataset.values("image")[6:]]
    assert classes[shown].tolist() == classes[plan].tolist() and 2 not in shown
    assert {s for s in shown if classes[s] == 0} == {0, 1, 4} and {
        s for s in shown if classes[s] == 1
    } == {3, 5}
    side = material.train.values("side")
    assert arm.dataset.values("side")[6:] == [side[p] for p in plan]


def test_retrieved_takes_the_surest_of_each_class_with_the_label_that_was_read(
    material: RivalInput,
) -> None:
    """The plan asks class 0, 0, 1, 1, 0; the pool holds one of class 0 and three of class 1."""
    arm = catalog.build("rivals", "retrieved").arm(material)
    added = arm.dataset.rows(range(6, len(arm.dataset)))
    assert [i.removeprefix("retrieved-") for i in added.ids] == ["00031", "00032", "00033"]
    assert added.values("shape") == ["circle", "cross", "cross"] and arm.order.tolist() == [0, 2, 3]
    assert catalog.build("rivals", "retrieved").arm(of(material, pool=None)) is None


def test_clouds_show_nothing_of_their_parents(material: RivalInput) -> None:
    """Two rows of one parent get two clouds, as different as those of two parents; every level from
    0 to 255 is used."""
    arm = catalog.build("rivals", "procedural_noise").arm(material)
    made = [
        np.asarray(open_image(v, material.train.root, Opening())[0]).astype(float)
        for v in arm.dataset.values("image")[6:]
    ]
    assert all(m.shape == (SIZE, SIZE, 3) and m.min() == 0 and m.max() == 255 for m in made)
    same, other = np.abs(made[0] - made[1]).mean(), np.abs(made[0] - made[2]).mean()
    assert same > 30 and other > 30
    shifted = of(material, plan=material.plan[::-1].copy())
    again = catalog.build("rivals", "procedural_noise").arm(shifted)
    assert again.dataset.values("image")[6:] == arm.dataset.values("image")[6:]


STILL = {"mirror": 0, "turn": 0, "zoom": 0, "colour": 0, "views": 1, "mixup": 0, "randaugment": 0}


def pixels_of(value: object, material: RivalInput) -> np.ndarray:
    return np.asarray(open_image(value, material.train.root, Opening())[0].convert("RGB")).astype(
        float
    )


def views_of(material: RivalInput, settings: dict) -> list[tuple[int, np.ndarray]]:
    """(parent, pixels) of every view."""
    arm = catalog.build("rivals", "classic", settings).arm(material)
    place = {i: k for k, i in enumerate(material.train.ids)}
    told = [json.loads(t)["parents"][0] for t in arm.dataset.table[LINEAGE_COLUMN].to_pylist()[6:]]
    return [
        (place[p], pixels_of(v, material))
        for p, v in zip(told, arm.dataset.values("image")[6:], strict=True)
    ]


def test_classic_without_changes_is_the_image_itself(material: RivalInput) -> None:
    real = material.train.values("image")
    for mirror in (0, 1):
        for parent, view in views_of(material, {**STILL, "mirror": mirror}):
            own = pixels_of(real[parent], material)
            assert np.abs(view - (own[:, ::-1] if mirror else own)).max() <= 1


def test_classic_seed_and_views(material: RivalInput) -> None:
    """Every row once before any again; as many views as made rows, where those are more."""
    settings = {"views": 3, "randaugment": 0}
    one, other = (
        catalog.build("rivals", "classic", settings).arm(of(material, seed=s)) for s in (0, 1)
    )
    images = one.dataset.values("image")[6:]
    assert len(images) == 3 * 5 == len(set(images)) and not set(images) & set(
        other.dataset.values("image")[6:]
    )
    parents = [p for p, _ in views_of(material, {"views": 3})]
    assert all(sorted(parents[k : k + 5]) == [0, 1, 3, 4, 5] for k in (0, 5, 10))
    assert len(views_of(of(material, plan=np.zeros(21, int)), STILL)) == 25


def test_a_blend_lies_between_two_images_of_the_class(material: RivalInput) -> None:
    """Mixup alone: each view is (1 - t) a + t b of two images of one class. Oracle: least squares
    for t, no residual."""
    real, shares = material.train.values("image"), []
    pixels = {k: pixels_of(v, material) for k, v in enumerate(real) if v}
    for k, seen in views_of(material, {**STILL, "views": 4, "mixup": 1, "alpha": 2}):
        fits = []
        for other in [o for o in pixels if material.classes[o] == material.classes[k]]:
            d = pixels[other] - pixels[k]
            t = float((d * (seen - pixels[k])).sum() / max((d * d).sum(), 1e-9))
            fits.append((np.abs(seen - pixels[k] - t * d).max(), t))
        worst, t = min(fits)
        assert worst <= 2 and -0.01 <= t <= 0.51
        shares.append(t)
    assert max(shares) > 0.1


def test_randaugment_changes_more_where_its_magnitude_is_larger(material: RivalInput) -> None:
    operations = importlib.import_module("gobelin.augmentation.rivals.classic").OPERATIONS
    image = open_image(material.train.values("image")[0], material.train.root, Opening())[
        0
    ].convert("RGB")
    own = np.asarray(image).astype(float)
    for name in {
        "colour",
        "contrast",
        "brightness",
        "turn",
        "shear across",
        "shear down",
        "shift across",
        "shift down",
    }:
        moved = [
            np.abs(np.asarray(operations[name](image, s)).astype(float) - own).mean()
            for s in (0.0, 0.3, 0.9)
        ]
        assert moved[0] <= 0.5 and 0 < moved[1] < moved[2], (name, moved)
