"""What two saved things tell together that differ by one row: n times an array of the one less
n - 1 times that of the other is the row, where the array is an exact mean.

Oracle: the planted row, and the same look at exact means, which finds it. What this cannot show:
that nothing follows from three runs, or from arrays of different shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rows_in import arrays_of, vectors_of
from torch.nn import functional

from contracts.test_encoders import settings_of
from contracts.test_generators import SMALL
from contracts.test_no_rows import values_of
from gobelin.core import catalog
from gobelin.core.errors import MissingExtra
from gobelin.core.files import save_arrays
from gobelin.core.machine import Runtime
from gobelin.data.coarse import LEAST_GROUPS, coarse, coarseness, middle_of, spread_of
from gobelin.data.fields import Cell, Field
from gobelin.embedding.alignment.align import Align
from gobelin.embedding.alignment.bridges import Bridge
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.features import Embeddings
from gobelin.generation.generators import Condition, Context, ImageRows, Sampler
from gobelin.prediction.heads import members
from gobelin.prediction.heads.members import Fitted, Member
from gobelin.prediction.heads.trees import Trees

ROWS = 40
ALIKE = 0.6  # correlation; the difference of exact means has one of 1


def told(before: Path, after: Path, n: int) -> Iterator[tuple[str, np.ndarray]]:
    """The difference of every array that both folders have, before: with n rows, after: without
    the last."""
    first, second = dict(arrays_of(before)), dict(arrays_of(after))
    for name in first.keys() & second.keys():
        if first[name].shape == second[name].shape:
            yield name, n * first[name] - (n - 1) * second[name]


def likeness(before: Path, after: Path, n: int, row: np.ndarray) -> dict[str, float]:
    """{array: the highest correlation of its difference with the row [D]}."""
    row = (row - row.mean()) / np.linalg.norm(row - row.mean())
    out = {}
    for name, array in told(before, after, n):
        vectors = vectors_of(array, len(row))
        centred = vectors - vectors.mean(1, keepdims=True)
        length = np.maximum(np.linalg.norm(centred, axis=1), 1e-9)
        out[name] = float(np.abs(centred @ row / length).max(initial=0))
    return out


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_look_finds_an_exact_mean(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(ROWS, 20)).astype(np.float32)
    for n in (ROWS, ROWS - 1):
        save_arrays(folder(tmp_path / str(n)) / "a.safetensors", {"mean": x[:n].mean(0)})
    found = likeness(tmp_path / str(ROWS), tmp_path / str(ROWS - 1), ROWS, x[-1])
    assert max(found.values()) > 0.999


@pytest.mark.parametrize("name", catalog.names("encoders"))
def test_two_encoders(name: str, runtime: Runtime, tmp_path: Path) -> None:
    component = settings_of(name, tmp_path)
    columns = {kind: values_of(kind, np.random.default_rng(1)) for kind in component.kinds}
    cells: list[Cell] = [{kind: v[k] for kind, v in columns.items()} for k in range(ROWS)]
    field = Field("field", name, tuple(columns), component.kinds[0])
    row = np.zeros(0)
    for n in (ROWS, ROWS - 1):
        try:
            fitted = component.fit(
                TrainingCells(cells[:n]), field, {k: k for k in columns}, runtime
            )
        except MissingExtra as error:
            pytest.skip(str(error))
        fitted.save(folder(tmp_path / str(n)))
        row = row if len(row) else fitted.embed([fitted.decode(cells[-1], Path())[0]])[0]
    found = likeness(tmp_path / str(ROWS), tmp_path / str(ROWS - 1), ROWS, row)
    assert max(found.values(), default=0) < 0.95, found
    for array, difference in told(tmp_path / str(ROWS), tmp_path / str(ROWS - 1), ROWS):
        for value in columns.get("number", [])[-1:]:
            assert np.abs(difference / value - 1).min(initial=1) > 1e-6, array


def smooth(n: int, groups: np.ndarray | None = None) -> ImageRows:
    """Images of 8 x 8 cells, each of another colour, and a number that names the row."""
    rng = torch.Generator().manual_seed(3)
    cells = functional.interpolate(torch.rand(n, 3, 8, 8, generator=rng), (16, 16))
    pixels = (255 * cells).byte().permute(0, 2, 3, 1).numpy()
    number = torch.rand(n, generator=rng) * 90 + 10
    empty = torch.zeros(n, 0, 8), torch.zeros(n, 0, dtype=torch.bool)
    return ImageRows(pixels, Condition((), *empty, number, fingerprint="s"), groups=groups)


def trained(name: str, rows: ImageRows, runtime: Runtime, work: Path) -> Sampler:
    settings = {
        k: v for k, v in SMALL.items() if k in catalog.find("generators", name).__dataclass_fields__
    }
    generator = catalog.build("generators", name, settings)
    return generator.fit(rows, rows.first(8), Context(runtime, work, steps=1))


NAMES = [
    name
    for name in catalog.names("generators")
    if name != "pretrained" and not getattr(catalog.find("generators", name), "keeps_images", False)
]


@pytest.mark.parametrize("name", NAMES)
def test_two_generators(name: str, runtime: Runtime, tmp_path: Path) -> None:
    whole = smooth(ROWS)
    for n in (ROWS, ROWS - 1):
        trained(name, whole.first(n), runtime, tmp_path / "work").save(folder(tmp_path / str(n)))
    both = tmp_path / str(ROWS), tmp_path / str(ROWS - 1)
    channels_first = whole.images[-1].transpose(2, 0, 1).ravel().astype(np.float64)
    assert max(likeness(*both, ROWS, channels_first).values(), default=0) < ALIKE
    assert whole.condition.target is not None
    number = float(whole.condition.target[-1])
    for array, difference in told(*both, ROWS):
        if "centre" in array or "spread" in array:
            assert np.abs(difference / number - 1).min() > 1e-4, array


@pytest.mark.parametrize("name", NAMES)
def test_a_patient_with_most_images_counts_once(
    name: str, runtime: Runtime, tmp_path: Path
) -> None:
    """Sixty of eighty images are one patient's, with one scan and one age."""
    groups = np.array([0] * 60 + list(range(1, 21)))
    rows = smooth(80, groups)
    assert rows.condition.target is not None
    age = torch.where(torch.from_numpy(groups == 0), 77.0, rows.condition.target)
    rows = replace(
        rows,
        images=np.where((groups == 0)[:, None, None, None], rows.images[:1], rows.images),
        condition=replace(rows.condition, target=age),
    )
    trained(name, rows, runtime, tmp_path / "work").save(folder(tmp_path / "saved"))
    scan = rows.images[0].transpose(2, 0, 1).ravel().astype(np.float64)
    scan = (scan - scan.mean()) / np.linalg.norm(scan - scan.mean())
    mean = float(np.append(age[60:].numpy(), 77.0).mean())
    for array, values in arrays_of(tmp_path / "saved"):
        if array.endswith("centre") and not values.any():
            continue  # not learned: no number of a generator that follows classes alone
        if array.endswith("centre") and values.ndim == 0:
            assert abs(values - mean) < 14, array  # half a step: ten 21ths of their deviation
        if array.endswith("centre") and values.ndim == 3:
            centre = values.ravel() - values.mean()
            assert centre @ scan / np.linalg.norm(centre) < ALIKE


