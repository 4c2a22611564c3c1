"""Every metric that is found: says the same of the same rows however they come, knows equal sets,
refuses what it must."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding
from gobelin.quality.metrics import FeatureComparison, FeatureSet, Metric, chunks

SETTINGS = {"kernel": {"subsets": 5, "size": 100}}
WIDTH = 6


def draw(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, WIDTH)) + shift).astype(np.float32)


class Streamed:
    """Blocks of uneven sizes, empty ones too, that start again at each iteration."""

    def __init__(self, rows: np.ndarray, cut: int) -> None:
        self.rows, self.cut = rows, cut

    def __iter__(self) -> Iterator[np.ndarray]:
        start, step = 0, 0
        while start < len(self.rows):
            yield self.rows[start : start + step]
            start, step = start + step, (step + 1) % self.cut or 1


def featured(rows: np.ndarray, labels: np.ndarray | None = None) -> FeatureSet:
    """Two classes that the first column tells, where no others are given."""
    if labels is None:
        labels = rows[:, 0] > rows[:, 0].mean() if len(rows) else np.zeros(0, bool)
    return FeatureSet([rows], "small net", "as it is", labels)


def compared(
    real: np.ndarray, made: np.ndarray, floor: np.ndarray | None = None
) -> FeatureComparison:
    return FeatureComparison(
        featured(real), featured(made), None if floor is None else featured(floor), "clip"
    )


def values(found: tuple[Finding, ...]) -> dict[str, float]:
    assert all(f.value is not None for f in found), found
    return {f.name: float(f.value) for f in found}  # type: ignore[arg-type]


@pytest.fixture(params=catalog.names("metrics"))
def metric(request: pytest.FixtureRequest) -> Metric:
    found = catalog.build("metrics", request.param, SETTINGS.get(request.param))
    assert isinstance(found, Metric) and type(found).__dataclass_params__.frozen
    return found


def test_the_slot_has_its_metrics() -> None:
    assert {"authenticity", "coverage", "frechet", "kernel", "transfer", "vendi"} <= set(
        catalog.names("metrics")
    )


def test_what_it_cannot_show_is_said(metric: Metric) -> None:
    module = __import__(type(metric).__module__, fromlist=["x"])
    assert "What this cannot show" in str(module.__doc__)
    for claim in ("distance", "corrected", "of_subsets", "scores"):
        assert "What this cannot show" in str(getattr(module, claim, module).__doc__)


@pytest.mark.parametrize("cut", [2, 7, 1500])
def test_streamed_rows_say_the_same_to_the_bit(metric: Metric, cut: int) -> None:
    real, made, floor = draw(1300, 0), draw(1100, 1, 0.3), draw(300, 2)
    streamed = FeatureComparison(
        *(replace(featured(x), blocks=Streamed(x, cut)) for x in (real, made, floor)), "clip"
    )
    assert metric.measure(streamed) == metric.measure(compared(real, made, floor))


def test_the_order_of_rows_does_not_matter(metric: Metric) -> None:
    """But for what is drawn or cut at random, which stays within its error."""
    real, made = draw(900, 0), draw(700, 1, 0.3)
    turn = np.random.default_rng(5).permutation
    one, other = (
        metric.measure(compared(x, y)) for x, y in ((real, made), (turn(real), turn(made)))
    )
    for a, b in zip(one, other, strict=True):
        if a.name == "frechet_distance_corrected":  # whose groups are cut at random
            assert a.low < b.value < a.high  # type: ignore[operator]
        elif a.name == "kernel_distance_of_subsets":
            assert abs(a.value - b.value) < 0.5 * abs(a.value)  # type: ignore[operator]
        else:
            assert b.value == pytest.approx(a.value, rel=1e-9)


def test_identical_sets_are_perfect(metric: Metric) -> None:
    rows = draw(400, 0)
    for found in metric.measure(compared(rows, rows.copy())):
        if found.name == "authenticity":  # but for being new
            assert found.value == 0.0
        elif found.name.startswith("train_on_made"):
            assert found.value > 0.97  # type: ignore[operator]
        elif found.better == "higher":
            assert found.value == 1.0
        elif found.name.startswith("frechet"):
            assert found.value == pytest.approx(0.0, abs=1e-10)
        # unbiased: a little below 0, as the pairs of equal rows count across sets and not within
        else:
            assert -0.2 < found.value <= 0.05  # type: ignore[operator]


def test_near_is_better_than_far(metric: Metric) -> None:
    real = draw(600, 0)
    near, far = (
        values(metric.measure(compared(real, draw(600, 1, shift)))) for shift in (0.0, 1.5)
    )
    better = {f.name: f.better for f in metric.measure(compared(real, real))}
    for name, word in better.items():
        if name == "authenticity":  # what is far is new
            assert 0.4 < near[name] < 0.65 and near[name] < far[name]
            continue
        assert (near[name] > far[name]) == (word == "higher"), name


def test_findings_say_their_circumstances(metric: Metric) -> None:
    given = replace(compared(draw(500, 0), draw(400, 1), draw(300, 2)), scope={"arm": "flow"})
    alone = values(metric.measure(compared(draw(500, 0), draw(300, 2))))
    for found in metric.measure(given):
        assert (
            found.scope == {"arm": "flow"}
            and found.better in ("higher", "lower")
            and found.source == "metrics"
        )
        assert (
            "feature net small net, resize as it is" in found.note
            and found.name in found.sentence().replace(" ", "_")
        )
        if found.name != "kernel_distance_of_subsets":
            assert found.n == 400 and found.floor == pytest.approx(alone[found.name])
        if found.low is not None and np.isfinite(found.low):
            assert found.low <= found.value <= found.high  # type: ignore[operator]


@pytest.mark.parametrize("few", [0, 1, 4])
@pytest.mark.parametrize("side", ["real", "generated"])
def test_too_few_images_give_no_number(metric: Metric, few: int, side: str) -> None:
    full = metric.measure(compared(draw(200, 0), draw(200, 1)))
    found = metric.measure(
        replace(compared(draw(200, 0), draw(200, 1)), **{side: featured(draw(few, 2))})
    )
    assert [f.name for f in found] == [f.name for f in full]
    for one in found:
        assert one.value is one.low is one.high is None and one.n == few < one.needed_n  # type: ignore[operator]
        assert one.verdict == "too few images to say"
        said = one.sentence().replace(f"{one.note}. ", "")
        assert said.endswith(f": too few images to say. n = {few}, {one.needed_n} needed.")


def test_a_floor_of_too_few_is_left_out(metric: Metric) -> None:
    for found in metric.measure(compared(draw(200, 0), draw(200, 1), draw(4, 2))):
        assert found.value is not None and found.floor is None
        assert (
            found.name == "kernel_distance_of_subsets"
            or "no floor: 4 held-out images are too few" in found.note
        )


def test_by_class_equals_that_class_alone(metric: Metric) -> None:
    real, made = draw(600, 0), draw(500, 1)
    of_real, of_made = np.arange(600) % 3, np.where(np.arange(500) % 2, 1, 7)
    whole = FeatureComparison(
        featured(real, of_real),
        featured(made, of_made),
        featured(draw(90, 2), np.zeros(90)),
        "clip",
    )
    (only,) = whole.classes()
    assert only.scope == {"class": "1"} and only.floor is None
    parts = (
        replace(featured(rows), labels=None) for rows in (real[of_real == 1], made[of_made == 1])
    )
    alone = FeatureComparison(*parts, None, "clip", {"class": "1"})
    assert metric.measure(only) == metric.measure(alone)


@pytest.mark.parametrize("net", ["clip", " CLIP"])
def test_the_conditioning_encoder_is_refused(metric: Metric, net: str) -> None:
    given = compared(draw(200, 0), draw(200, 1))
    parts = (replace(part, net=net) for part in (given.real, given.generated))
    with pytest.raises(GobelinError, match="its own space flatters"):
        metric.measure(FeatureComparison(*parts, conditioned_on="clip"))


def test_what_can_not_be_compared_is_refused(metric: Metric) -> None:
    given = compared(draw(200, 0), draw(200, 1), draw(200, 2))
    wrong = draw(200, 1)
    wrong[3, 2] = np.nan
    for bad, word in (
        (
            replace(given, generated=replace(given.generated, net="other net")),
            "Compute both in the same way",
        ),
        (
            replace(given, floor=replace(given.generated, resize="bicubic")),
            "Compute both in the same way",
        ),
        (replace(given, real=replace(given.real, net=" ")), "has no name"),
        (
            replace(given, generated=featured(wrong)),
            "1 rows have features that are no finite numbers",
        ),
        (replace(given, generated=featured(draw(200, 1)[:, :4])), "columns"),
        (
            replace(given, generated=replace(given.generated, blocks=iter([draw(200, 1)]))),
            "only once",
        ),
        (replace(given, generated=replace(given.generated, blocks=[draw(9, 1)[0]])), "Flatten"),
        (
            replace(
                given, generated=replace(given.generated, blocks=[draw(9, 1), draw(9, 1)[:, :3]])
            ),
            "Flatten",
        ),
    ):
        with pytest.raises(GobelinError, match=word):
            metric.measure(bad)


def test_labels_must_fit_their_rows() -> None:
    given = compared(draw(9, 0), draw(9, 0))
    with pytest.raises(GobelinError, match="5 labels for 9 rows"):
        list(chunks(featured(draw(9, 0), np.zeros(5)).only(0), 4))
    with pytest.raises(GobelinError, match="no labels"):
        replace(featured(draw(9, 0)), labels=None).only(0)
    with pytest.raises(GobelinError, match="no labels"):
        replace(given, real=replace(given.real, labels=None)).classes()


def test_chunks_do_not_depend_on_the_cut() -> None:
    rows = draw(1000, 0)
    for cut in (2, 9, 1200):
        found = list(chunks(Streamed(rows, cut), 300))
        assert [len(x) for x in found] == [300, 300, 300, 100] and np.array_equal(
            np.concatenate(found), rows
        )
