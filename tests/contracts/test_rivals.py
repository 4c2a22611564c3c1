"""Every rival that is found obeys the contract: the real rows first and untouched, added rows never real."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gobelin import catalog
from gobelin.data.dataset import LINEAGE, Dataset
from gobelin.data.images import Opening, open_image, squared
from gobelin.rivals import Arm, Material, Rival

NAMES = catalog.names("rivals")
SIZE = 8


@pytest.fixture(scope="module")
def material(shapes: Dataset) -> Material:
    train = shapes.rows([7, 3, 11, 20, 5, 9]).set_aside([("00011", "image")])
    return Material(train, "image", np.array([0, 0, 3, 5, 1]), SIZE, seed=4)


@pytest.fixture(scope="module", params=NAMES)
def arm(request: pytest.FixtureRequest, material: Material) -> Arm:
    rival = catalog.build("rivals", request.param)
    assert isinstance(rival, Rival) and type(rival).__dataclass_params__.frozen
    found = rival.arm(material)
    assert found.name == request.param
    return found


def test_real_rows_come_first_and_are_unchanged(arm: Arm, material: Material) -> None:
    n = len(material.train)
    real = arm.dataset.rows(range(n))
    assert real.ids == material.train.ids and set(real.origins) == {"real"}
    for column in material.train.column_names:
        assert real.values(column) == material.train.values(column)
    assert arm.dataset.column_names == material.train.column_names


def test_weights(arm: Arm) -> None:
    assert arm.weights.shape == (len(arm.dataset),) and arm.weights.dtype == np.float32
    assert (arm.weights >= 0).all() and arm.weights.sum() > 0 and arm.generator_seed is None


def test_added_rows_carry_their_lineage(arm: Arm, material: Material) -> None:
    n = len(material.train)
    added = arm.dataset.rows(range(n, len(arm.dataset)))
    assert not (added.origins == "real").any() and len(set(arm.dataset.ids)) == len(arm.dataset)
    if not len(added):
        assert arm.weights.max() > arm.weights.min()  # what adds no row weighs the rows otherwise
        return
    place = {i: k for k, i in enumerate(material.train.ids)}
    for k, text in enumerate(added.table[LINEAGE].to_pylist()):
        lineage = json.loads(text)
        parents = [place[p] for p in lineage.get("parents", [])]
        assert lineage and material.train.ids.index("00011") not in parents
        for column in set(added.column_names) - {"image"}:
            for p in parents:
                assert added.values(column)[k] == material.train.values(column)[p]
        open_image(added.values("image")[k], added.root, Opening())


def test_same_seed_same_arm(arm: Arm, material: Material) -> None:
    rival = catalog.build("rivals", arm.name)
    again = rival.arm(material)
    assert again.dataset.table.equals(arm.dataset.table) and np.array_equal(again.weights, arm.weights)
    many = rival.arm(Material(material.train, "image", material.plan, SIZE, seed=4, workers=3))
    assert many.dataset.table.equals(arm.dataset.table)


def test_generator_size_is_the_parent_made_small(material: Material) -> None:
    arm = catalog.build("rivals", "generator_size").arm(material)
    made, real = arm.dataset.values("image")[6:], material.train.values("image")
    assert len(made) == len(material.plan)
    for value, parent in zip(made, material.plan, strict=True):
        small = squared(open_image(real[parent], material.train.root, Opening())[0], SIZE)
        assert np.array_equal(np.asarray(open_image(value, material.train.root, Opening())[0]), small)


def test_copies_are_the_parents_and_weights_count_them(material: Material) -> None:
    """A row planned twice counts three times, by rows or by weight; the row without an image once."""
    copies, weights = (catalog.build("rivals", name).arm(material) for name in ("copies", "weights"))
    real = material.train.values("image")
    assert copies.dataset.values("image")[6:] == [real[p] for p in material.plan]
    assert weights.dataset.ids == material.train.ids
    assert weights.weights.tolist() == [3, 2, 1, 2, 1, 2]


def test_clouds_show_nothing_of_their_parents(material: Material) -> None:
    """Two rows of one parent get two clouds, as different as those of two parents; every level from 0 to 255 is used."""
    arm = catalog.build("rivals", "procedural_noise").arm(material)
    made = [np.asarray(open_image(v, material.train.root, Opening())[0]).astype(float) for v in arm.dataset.values("image")[6:]]
    assert all(m.shape == (SIZE, SIZE, 3) and m.min() == 0 and m.max() == 255 for m in made)
    same, other = np.abs(made[0] - made[1]).mean(), np.abs(made[0] - made[2]).mean()
    assert same > 30 and other > 30
    shifted = Material(material.train, "image", material.plan[::-1].copy(), SIZE, seed=4)
    again = catalog.build("rivals", "procedural_noise").arm(shifted)
    assert again.dataset.values("image")[6:] == arm.dataset.values("image")[6:]


def test_classic_without_changes_is_the_image_itself(material: Material) -> None:
    still = {"mirror": 0, "turn": 0, "zoom": 0, "colour": 0, "views": 1}
    real = [v for v in material.train.values("image") if v]
    views = catalog.build("rivals", "classic", still).arm(material).dataset.values("image")[6:]
    flipped = catalog.build("rivals", "classic", {**still, "mirror": 1}).arm(material).dataset.values("image")[6:]
    for value, view, mirror in zip(real, views, flipped, strict=True):
        pixels = np.asarray(open_image(value, material.train.root, Opening())[0]).astype(int)
        view, mirror = (np.asarray(open_image(v, material.train.root, Opening())[0]) for v in (view, mirror))
        assert np.abs(view - pixels).max() <= 1 and np.abs(mirror - pixels[:, ::-1]).max() <= 1


def test_classic_seed_and_views(material: Material) -> None:
    one, other = (
        catalog.build("rivals", "classic", {"views": 3}).arm(Material(material.train, "image", material.plan, SIZE, s))
        for s in (0, 1)
    )
    images = one.dataset.values("image")[6:]
    assert len(images) == 3 * 5 == len(set(images)) and not set(images) & set(other.dataset.values("image")[6:])
