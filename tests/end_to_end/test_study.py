"""A small full study on real rows (scikit-learn's digits), its verdicts computed again, slowly, in
plain numpy from the hits; and studies that can't be had: too few test rows, too few minutes, data
that changed."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import processor
import pyarrow.parquet as pq
import pytest
from scipy import stats

from gobelin import Workbench
from gobelin.augmentation.arms import Outcome
from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.samples.digits import Digits
from gobelin.evidence.findings import printed
from gobelin.quality.probes import IndependentEncoder
from gobelin.workbench.augment.arms import StudySet
from gobelin.workbench.augment.generated_images import GeneratedImages

SETTINGS = {
    "schema": {"digit": "category"},
    "runtime": processor.SETTINGS,
    "encoders": {"image": {"name": "pixels"}},
    "align": {"width": 8, "steps": 0},
    "fusion": {"settings": {"steps": 25, "components": 16, "batch": 64}},
    "predict": {"folds": 2, "decays": (1e-2,)},
    "generator": {"steps": 4, "size": 16, "seeds": 2, "settings": {"width": 8, "batch": 16}},
    "augment": {
        "generators": ("vaegan", "procedural"),
        "seeds": 2,
        "tuning_seeds": 1,
        "ratio": (0.1, 0.3),
        "mixes": (1.0,),
        "decays": (1e-2,),
        "agree": False,
        "rivals": ("oversampling", "copies"),
    },
    "judge": {"planted": 30},
}


def digits(folder: Path, rows: int) -> Path:
    path = Digits(size=16).write(folder / "data", 0)
    lines = path.read_text(encoding="utf-8").splitlines()[: rows + 1]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("digits")
    made = Workbench(digits(folder, 400), target="digit", run=folder / "run", settings=SETTINGS)
    made.fit()
    made.augment()
    return made


# the same in plain numpy: one arm against another, [G, S, N] hits each


def score(hits: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([hits[truth == c].mean() for c in sorted(set(truth.tolist()))]))


def slow(base: np.ndarray, arm: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """value, low, high, and the one-sided p value of 'not above 0', by the formulas of `variance`,
    in loops."""
    classes = sorted(set(truth.tolist()))
    many_c, kappa = len(classes), 2 / len(classes)
    g, s = max(base.shape[0], arm.shape[0]), max(base.shape[1], arm.shape[1])
    d = [
        [
            arm[min(i, arm.shape[0] - 1), min(j, arm.shape[1] - 1)]
            - base[min(i, base.shape[0] - 1), min(j, base.shape[1] - 1)]
            for j in range(s)
        ]
        for i in range(g)
    ]
    theta = np.array([[score(one, truth) for one in row] for row in d])

    def pulls(x: np.ndarray) -> np.ndarray:
        out = np.zeros(len(x))
        for c in classes:
            own = np.flatnonzero(truth == c)
            n = len(own)
            factor = n / math.sqrt((n + kappa) * (n + kappa - 1)) / n / many_c
            for u in own:
                out[u] = (x[u] - x[own].mean()) * factor
        return out

    mean = np.mean([one for row in d for one in row], 0)
    h2 = (1 + (mean**2).sum()) / (1 + (np.abs(mean) > 1e-12).sum())
    per_class, sizes = [], []
    p = pulls(mean)
    for c in classes:
        n = int((truth == c).sum())
        per_class.append(
            (p[truth == c] ** 2).sum() + kappa * h2 / ((n + kappa) * (n + kappa - 1)) / many_c**2
        )
        sizes.append(n)
    vu = sum(per_class)
    du = vu**2 / sum(v**2 / (n - 1 + kappa) for v, n in zip(per_class, sizes, strict=True))
    parts = []
    for axis, k in ((0, g), (1, s)):
        if k > 1:
            each = [
                np.mean([d[i][j] for i in range(g) for j in range(s) if (i, j)[axis] == m], 0)
                for m in range(k)
            ]
            mine = np.array([pulls(one) for one in each])
            interaction = ((mine - mine.mean(0)) ** 2).sum() / (k * (k - 1))
            parts.append((theta.mean(1 - axis).var(ddof=1) / k, k - 1, interaction))

    def half(level: float) -> float:
        t = stats.t.ppf(0.5 + level / 2, du)
        more = sum(
            max(0.0, stats.t.ppf(0.5 + level / 2, n) ** 2 * v - t**2 * i) for v, n, i in parts
        )
        return math.sqrt(t**2 * vu + more)

    value, (low, high) = float(theta.mean()), (0.0, 1.0)
    for _ in range(60):
        level = (low + high) / 2
        low, high = (low, level) if half(level) > abs(value) else (level, high)
    tail = (1 - low) / 2
    return {
        "value": value,
        "low": max(-1.0, value - half(0.95)),
        "high": min(1.0, value + half(0.95)),
        "above": tail if value > 0 else 1 - tail,
    }


def test_the_verdicts_computed_again_in_plain_numpy(bench: Workbench) -> None:
    outcome = Outcome.load(bench.folder / "outcome")
    rows = bench.run.checked.rows
    test = [r for r in rows.labelled("test") if rows.target.scored[rows.target.values[r]]]
    truth = rows.target.values[test]
    arms = ["generated by vaegan", "generated by procedural"]
    assert set(outcome.hits) == {"real", "oversampling", "copies", *arms}
    hits = {n: h[0] for n, h in outcome.hits.items()}
    assert hits[arms[0]].shape == (2, 2, len(test)) and hits["real"].shape == (1, 2, len(test))
    found = bench.findings("augment")
    said = {
        (f.scope.get("arm"), f.comparator): f
        for f in found
        if f.name == "balanced_accuracy" and len(f.scope) == 1
    }
    again = {
        (a, b): slow(hits[b], hits[a], truth)
        for a in arms
        for b in ("real", "oversampling", "copies")
    }
    for pair, one in again.items():
        assert [said[pair].value, said[pair].low, said[pair].high] == pytest.approx(
            [one["value"], one["low"], one["high"]], abs=1e-9
        )
    above = {a: again[a, "real"]["above"] for a in arms}
    helped = {
        a: max(again[a, b]["above"] for b in ("real", "oversampling", "copies")) for a in arms
    }

    def holm(p: dict[str, float]) -> dict[str, float]:
        first, second = sorted(p, key=lambda a: p[a])
        return {first: min(1, 2 * p[first]), second: max(min(1, 2 * p[first]), p[second])}

    harmed, above, helped = holm({a: 1 - p for a, p in above.items()}), holm(above), holm(helped)
    words = {f.scope["arm"]: f.verdict for f in found if f.name == "verdict"}
    assert set(words) == set(arms)
    for a in arms:
        if harmed[a] <= 0.025:
            assert words[a] == "harmed"
        elif helped[a] <= 0.025:
            assert words[a] == "helped"
        elif above[a] <= 0.025:
            assert words[a].startswith("helped, ")
        else:
            one = again[a, "real"]
            assert words[a] == (
                "no effect" if -0.01 < one["low"] and one["high"] < 0.01 else "no evidence"
            )
    scores = {f.scope["arm"]: f.value for f in found if f.name == "test_balanced_accuracy"}
    assert scores == pytest.approx(
        {n: np.mean([score(x, truth) for g in h for x in g]) for n, h in hits.items()}
    )
    assert {f.scope["arm"] for f in found if f.name == "next"} == set(arms)
    shown = [
        json.loads(line)["name"]
        for line in (bench.folder / "exhibits.jsonl").read_text().splitlines()
    ]
    assert "augment/ratio" in shown and "augment/forest" in shown
    assert {f.scope["arm"] for f in found if f.name == "sign_flip_p"} == set(arms)
    assert next(f for f in found if f.name == "scarce_classes").note.startswith(
        "no class is scarce"
    )


def test_a_study_of_the_method_makes_all_anew_in_each_resample(
    bench: Workbench, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(bench.folder, copy)
    over = {
        "augment": {"study": "method", "generators": ("vaegan",), "seeds": 2, "ratio": (0.2,)},
        "generator": {"seeds": 1},
    }
    over["judge"] = {"audits": ()}  # five times the audit, which has tests of its own
    opened = Workbench.open(copy, settings=over)
    found = opened.augment()
    (verdict,) = [f for f in found if f.name == "verdict"]
    assert "this method" in verdict.note
    outcomes = [Outcome.load(copy / "method" / str(k) / "outcome") for k in range(5)]
    prints = {
        (copy / "method" / str(k) / "generators" / "vaegan-0" / "stage.json").read_text()
        for k in range(5)
    }
    assert len(prints) == 5
    truth = Outcome.joined(outcomes)
    assert truth.hits["generated"].shape[:3] == (5, 1, 2)
    told = next(
        f
        for f in found
        if f.name == "balanced_accuracy"
        and f.comparator == "real"
        and f.scope == {"arm": "generated"}
    )
    rows = opened.run.checked.rows
    test = [r for r in rows.labelled("test") if rows.target.scored[rows.target.values[r]]]
    labels = rows.target.values[test]
    each = [
        score(g, labels) - score(r, labels)
        for o in outcomes
        for g, r in zip(o.hits["generated"][0, 0], o.hits["real"][0, 0], strict=True)
    ]
    assert told.value == pytest.approx(np.mean(each)) and "5 training resamples" in told.note


def test_labels_are_screened_on_real_rows(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `augment.agree` on. Planted: the generator hands over real digits, a third of them of
    another class than was asked. Those go, the others stay, and the counts that are told are those
    of the exported training set."""
    eyes = IndependentEncoder(
        "pixels", catalog.build("encoders", "pixels").fit([], None, {}, bench.run.data.runtime)
    )
    monkeypatch.setattr(IndependentEncoder, "choose", staticmethod(lambda *given: eyes))
    wrong = np.zeros(0, bool)

    def planted(images: GeneratedImages) -> np.ndarray:
        nonlocal wrong
        rng, parents = np.random.default_rng(0), images.parents
        asked = parents.label[parents.places]
        wrong = rng.random(len(asked)) < 1 / 3
        shown = (asked + wrong * rng.integers(1, 10, len(asked))) % 10
        places = [parents.train[rng.choice(np.flatnonzero(parents.label == c))] for c in shown]
        generator = images.training.generator
        return np.concatenate([generator.images(np.array([r])).images for r in places])

    monkeypatch.setattr(GeneratedImages, "_sampled", planted)
    copy = tmp_path / "run"
    shutil.copytree(bench.folder, copy)
    shutil.rmtree(copy / "made")
    over = {
        "augment": {"agree": True, "quarantine": False, "generators": ("vaegan",), "ratio": (0.5,)},
        "generator": {"seeds": 1},
    }
    opened = Workbench.open(copy, settings=over)
    found = opened.augment(export=tmp_path / "export")
    kept = StudySet(opened.run).screening.selected(0)
    assert len(wrong) == len(kept) > 100 and kept[wrong].mean() < 0.2 and kept[~wrong].mean() > 0.8
    gone = {f.scope["why"]: int(f.value) for f in found if f.name == "screened_out"}
    assert set(gone) == {
        "label not read",
        "class that the generator failed on",
    }  # nothing is told of what nobody looked for
    assert sum(gone.values()) == (~kept).sum() and len(kept) == next(
        f.value for f in found if f.name == "made_rows"
    )
    assert [(f.value, f.note) for f in found if f.name == "made_rows_kept"] == [(kept.sum(), "")]
    table = pq.read_table(tmp_path / "export" / "train.parquet")
    assert table["gobelin_origin"].to_pylist().count("generated") == kept.sum()
    assert not [f for f in found if f.name == "label_not_screened"]
    (arm,) = [f.scope["arm"] for f in found if f.name == "verdict"]
    scores = {f.scope["arm"]: f.value for f in found if f.name == "test_balanced_accuracy"}
    truth = opened.run.checked.rows.target.values[opened.run.checked.rows.labelled("test")]
    hits = Outcome.load(copy / "outcome").hits
    assert scores[arm] == pytest.approx(np.mean([score(x, truth) for g in hits[arm][0] for x in g]))
    (line,) = opened.conclusions()
    assert line.endswith(
        "copies were not looked for (gobelin audit); membership was not looked for (gobelin"
        " audit); quality was not measured (gobelin audit)."
    )