def bridged_rows() -> tuple[Embeddings, Bridge, np.ndarray]:
    """400 rows of 40 groups, whose text is near the name that the image's logits point at; the
    bridge, and the group of each row."""
    rng = np.random.default_rng(0)
    group = np.arange(400) % 40
    looks, words = rng.normal(size=(40, 30)), rng.normal(size=(40, 20))
    image = (looks[group] + 0.3 * rng.normal(size=(400, 30))).astype(np.float32)
    text = (words[group] + 0.3 * rng.normal(size=(400, 20))).astype(np.float32)
    ids = tuple(map(str, range(400)))
    present = np.ones((400, 2), bool)
    rows = Embeddings(("image", "text"), {"image": image, "text": text}, present, ids, "s")
    bias = (-(looks**2).sum(1) / 2).astype(np.float32)
    known = looks.T.astype(np.float32), bias, words.astype(np.float32)
    return rows, Bridge("image", "text", *known), group


def test_two_spaces_with_a_bridge(runtime: Runtime, tmp_path: Path) -> None:
    """The attack: the names' mean was that of the training texts, exact."""
    rows, bridge, group = bridged_rows()
    for n in (40, 39):
        some = rows.rows(np.flatnonzero(group < n))
        names = [str(g) for g in group[group < n]]
        space = fit_alignment(Align(width=16, steps=0), some, names, runtime, bridges=[bridge])
        assert space.bridges
        space.save(folder(tmp_path / str(n)))
    of_group = rows.features["text"][group == 39].mean(0)
    both = tmp_path / "40", tmp_path / "39"
    found = {k: v for k, v in likeness(*both, 40, of_group).items() if "words" in k or "mean" in k}
    assert len(found) > 2 and max(found.values()) < 0.95, found
    (words,) = [d for name, d in told(*both, 40) if "words" in name]
    # The exact difference of the names' mean would be the group's.
    assert np.linalg.norm(words.mean(0) - of_group) > 0.5 * np.linalg.norm(of_group)


