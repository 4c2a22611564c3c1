"""Scores of nearness against closed forms and a second implementation in plain Python, and the
rules that stand above them: equal cells first, facts cell by cell."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pytest
from scipy import special, stats

from gobelin.data.values.dates import days
from gobelin.data.values.numbers import number
from gobelin.data.values.spelling import spelled
from gobelin.embedding.search.nearness import Scale, lifted, normal_scores, over_fields, rarities
from gobelin.embedding.search.row_search import Fact, Part, agreements, nearest

FLAT = Scale(np.zeros((2, 2)), np.full((2, 2), 0.2))  # all pairs of fields alike


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def test_the_scale_is_the_mean_and_deviation_of_all_unrelated_pairs() -> None:
    """Oracle: a loop over all pairs of rows of different groups."""
    rng = np.random.default_rng(0)
    vectors, present = unit(rng.normal(size=(40, 2, 6)) + 1), rng.random((40, 2)) < 0.8
    groups = [f"g{k // 3}" for k in range(40)]
    scale = Scale.of(vectors, present, groups, rng, 5)
    for a in range(2):
        for b in range(2):
            here = [
                Counter(g for g, there in zip(groups, present[:, f], strict=True) if there)
                for f in (a, b)
            ]
            pairs = [
                (float(vectors[i, a] @ vectors[j, b]), 1 / here[0][groups[i]] / here[1][groups[j]])
                for i in range(40)
                for j in range(40)
                if present[i, a] and present[j, b] and groups[i] != groups[j]
            ]
            mean = sum(c * w for c, w in pairs) / sum(w for _, w in pairs)
            spread = (sum((c - mean) ** 2 * w for c, w in pairs) / sum(w for _, w in pairs)) ** 0.5
            exact = Scale.of(vectors, present, groups, rng, 1)
            assert abs(exact.mean[a, b] - mean) <= 1e-3
            step = 2.0 ** round(math.log2(min(10 / 14, 0.5) * spread))
            assert abs(scale.mean[a, b] - mean) <= step / 2 + 1e-6
            assert scale.mean[a, b] % step == 0
            logs = 2 * math.log2(scale.deviation[a, b])
            assert logs == pytest.approx(round(logs), abs=1e-6)
            assert abs(logs - 2 * math.log2(spread)) <= 0.5 + 1e-6
    again = Scale.from_json(scale.to_json())
    assert (again.mean == scale.mean).all() and (again.deviation == scale.deviation).all()


def test_two_scales_don_t_tell_the_spread_nor_the_row_that_joined() -> None:
    """The attack: the step was an exact multiple of the spread, so that mean and deviation of a
    saved scale gave it to all digits."""
    rng = np.random.default_rng(7)
    vectors, present = unit(rng.normal(size=(61, 1, 8)) + 0.5), np.ones((61, 1), bool)
    told = set()
    for n in range(41, 62):
        scale = Scale.of(vectors[:n], present[:n], [str(k) for k in range(n)], rng, 5)
        told.add((float(scale.mean[0, 0]), float(scale.deviation[0, 0])))
    assert len(told) <= 3


def test_a_group_of_many_rows_counts_once_in_the_scale() -> None:
    """Forty rows of one patient lie apart from those of ten others."""
    vectors = unit(np.array([[[1.0, 0.1]]] * 10 + [[[0.0, 1.0]]] * 40))
    groups = [*map(str, range(10)), *["many"] * 40]
    scale = Scale.of(vectors, np.ones((50, 1), bool), groups, np.random.default_rng(8), 1)
    alone = Scale.of(vectors[:11], np.ones((11, 1), bool), groups[:11], np.random.default_rng(8), 1)
    assert scale.mean == pytest.approx(alone.mean) and alone.mean[0, 0] > 0.8


def test_a_field_of_hardly_a_row_has_the_scale_of_random_directions() -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(30, 2, 16)))
    present = np.ones((30, 2), bool)
    present[1:, 1] = False
    scale = Scale.of(vectors, present, [str(k) for k in range(30)], np.random.default_rng(2))
    assert scale.mean[1, 1] == 0 and scale.deviation[1, 1] == 0.25


@pytest.mark.parametrize(
    "values",
    [
        {"mean": [[0.0]]},
        {"mean": [[0.0, 1.0]], "deviation": [[1.0, 1.0]]},
        {"mean": [[0.0]], "deviation": [[0.0]]},
        {"mean": [["a"]], "deviation": [[1.0]]},
        {"mean": [[0.0]], "deviation": [[math.nan]]},
    ],
)
def test_a_scale_that_is_none_is_refused(values: dict[str, list[list[float]]]) -> None:
    with pytest.raises((ValueError, KeyError)):
        Scale.from_json(values)


def test_fields_join_between_their_mean_and_their_best() -> None:
    """Oracle: the formula, and large scores that exp alone could not bear."""
    scores = np.array([[1.0, 3.0, 99.0], [2.0, 2.0, 2.0], [5000.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    present = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 0], [0, 0, 0]], bool)
    found = over_fields(scores, present)
    wanted = math.log((math.exp(1) + math.exp(3)) / 2)
    assert found[:2] == pytest.approx([wanted, 2.0]) and 2 < wanted < 3
    assert found[2] == pytest.approx(5000 + math.log(0.5)) and found[3] == -math.inf


@pytest.mark.parametrize(
    ("mean", "deviation"),
    [(0, 0.25), (0, 0.03), (-0.02, 0.2), (0.5, 0.2), (0.1, 0.5), (0.9, 0.05), (0, 0.99), (0.2, 3)],
)
def test_a_score_is_the_normal_score_of_a_beta_distribution(mean: float, deviation: float) -> None:
    """Oracle: scipy's, where its tails are not 0 yet; a deviation that no distribution of this mean
    has counts as the largest one."""
    cosines, scores = rarities(mean, deviation)
    assert (np.diff(cosines) > 0).all() and (np.diff(scores) >= 0).all()
    middle = (1 - mean) / 2
    total = middle * (1 - middle) / min(deviation**2 / 4, 0.95 * middle * (1 - middle)) - 1
    beta = stats.beta(middle * total, (1 - middle) * total)
    at = np.array([-0.99, -0.9, -0.5, -0.1, 0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
    nearer, farther = beta.logcdf((1 - at) / 2), beta.logsf((1 - at) / 2)
    wanted = np.where(nearer < farther, -special.ndtri_exp(nearer), special.ndtri_exp(farther))
    known = np.isfinite(wanted)
    assert known.sum() >= 5
    assert np.interp(at, cosines, scores)[known] == pytest.approx(wanted[known], abs=2e-4)


def test_scores_of_random_directions_are_standard_normal() -> None:
    """Planted truth: cosines of directions drawn at random in 6 dimensions, whose mean is 0 and
    whose deviation is 6 ** -0.5. Beta is exact for them; a count of deviations ends at 2.4."""
    rng = np.random.default_rng(5)
    cosines = (unit(rng.normal(size=(20_000, 6))) @ unit(rng.normal(size=6)))[:, None, None]
    scale = Scale(np.zeros((1, 1)), np.full((1, 1), 6**-0.5))
    scores = scale.scores(cosines, [0])[:, 0]
    assert stats.kstest(scores, "norm").pvalue > 0.01
    assert scores.max() > 3.2


def test_a_near_copy_is_found_before_rows_that_are_near_across_fields() -> None:
    """Planted truth: pictures of 8 dimensions, captions of 60 in the same space. Every query is a
    row's picture, changed a little; in each of 50 other rows the caption lies nearer to it than any
    unrelated caption does. Counted in deviations, the pictures' scores end below the captions'."""
    rng = np.random.default_rng(6)
    count, width = 400, 64
    vectors = np.zeros((count, 2, width), np.float32)
    vectors[:, 0, :8] = unit(rng.normal(size=(count, 8)))
    vectors[:, 1] = unit(rng.normal(size=(count, width)))
    present, groups = np.ones((count, 2), bool), [str(k) for k in range(count)]
    scale = Scale.of(vectors, present, groups, rng)
    first, counted = [], []
    for k in range(0, count, 8):
        picture = unit(vectors[k, 0] + np.pad(0.03 * rng.normal(size=8), (0, width - 8)))
        among = vectors.copy()
        others = (k + 1 + np.arange(50)) % count
        among[others, 1] = unit(0.3 * picture + vectors[others, 1])
        cosines = (among @ picture)[..., None]
        table = pa.table({"n": list(range(count))})
        found = nearest([part(0)], cosines, present, scale, table, 1)
        assert not found.equal.any()
        first.append(found.places[0] == k and found.best[0] == 0)
        deviations = (cosines[:, :, 0] - scale.mean[0]) / scale.deviation[0]
        counted.append(over_fields(deviations, present).argmax() == k)
    assert np.mean(first) == 1
    assert np.mean(counted) < 0.5


def test_normal_scores_are_those_of_the_rank() -> None:
    values = np.array([5.0, 1.0, 5.0, 9.0])
    wanted = [-NormalDist().inv_cdf(n / 5) for n in (3, 4, 3, 1)]
    assert normal_scores(values) == pytest.approx(wanted)
    many = np.random.default_rng(0).normal(size=20_000)  # between the places that are computed
    exact = [-NormalDist().inv_cdf(int((many >= v).sum()) / 20_001) for v in many[:500]]
    assert normal_scores(many)[:500] == pytest.approx(exact, abs=2e-3)


def test_equal_rows_are_lifted_above_all_others() -> None:
    scores = np.array([1.0, -2.0, 7.0, -math.inf])
    assert lifted(scores, np.array([False, True, False, True]), 0.5).tolist() == [1, 7.5, 7, 7.5]
    assert lifted(scores, np.zeros(4, bool)) is scores


def part(*fields: int, weight: float = 1.0, **more: object) -> Part:
    return Part(fields, np.zeros((len(fields), 2), np.float32), weight, **more)  # type: ignore[arg-type]


def rank(parts: Sequence[Part], cosines: list[list[list[float]]], **columns: list) -> list[int]:
    table = pa.table(columns) if columns else pa.table({"n": list(range(len(cosines)))})
    array = np.array(cosines, np.float32)
    present = np.array([[c[0] > -9 for c in row] for row in cosines])
    return nearest(parts, array, present, FLAT, table, 10).places.tolist()


def test_a_row_is_found_by_any_field_that_it_has() -> None:
    """A caption that is near, a picture that is nearer in a row without a caption."""
    cosines = [[[0.1], [0.2]], [[0.6], [0.0]], [[-10.0], [0.7]], [[-10.0], [-10.0]]]
    assert rank([part(0)], cosines) == [2, 1, 0]  # a row without any field is not found


def test_the_same_vector_comes_first_whatever_the_other_fields_say() -> None:
    cosines = [[[0.99], [0.9]], [[1.0], [-0.9]], [[0.5], [0.5]]]
    assert rank([part(0)], cosines) == [1, 0, 2]


def test_a_text_is_equal_as_a_text_in_any_column_of_its_fields() -> None:
    """The vectors say otherwise: two texts may have one vector, and a cell of two languages has
    another vector than one of them."""
    cosines = [[[1.0], [0.9]], [[0.1], [0.0]], [[0.2], [0.1]]]
    asked = part(0, texts={"en": "ein hund "}, text_columns=("en", "de"))
    table = {"en": ["cat", "dog", None], "de": [None, " ein hund", "ein Hund"]}
    assert rank([asked], cosines, **table) == [1, 0, 2]
    lists = {"en": [["cat"], None, ["a", " ein hund"]], "de": [[], ["Hund"], None]}
    assert rank([asked], cosines, **lists) == [2, 0, 1]


@pytest.mark.parametrize("column", ["name", "orders", "lore"])
def test_one_text_for_several_fields_is_equal_in_any_of_them(column: str) -> None:
    """As `--text archer` of a table whose columns of texts are fields of their own."""
    names = ("name", "orders", "lore")
    cosines = np.zeros((3, 3, 3), np.float32)
    cosines[0] = 0.9  # its vectors are nearer
    table = {c: ["a fire archer"] * 2 + ["walk"] for c in names}
    table[column][1] = " archer"
    asked = part(0, 1, 2, texts=dict.fromkeys(names, "archer"), text_columns=names)
    scale = Scale(np.zeros((3, 3)), np.full((3, 3), 0.2))
    found = nearest([asked], cosines, np.ones((3, 3), bool), scale, pa.table(table), 3)
    assert found.places[0] == 1 and found.equal.tolist() == [True, False, False]


def test_several_texts_of_one_field_must_all_be_equal() -> None:
    asked = part(0, texts={"en": "dog", "de": "Hund"}, text_columns=("en", "de"))
    table = {"en": ["dog", "dog", "cat"], "de": ["Katze", "Hund", "Hund"]}
    cosines = np.array([[[0.9], [0.9]], [[0.1], [0.1]], [[0.2], [0.2]]], np.float32)
    found = nearest([asked], cosines, np.ones((3, 2), bool), FLAT, pa.table(table), 3)
    assert found.places[0] == 1 and found.equal.tolist() == [True, False, False]


def test_equal_categories_come_before_near_numbers() -> None:
    """The case of the demo: region=Africa,population=..., where a near population of another
    region, and a vector that is nearer, must not win."""
    facts = {
        "region": Fact("Africa", spelled),
        "population": Fact(50.0, number),
    }
    table = {
        "region": ["Asia", "Africa", "Africa", None, "Africa"],
        "population": [50.0, 900.0, 40.0, 50.0, None],
    }
    cosines = [[[0.9], [0.9]]] + [[[0.0], [0.0]]] * 4
    assert rank([part(0, facts=facts)], cosines, **table) == [2, 1, 4, 0, 3]
    table["population"][1] = 50.0
    found = agreements(facts, pa.table(table))
    assert found.exact.tolist() == [False, True, False, False, False]  # `=` in the list
    assert found.equal.tolist() == [False, True, True, False, True]


def test_numbers_go_by_distance_in_robust_units() -> None:
    """Oracle: the mean of 1 / (1 + distance), each distance over its own column's deviation; an
    outlier does not stretch the unit."""
    table = {"a": [1.0, 2.0, 3.0, 4.0, 1e9], "b": [100.0, 300.0, 200.0, None, 400.0]}
    facts = {"a": Fact(2.0, number), "b": Fact(200.0, number)}
    units = {
        c: np.subtract(*np.percentile([v for v in table[c] if v is not None], [75, 25])) / 1.349
        for c in table
    }
    wanted = [
        sum(
            1 / (1 + abs(v - facts[c].value) / units[c])  # type: ignore[operator]
            for c in table
            if (v := table[c][k]) is not None
        )
        / 2
        for k in range(5)
    ]
    assert agreements(facts, pa.table(table)).closeness == pytest.approx(wanted)
    order = np.argsort(-np.array(wanted), kind="stable").tolist()
    assert rank([part(0, facts=facts)], [[[0.0], [0.0]]] * 5, **table) == order


@pytest.mark.parametrize(
    ("column", "fact", "equal"),
    [
        (["1", " 1.0", "True", "01", None], Fact("1", spelled), [1, 1, 1, 0, 0]),
        ([1, 2, 1, None, 0], Fact("1", spelled), [1, 0, 1, 0, 0]),
        ([True, False, None, True, False], Fact("1", spelled), [1, 0, 0, 1, 0]),
        (["1,5", "2", "1.5", "x", None], Fact(1.5, number), [1, 0, 1, 0, 0]),
        ([3, 4, 3, None, 5], Fact(3.0, number), [1, 0, 1, 0, 0]),
        (
            ["2020-02-01", "1 Feb 2020", "2020-02-02", "?", None],
            Fact(float(days("2020-02-01") or 0), days),
            [1, 1, 0, 0, 0],
        ),
        (
            [datetime.date(2020, 2, 1), None, datetime.date(2021, 2, 1), None, None],
            Fact(float(days("2020-02-01") or 0), days),
            [1, 0, 0, 0, 0],
        ),
    ],
)
def test_a_fact_is_equal_however_it_is_written(column: list, fact: Fact, equal: list[int]) -> None:
    for array in (pa.array(column), pa.array(column).dictionary_encode()):
        table = pa.table({"c": pa.chunked_array([array[:2], array[2:]])})
        assert agreements({"c": fact}, table).equal.astype(int).tolist() == equal


def test_rows_without_the_asked_cells_are_found_by_other_fields() -> None:
    """A row of which no fact is known stands by its picture among those that are known."""
    facts = {"a": Fact(1.0, number)}
    cosines = [[[0.0], [0.0]], [[-10.0], [0.8]], [[-10.0], [-0.8]], [[0.0], [0.0]]]
    assert rank([part(0, facts=facts)], cosines, a=[2.0, None, None, 9.0]) == [1, 0, 3, 2]


def test_a_row_without_the_asked_columns_is_not_nearer_than_one_that_has_them() -> None:
    """Of a few facts of a field: a row of which none is known is neither near nor far, whatever its
    picture says, and beside another part it is judged by that part alone."""
    cosines = [[[0.0], [0.0]], [[-10.0], [0.8]], [[-10.0], [-0.8]], [[0.0], [0.0]]]
    some = part(0, facts={"a": Fact(1.0, number)}, whole=False)
    assert rank([some], cosines, a=[2.0, None, None, 9.0]) == [0, 1, 2, 3]
    array = np.array([[c * 2 for c in row] for row in cosines], np.float32)
    present = np.array([[c[0] > -9 for c in row] for row in cosines])
    table = pa.table({"a": [2.0, None, None, 9.0]})
    both = nearest([some, part(1)], array, present, FLAT, table, 10)
    alone = nearest([part(1)], array[:, :, :1], present, FLAT, table, 10)
    for place in (1, 2):
        score = both.scores[both.places.tolist().index(place)]
        assert score == alone.scores[alone.places.tolist().index(place)]


def test_parts_add_up_with_their_weights() -> None:
    """Oracle: the weighted sum of the scores of each part alone."""
    rng = np.random.default_rng(3)
    cosines = rng.uniform(-0.9, 0.9, (50, 2, 3)).astype(np.float32)
    present, table = np.ones((50, 2), bool), pa.table({"n": list(range(50))})
    parts = [part(0, 1, weight=2.0), part(1, weight=-0.5)]

    def alone(one: Part, columns: slice) -> np.ndarray:
        found = nearest([one], cosines[:, :, columns], present, FLAT, table, 50)
        return found.scores[np.argsort(found.places)]

    wanted = 2 * alone(part(0, 1), slice(0, 2)) - 0.5 * alone(part(1), slice(2, 3))
    found = nearest(parts, cosines, present, FLAT, table, 50)
    assert found.scores == pytest.approx(wanted[found.places], abs=1e-6)
    assert found.scores.tolist() == sorted(found.scores, reverse=True)
    allowed = np.arange(50) % 3 == 0
    some = nearest(parts, cosines, present, FLAT, table, 5, allowed)
    assert some.places.tolist() == [p for p in found.places if allowed[p]][:5]


def test_the_first_k_are_those_of_a_full_sort_with_ties_in_the_order_of_the_rows() -> None:
    cosines = np.round(np.random.default_rng(4).uniform(-0.5, 0.5, (400, 1, 1)), 1)
    scale, table = Scale(np.zeros((1, 1)), np.full((1, 1), 0.2)), pa.table({"n": list(range(400))})
    order = np.argsort(-cosines[:, 0, 0], kind="stable")
    for k in (1, 7, 100, 400, 500):
        found = nearest([part(0)], cosines, np.ones((400, 1), bool), scale, table, k)
        assert found.places.tolist() == order[:k].tolist()