def test_killed_after_an_arm_it_goes_on_with_what_is_there(
    bench: Workbench, tmp_path: Path
) -> None:
    """The images of the first generator are kept; without the verb's own stage the same command
    ends the same."""
    copy = tmp_path / "run"
    shutil.copytree(bench.folder, copy)
    shutil.rmtree(copy / "verbs" / "augment")
    shutil.rmtree(copy / "outcome")
    shutil.rmtree(copy / "made" / "procedural-1")
    before = (copy / "made" / "vaegan-0" / "images.npy").stat().st_mtime_ns
    found = Workbench.open(copy).augment()
    assert [f.to_dict() for f in found] == [f.to_dict() for f in bench.findings("augment")]
    assert (copy / "made" / "vaegan-0" / "images.npy").stat().st_mtime_ns == before


def test_the_plan_says_what_would_be_done(bench: Workbench) -> None:
    before = {p: p.stat().st_mtime_ns for p in bench.folder.rglob("*") if p.is_file()}
    found = bench.plan(augment=True)
    made = next(f for f in found if f.name == "images_to_make" and not f.scope)
    by_class = [f for f in found if f.name == "images_to_make" and f.scope]
    assert len(by_class) == 10 and made.value == 4 * sum(
        f.value for f in by_class
    )  # two generators, two seeds
    assert {f.scope["arm"] for f in found if f.name == "opponents"} == {
        "generated by vaegan",
        "generated by procedural",
    }
    assert all(f.note == "real, oversampling, copies" for f in found if f.name == "opponents")
    assert next(f for f in found if f.name == "smallest_detectable_effect").value > 0
    assert next(f for f in found if f.name == "scarce_classes").value == 0
    assert {p: p.stat().st_mtime_ns for p in bench.folder.rglob("*") if p.is_file()} == before