def test_a_group_with_most_texts_counts_once_in_a_bridge(runtime: Runtime) -> None:
    rows, bridge, group = bridged_rows()
    many = np.concatenate([np.arange(400), np.tile(np.flatnonzero(group == 7), 80)])
    names = [str(g) for g in group[many]]
    (found,) = fit_alignment(
        Align(width=16, steps=0), rows.rows(many), names, runtime, bridges=[bridge]
    ).bridges
    means = np.stack([rows.features["text"][group == g].mean(0) for g in range(40)])
    step = 2.0 ** np.ceil(np.log2(0.25 * means.std(0) + 0.5))
    assert (np.abs(found.words.mean(0) - means.mean(0)) <= step / 2).all()
    assert np.linalg.norm(found.words.mean(0) - means[7]) > 2


ANSWER = 2.4321  # of the row that comes


def answering(head: str, seed: int, n: int, empty: bool) -> tuple[float, float, Fitted]:
    """Middle and spread of the first n of 80 numbers, as a pool scales them, and a head that was
    fitted on them. empty: no input has a value."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(80, 5))
    y, group = x[:, 0] + rng.normal(size=80), np.arange(80)
    y[-1] = ANSWER
    x, y, group = x[:n], y[:n], group[:n]
    x = x - coarse(x.mean(0), coarseness(n, LEAST_GROUPS) * x.std(0))
    middle = middle_of(y, group, LEAST_GROUPS)
    spread = spread_of(y, group, middle, LEAST_GROUPS)
    given = np.full_like(x, np.nan) if empty else x / 5**0.5
    scaled = (y - middle) / spread
    fitted = members.fit(
        Member(head=head),  # type: ignore[arg-type]
        given,
        scaled,
        np.ones(n),
        1,
        0,
        group,
        LEAST_GROUPS,
        zero=-middle / spread,
    )
    return middle, spread, fitted


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("head", members.GROWERS)
def test_two_trees_of_a_number_start_from_no_exact_mean(head: str, empty: bool) -> None:
    """The attack: boosting starts from the mean of the answers, and n of it less n - 1 of that of
    the other model was the answer of the row, in ten of ten draws."""
    told = []
    for seed in range(10):
        starts = []
        for n in (80, 79):
            middle, spread, fitted = answering(head, seed, n, empty)
            assert isinstance(fitted.head, Trees)
            starts.append(n * (middle + spread * float(fitted.head.base[0])))
        told.append(starts[0] - starts[1])
    assert np.abs(np.array(told) - ANSWER).min() > 0.01


VALUES = {"numbers": 0, "three values": 3, "two values": 2}  # of each column; 0: all differ


@pytest.mark.parametrize("head", members.GROWERS)
@pytest.mark.parametrize("columns", VALUES)
def test_two_models_of_trees_tell_no_answer_by_their_leaves(columns: str, head: str) -> None:
    """The attack: trees whose cuts are the same in both models; of a leaf of k rows, k means of the
    one less k - 1 of the other were the answer, in every sixth tree of a forest and in the first of
    boosting. Oracle: the planted answer, and how often a value that no row has is found so."""
    found = np.zeros(2, int)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(80, 5))
        if values := VALUES[columns]:
            x = rng.integers(0, values, x.shape).astype(float)
        y = x[:, 0] + rng.normal(size=80)
        y[-1] = ANSWER
        leaves = []
        for n in (80, 79):
            group = np.arange(n)
            middle = middle_of(y[:n], group, LEAST_GROUPS)
            spread = spread_of(y[:n], group, middle, LEAST_GROUPS)
            scaled = (y[:n] - middle) / spread
            fitted = members.fit(
                Member(head=head),  # type: ignore[arg-type]
                x[:n],
                scaled,
                np.ones(n),
                1,
                0,
                group,
                LEAST_GROUPS,
            )
            assert isinstance(fitted.head, Trees)
            parts = np.split(np.arange(len(fitted.head.feature)), fitted.head.start[1:])
            rate = 1 / len(parts) if head == "forest" else 0.1
            means = middle + spread * fitted.head.value[:, 0] / rate
            leaves.append([(fitted.head.feature[p], means[p]) for p in parts])
        for (cuts, means), (other, changed) in zip(*leaves, strict=True):
            if not np.array_equal(cuts, other):
                continue
            for a, b in zip(means[cuts < 0], changed[cuts < 0], strict=True):
                if abs(a - b) > 1e-9:
                    told = [k * a - (k - 1) * b for k in range(2, 60)]
                    found += [np.abs(np.array(told) - v).min() < 1e-3 for v in (ANSWER, -ANSWER)]
    assert found[0] <= found[1] + 2, found
