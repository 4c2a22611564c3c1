"""Every kind of target from file to predictions, describe, and what a user gets for a mistake.
Oracles: planted data, and the names that a mistake holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import processor
import pytest
from PIL import Image

from gobelin import Workbench
from gobelin.data.provenance.marks import save_png
from gobelin.data.samples.shapes import Shapes
from gobelin.interfaces.cli import main
from gobelin.quality.typicality import NEIGHBOURS, typicality
from gobelin.workbench import zero_shot

QUICK = [
    *processor.OPTIONS,
    "encoders.image.name=pixels",
    "encoders.text.name=characters",
    "align.width=16",
    "align.steps=20",
    "fusion.settings.steps=120",
    "predict.folds=3",
    "predict.decays=0.001",
]
SETS = [word for one in QUICK for word in ("--set", one)]
WEATHER = ("rain", "snow", "sun")
LEVELS = ("low", "mid", "high", "top")


def planted(count: int = 160, seed: int = 0) -> list[dict[str, object]]:
    """A caption says which labels hold, a number which level; captions are missing in a tenth of
    the rows."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for k in range(count):
        tags = [
            w for w, share in zip(WEATHER, (0.5, 0.2, 0.4), strict=True) if rng.random() < share
        ]
        level = int(rng.integers(0, 4))
        caption = f"day {k} of {' and '.join(tags) or 'nothing'}" if rng.random() < 0.9 else None
        rows.append(
            {
                "caption": caption,
                "size": level + 0.3 * rng.normal(),
                "tags": tags,
                "grade": LEVELS[level],
            }
        )
    return rows