def test_too_few_minutes_mean_fewer_seeds_and_every_rival(bench: Workbench, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(bench.folder, copy)
    over = {
        "augment": {
            "minutes": 0.001,
            "seeds": 8,
            "rivals": ("weights", "copies"),
            "generators": ("vaegan",),
        }
    }
    opened = Workbench.open(copy, settings=over)
    found = opened.augment()
    seeds = next(f for f in found if f.name == "seeds_of_each_arm")
    assert seeds.value == 2 and "every baseline method runs" in seeds.note and "wider" in seeds.note
    assert {"weights", "copies"} <= {
        f.scope["arm"] for f in found if f.name == "test_balanced_accuracy"
    }
    assert json.loads((copy / "settings.json").read_text())["augment"]["seeds"] == 2


def test_what_an_audit_cant_judge_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    """Planted: a split that a column gives, so held-out rows say nothing of the training rows."""
    path = digits(tmp_path, 400)
    lines = path.read_text(encoding="utf-8").splitlines()
    parts = ["part", *(("train", "train", "valid", "test")[k % 4] for k in range(len(lines) - 1))]
    path.write_text(
        "\n".join(f"{line},{part}" for line, part in zip(lines, parts, strict=True)) + "\n",
        encoding="utf-8",
    )
    over = {"schema": {**SETTINGS["schema"], "part": "split"}}
    made = Workbench(path, target="digit", run=tmp_path / "run", settings={**SETTINGS, **over})
    made.fit()
    with pytest.raises(
        GobelinError, match="split is by time or given by a column.*--set judge.audits="
    ):
        made.augment()
    with pytest.raises(GobelinError, match="--per-class 'ten': no such class"):
        Workbench.open(tmp_path / "run", settings={"augment": {"per_class": {"ten": 5}}}).plan(
            augment=True
        )
    assert (
        not (tmp_path / "run" / "generators").exists()
        and not (tmp_path / "run" / "ledger.jsonl").exists()
    )


def test_twelve_test_rows_are_refused_with_the_size_needed(tmp_path: Path) -> None:
    path = digits(tmp_path, 800)
    with path.open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["digit"] in "01"]
    parts = ["test"] * 6 + ["valid"] * 6 + ["train"] * 1000
    seen = {"0": 0, "1": 0}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "part"])
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "part": parts[seen[row["digit"]]]})
            seen[row["digit"]] += 1
    over = {"schema": {**SETTINGS["schema"], "part": "split"}}
    made = Workbench(path, target="digit", run=tmp_path / "run", settings={**SETTINGS, **over})
    made.fit()
    with pytest.raises(
        GobelinError,
        match=r"12 independent test rows are too few .*30 are the least, about \d+ are needed",
    ):
        made.augment()
    assert (
        not (tmp_path / "run" / "generators").exists()
        and not (tmp_path / "run" / "ledger.jsonl").exists()
    )
    assert next(f for f in made.plan(augment=True) if f.name == "verdict").verdict == "refused"


