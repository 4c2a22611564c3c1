"""A table as people have them, through a whole run: NaN, inf, 10^300, constant and empty columns,
dates in several writings."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import processor
import pytest

from gobelin.core.errors import GobelinError
from gobelin.workbench.bench import Workbench

SETTINGS = {
    "align": {"steps": 0, "width": 8},
    "predict": {"folds": 2, "decays": [0.01]},
    "runtime": processor.SETTINGS,
    "fusion": {"settings": {"steps": 60}},
}
N = 90


def written(path: Path, columns: dict[str, list[object]]) -> Path:
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))
    return path


def records(folder: Path) -> dict[str, list[object]]:
    rng = np.random.default_rng(0)
    sign = rng.normal(size=N)
    huge = ["1" + "0" * 300, "-1e308", "1e-320", "nan", "", "?", "3.5"]
    return {
        "huge": [huge[k % 7] for k in range(N)],
        "gone": [f"{v:.3f}" if k != 40 else "inf" for k, v in enumerate(rng.normal(size=N))],
        "tells": [f"{(1 if v > 0 else -1) * 10.0 ** (290 + k % 9)}" for k, v in enumerate(sign)],
        "same": [7] * N,
        "void": [""] * N,
        "missing_words": ["NA"] * N,
        "day": [f"{k % 28 + 1}.{k % 12 + 1}.2020" for k in range(N)],
        "sort": ["red" if v > 0.5 else "blue" for v in sign],
        "y": ["up" if v > 0 else "down" for v in sign],
    }


def test_a_hard_table_is_checked_fitted_and_predicted(tmp_path: Path) -> None:
    columns = records(tmp_path)
    bench = Workbench(written(tmp_path / "a.csv", columns), "y", tmp_path / "run", SETTINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bench.check()
        bench.fit()
        score = bench.evaluate()[0]
        x = bench.run.features.embeddings
    assert not bench.run.checked.scan.bad
    assert "'inf' is read as missing" in bench.run.data.schema.column("gone").remark
    told = [f for f in found if f.name == "gives_label_away" and f.scope.get("column") == "tells"]
    assert (
        told and told[0].value > 0.95
    )  # 1e298 against -1e298 is seen, though 32 bits hold neither
    assert (
        all(np.isfinite(v).all() for v in x.features.values())
        and score.value is not None
        and score.value > 0.8
    )
    roles = {c.name: (c.kind, c.role) for c in bench.run.data.schema.columns}
    assert roles["same"][1] == roles["void"][1] == roles["missing_words"][1] == "ignore" and roles[
        "day"
    ] == ("date", "cell")
    new = {name: [values[0]] * 3 for name, values in columns.items()}
    new |= {"sort": ["green", "red", ""], "day": ["1 Mar 2031", "", "2020-03-01"]}
    del new["y"]
    predictions = bench.predict(written(tmp_path / "new.csv", new))
    assert np.isfinite(predictions.probabilities).all() and np.allclose(
        predictions.probabilities.sum(1), 1
    )


def test_a_run_that_asks_for_a_date_or_cannot_tell_days_from_months_ends_in_one_line(
    tmp_path: Path,
) -> None:
    columns = records(tmp_path) | {"day": [f"{k % 12 + 1}/{k % 7 + 1}/2020" for k in range(N)]}
    path = written(tmp_path / "a.csv", columns)
    for target, reason in (
        ("day", "holds dates, and a date can't be predicted.*--set schema.day=category"),
        (
            "y",
            (
                "can be read with the day first and with the month first.*--set"
                " encoders.table.dates=day_first, or month_first"
            ),
        ),
    ):
        with pytest.raises(GobelinError, match=reason) as caught:
            Workbench(path, target, tmp_path / "run", SETTINGS).check()
        assert "\n" not in str(caught.value) and not (tmp_path / "run" / "settings.json").exists()
    settings = {**SETTINGS, "encoders": {"table": {"dates": "month_first"}}}
    assert Workbench(path, "y", tmp_path / "run", settings).run.features.embeddings.present.all()


def test_an_encoder_knows_nothing_of_rows_outside_training(tmp_path: Path) -> None:
    """Whatever validation and test rows hold, the same encoder is learned."""
    columns = records(tmp_path)
    parts: list[object] = [("train", "valid", "test")[k % 3] for k in range(N)]
    prints = []
    changed = {**columns, "gone": ["1e9"] * N, "sort": ["violet"] * N, "day": ["1.1.1999"] * N}
    for k, other in enumerate((columns, changed)):
        mixed = {
            c: [columns[c][r] if parts[r] == "train" else other[c][r] for r in range(N)]
            for c in columns
        }
        bench = Workbench(
            written(tmp_path / f"{k}.csv", mixed | {"split": parts}),
            "y",
            tmp_path / str(k),
            SETTINGS,
        )
        prints.append(bench.run.features.embedder.encoders["table"].fingerprint())
    assert prints[0] == prints[1]


@pytest.mark.parametrize("encoder", ["characters", "words", "texts"])
def test_texts_that_no_training_row_has_teach_nothing_and_are_told(
    encoder: str, tmp_path: Path
) -> None:
    parts = ["train" if k % 5 < 3 else "test" if k % 5 == 3 else "valid" for k in range(N)]
    columns = records(tmp_path) | {"split": parts}
    columns["note"] = ["" if p == "train" else f"a word of {k}" for k, p in enumerate(parts)]
    settings = SETTINGS | {"schema": {"note": "text"}, "encoders": {"text": {"name": encoder}}}
    bench = Workbench(written(tmp_path / "a.csv", columns), "y", tmp_path / "run", settings)
    (rare,) = [one for one in bench.check() if one.name == "rare_field"]
    assert rare.scope == {"field": "note"} and "nothing is learned from it" in rare.note
    bench.fit()
    assert len(bench.predict(tmp_path / "a.csv").labels) == N


def test_texts_that_are_all_over_the_budget_are_set_aside(tmp_path: Path) -> None:
    columns = records(tmp_path) | {"note": [f"a word of {k}" for k in range(N)]}
    settings = SETTINGS | {
        "schema": {"note": "text"},
        "encoders": {"text": {"name": "characters"}},
        "reading": {"letters": 3},
    }
    bench = Workbench(written(tmp_path / "a.csv", columns), "y", tmp_path / "run", settings)
    with pytest.raises(GobelinError, match="column 'note': 90 of 90 cells can't be used"):
        bench.check()