def written(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def said(capsys: pytest.CaptureFixture[str], words: Sequence[object]) -> list[dict]:
    main([*map(str, words), "--json"])
    out, err = capsys.readouterr()
    assert "Traceback" not in err and "Warning" not in err
    return [json.loads(line) for line in out.splitlines()]


def refused(capsys: pytest.CaptureFixture[str], words: Sequence[object]) -> str:
    with pytest.raises(SystemExit) as stop:
        main([str(w) for w in words])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and len(err.strip().splitlines()) == 1 and out == "", err
    return err


def predictions(
    capsys: pytest.CaptureFixture[str], run: Path, data: Path, out: Path
) -> list[dict[str, str]]:
    said(capsys, ["predict", run, data, "--out", out])
    with out.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    data = written(folder / "data.jsonl", planted(300))
    main(
        [
            "fit",
            str(data),
            "--target",
            "tags",
            "--run",
            str(folder / "run"),
            *SETS,
            "--set",
            "schema.tags=labels",
            "--set",
            "schema.grade=ignore",
            "--json",
        ]
    )
    return folder / "run"


def test_labels_from_file_to_predictions(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = said(capsys, ["evaluate", labels])
    whole = {f["name"]: f for f in found if not f["scope"]}
    precision = whole["mean_average_precision"]
    assert whole["macro_auroc"]["value"] > 0.9 and precision["low"] > precision["chance"]
    assert {"macro_f1", "calibration_error", "brier_score", "log_loss"} <= set(whole)
    blind = next(
        f for f in found if f["name"] == "macro_auroc" and f["scope"] == {"fields": "table"}
    )
    assert blind["low"] < 0.5 < blind["high"] + 0.1  # the number says nothing of the labels
    fresh = planted(60, seed=1)
    rows = predictions(capsys, labels, written(tmp_path / "new.jsonl", fresh), tmp_path / "p.csv")
    p = np.array([[float(row[f"p_{c}"]) for c in WEATHER] for row in rows])
    truth = np.array([[c in row["tags"] for c in WEATHER] for row in fresh])  # type: ignore[operator]
    told = [row["caption"] is not None for row in fresh]
    assert ((p >= 0.5) == truth)[told].mean() > 0.85
    assert all(
        row["prediction"] == "|".join(c for c, q in zip(WEATHER, q, strict=True) if q >= 0.5)
        for row, q in zip(rows, p, strict=True)
    )
    seen = said(capsys, ["describe", labels, "--text", "day 7 of rain and snow"])
    held = {
        f["scope"]["class"]
        for f in seen
        if f["name"] == "probability" and f["note"] == "predicted to hold"
    }
    assert held == {"rain", "snow"}


def test_what_takes_no_labels_says_so(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = labels.parent / "data.jsonl"
    fit = ["fit", data, "--target", "tags", "--run", tmp_path / "run", *SETS]
    assert "schema.tags=labels" in refused(capsys, fit)
    more = [*fit, "--set", "schema.tags=labels"]
    assert "'tags' has several labels a row" in refused(
        capsys, [*more, "--set", "predict.weights.rain=2"]
    )
    assert "'tags' has labels values" in refused(capsys, [*more, "--set", "tune.fields=caption"])
    assert not (tmp_path / "run").exists()
    assert "'tags' has several labels" in refused(capsys, ["augment", labels])
    plain = [
        w for one in QUICK if not one.startswith("fusion.settings") for w in ("--set", one)
    ]  # steps are a network's
    late = [
        "fit",
        data,
        "--target",
        "tags",
        "--run",
        tmp_path / "run",
        *plain,
        "--set",
        "schema.tags=labels",
        "--fusion",
        "voting",
    ]
    with pytest.raises(SystemExit):
        main(list(map(str, late)))
    *warned, said = capsys.readouterr().err.strip().splitlines()
    assert "voting learns one answer a row" in said
    assert len(warned) == 1 and "name 3 of 3 labels" in warned[0]  # captions, of the labels


def test_ordered_levels_from_file_to_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = written(tmp_path / "data.jsonl", planted()), tmp_path / "run"
    fit = [
        "fit",
        data,
        "--target",
        "grade",
        "--run",
        run,
        *SETS,
        "--set",
        "schema.tags=ignore",
        "--set",
        "schema.caption=ignore",
    ]
    assert (
        "is no level of data.order" in refused(capsys, [*fit, "--set", "data.order=low,mid"])
        and not run.exists()
    )
    said(capsys, [*fit, "--set", "data.order=low,mid,high,top"])
    whole = {f["name"]: f for f in said(capsys, ["evaluate", run]) if not f["scope"]}
    assert (
        whole["mean_level_error"]["high"] < whole["mean_level_error"]["chance"]
        and whole["quadratic_kappa"]["low"] > 0.5
    )
    assert whole["set_size"]["value"] < 3 and "90 % was promised" in whole["set_coverage"]["note"]
    fresh = planted(80, seed=1)
    rows = predictions(capsys, run, written(tmp_path / "new.jsonl", fresh), tmp_path / "p.csv")
    off = [
        abs(LEVELS.index(row["prediction"]) - LEVELS.index(str(was["grade"])))
        for row, was in zip(rows, fresh, strict=True)
    ]
    assert np.mean(off) < 0.5
    inside = [
        str(was["grade"]) in row["set"].split("|") for row, was in zip(rows, fresh, strict=True)
    ]
    assert np.mean(inside) > 0.75  # 90 % promised, 80 rows: five deviations below


def test_a_class_that_weighs_more_is_said_more_often(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, counts = np.random.default_rng(0), []
    rows = [{"size": (k % 2) + rng.normal(), "label": "ab"[k % 2]} for k in range(200)]
    data = written(tmp_path / "data.jsonl", rows)
    for weight in (1, 6):
        run = tmp_path / f"run{weight}"
        said(
            capsys,
            [
                "fit",
                data,
                "--target",
                "label",
                "--run",
                run,
                *SETS,
                "--set",
                f"predict.weights.b={weight}",
            ],
        )
        counts.append(
            sum(r["prediction"] == "b" for r in predictions(capsys, run, data, tmp_path / "p.csv"))
        )
    assert counts[0] == pytest.approx(100, abs=25) and counts[1] > counts[0] + 40
    words = ["fit", data, "--target", "label", "--run", tmp_path / "no", *SETS, "--set"]
    assert "Did you mean 'b'" in refused(capsys, [*words, "predict.weights.bb=2"])
    assert "a number from 0 to below" in refused(capsys, [*words, "predict.weights.b=-1"])
    assert not (tmp_path / "no").exists()


def test_fields_and_values_come_and_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A field that training had and the new file lacks, a column that only the new file has, a
    category nobody has seen, a class that stands in no test row."""
    rows = [
        {"caption": f"a {w} thing, number {k}", "colour": w, "label": w}
        for k, w in enumerate(["red", "green", "blue"] * 30)
    ]
    rows.append({"caption": "a white thing", "colour": "white", "label": "white"})
    data, run = written(tmp_path / "data.jsonl", rows), tmp_path / "run"
    said(capsys, ["fit", data, "--target", "label", "--run", run, *SETS])
    scarce = [f for f in Workbench.open(run).findings("check") if f.scope == {"class": "white"}]
    assert "not in every split" in scarce[0].note
    assert {
        f["scope"].get("class") for f in said(capsys, ["evaluate", run]) if f["name"] == "recall"
    } == {
        "red",
        "green",
        "blue",
    }
    one = predictions(
        capsys,
        run,
        written(tmp_path / "less.jsonl", [{"caption": "a red thing"}]),
        tmp_path / "p.csv",
    )
    assert one[0]["prediction"] == "red" and one[0]["present"] == "caption"
    more = [
        {"caption": None, "colour": "pink", "new": "x.png"},
        {"caption": "a blue thing", "colour": None, "new": None},
    ]
    two = predictions(capsys, run, written(tmp_path / "more.jsonl", more), tmp_path / "p.csv")
    assert two[0]["present"] == "table" and two[1]["prediction"] == "blue"
    odd = said(capsys, ["describe", run, "--row", "colour=pink"])
    assert any(f["name"] == "unseen_category" and "'pink'" in f["note"] for f in odd)
    twice = written(tmp_path / "twice.jsonl", [{"id": 7, **row} for row in rows])
    words = [
        "fit",
        twice,
        "--target",
        "label",
        "--run",
        tmp_path / "no",
        *SETS,
        "--set",
        "schema.id=id",
    ]
    assert "the id '7' appears twice" in refused(capsys, words)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    data = Shapes(rows=240).write(folder / "shapes", seed=0)
    main(["fit", str(data), "--target", "shape", "--run", str(folder / "run"), *SETS, "--json"])
    return folder


def test_labels_in_words_are_ranked_and_their_confidence_is_checked(
    shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = shapes / "shapes" / "images" / "00003.png"
    found = said(
        capsys,
        [
            "describe",
            shapes / "run",
            "--image",
            image,
            "--labels",
            "a red square,a blue circle,a green cross",
        ],
    )
    shares = {f["scope"]["label"]: f["value"] for f in found if f["name"] == "zero_shot"}
    assert sum(shares.values()) == pytest.approx(1) and len(shares) == 3
    right = next(f for f in found if f["name"] == "zero_shot_right")
    assert right["low"] > right["chance"] == pytest.approx(1 / 3)
    for labels, word in (
        ("one", "two or more different"),
        ("a,a", "two or more different"),
        ("a,,b", "two or more different"),
    ):
        assert word in refused(
            capsys, ["describe", shapes / "run", "--image", image, "--labels", labels]
        )
    assert "no field but 'caption'" in refused(
        capsys, ["describe", shapes / "run", "--text", "a", "--labels", "a,b"]
    )


def test_odd_and_typical_records(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise is no drawing, a caption of another drawing contradicts it, and one training row is
    like the others."""
    run, pixels = (
        shapes / "run",
        np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8),
    )
    Image.fromarray(pixels).save(tmp_path / "noise.png")

    def verdict(name: str, field: str, *query: object) -> str:
        found = said(capsys, ["describe", run, *query])
        return next(
            f["verdict"] for f in found if f["name"] == name and field in f["scope"].values()
        )

    own = shapes / "shapes" / "images" / "00003.png"
    assert verdict("typicality", "image", "--image", tmp_path / "noise.png") == "odd"
    assert verdict("typicality", "image", "--image", own) == "typical"
    # a number alone is compared with that number of other rows, not with whole rows
    alone = said(capsys, ["describe", run, "--row", "side=20"])
    found = next(f for f in alone if f["name"] == "typicality" and f["scope"] == {"field": "table"})
    assert found["value"] > 0.5  # many drawings have this side
    assert verdict("typicality", "table", "--row", "side=999") == "odd"
    bench = Workbench.open(run)
    captions = bench.run.checked.rows.dataset.values("caption")
    row = next(k for k, c in enumerate(captions) if c)
    picture = shapes / "shapes" / str(bench.run.checked.rows.dataset.values("image")[row])
    assert (
        verdict("agreement", "image + caption", "--image", picture, "--text", captions[row])
        == "typical"
    )


def test_a_made_image_is_told(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Image.open(shapes / "shapes" / "images" / "00003.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    save_png(tmp_path / "made.png", pixels, {"generator": "flow", "seed": 5})
    found = said(capsys, ["describe", shapes / "run", "--image", tmp_path / "made.png"])
    assert (
        found[0]["name"] == "made_image"
        and found[0]["verdict"] == "generated"
        and "generator flow, seed 5" in found[0]["note"]
    )
    real = said(
        capsys, ["describe", shapes / "run", "--image", shapes / "shapes" / "images" / "00003.png"]
    )
    assert not [f for f in real if f["name"] == "made_image"]


def test_a_share_as_odd_is_uniform_for_rows_like_the_others() -> None:
    """The conformal p-value of a row drawn like the pool: P(p <= a) <= a, and near it."""
    rng = np.random.default_rng(0)
    shares = np.array(
        [typicality(rng.normal(size=(100, 4)), rng.normal(size=4)).share for _ in range(400)]
    )
    for level in (0.1, 0.3, 0.6):
        assert (shares <= level).mean() == pytest.approx(level, abs=0.08)
    pool = rng.normal(size=(60, 2))
    slow = [np.sort(np.sqrt(((pool - p) ** 2).sum(1)))[1 : NEIGHBOURS + 1].mean() for p in pool]
    assert np.allclose(typicality(pool, pool[0]).training, slow)


@pytest.mark.parametrize("heat", [0.05, 0.3])
def test_the_temperature_of_words_is_the_planted_one(heat: float) -> None:
    rng = np.random.default_rng(1)
    cosines = rng.uniform(-0.5, 0.5, (4000, 5))
    draws = cosines / heat + rng.gumbel(
        size=cosines.shape
    )  # the right one has the largest, so is drawn from the softmax
    right = draws.argmax(1)
    first = np.concatenate(
        [
            cosines[np.arange(4000), right][:, None],
            np.stack([np.delete(c, r) for c, r in zip(cosines, right, strict=True)]),
        ],
        1,
    )
    assert zero_shot.best_temperature(first) == pytest.approx(heat, rel=0.1)