def test_a_number_has_its_verdict_too(tmp_path: Path) -> None:
    """The digit as a quantity: the typical error in plain numpy; what matters is a hundredth of the
    number's own spread."""
    augment = {
        **SETTINGS["augment"],
        "generators": ("vaegan",),
        "ratio": (0.2,),
        "rivals": ("copies",),
    }
    over = {
        "schema": {"digit": "number"},
        "augment": augment,
        "generator": {**SETTINGS["generator"], "seeds": 1},
    }
    made = Workbench(
        digits(tmp_path, 300), target="digit", run=tmp_path / "run", settings={**SETTINGS, **over}
    )
    made.fit()
    found = made.augment()
    errors = Outcome.load(made.run.folder.checked("outcome")).hits
    typical = {arm: np.sqrt((each**2).mean(-1)).mean() for arm, each in errors.items()}
    for f in found:
        if f.name == "rmse" and set(f.scope) == {"arm"}:
            assert (
                f.value == pytest.approx(typical[f.comparator] - typical[f.scope["arm"]])
                and f.unit == ""
            )
    said = next(f for f in found if f.name == "verdict")
    assert said.verdict and said.low < said.value < said.high
    values = made.run.checked.rows.target.values[made.run.checked.rows.labelled("train")]
    protocol = next(f for f in found if f.name == "protocol").note
    assert f"the smallest difference that matters, {printed(0.01 * values.std(), '')}." in protocol


def test_data_that_changed_since_the_fit_are_refused(bench: Workbench, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(bench.folder, copy)
    data = tmp_path / "data"
    shutil.copytree(bench.folder.parent / "data", data)
    path = data / "records.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(GobelinError, match="made from other data"):
        Workbench.open(copy, settings={"data": {"path": str(path)}}).augment()
