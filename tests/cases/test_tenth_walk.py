"""Faults that a tenth walk of a new user met."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import processor
import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.interfaces.cli import main

QUICK = {
    "encoders": {"text": {"name": "characters"}},
    "fusion": {"name": "concat", "settings": {"steps": 20}},
    "align": {"steps": 0},
    "predict": {"folds": 2},
    "runtime": processor.SETTINGS,
}


def rows(count: int, seed: int) -> pd.DataFrame:
    drawn = random.Random(seed)
    table = [
        {"note": f"{kind} thing number {i}", "side": i % 7 + len(kind), "kind": kind}
        for i, kind in enumerate(drawn.choices(["cup", "kettle"], k=count))
    ]
    return pd.DataFrame(table)


@pytest.fixture(scope="module", params=["kind", "side"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its saved copies without and with vectors, and rows of a receiver."""
    made = tmp_path_factory.mktemp(request.param)
    rows(100, 0).to_csv(made / "records.csv", index=False)
    rows(30, 1).to_csv(made / "new.csv", index=False)
    bench = Workbench(made / "records.csv", request.param, made / "run", QUICK)
    bench.fit()
    bench.save_pretrained(made / "saved")
    bench.save_pretrained(made / "indexed", index=True)
    return made


def test_what_evaluate_says_comes_next_is_a_command_that_works(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, told in {"run": True, "saved": False, "indexed": False}.items():
        assert not main(["evaluate", str(folder / name), str(folder / "new.csv")])
        ends = capsys.readouterr().err.splitlines()
        following = [line for line in ends if line.startswith("Next: ")]
        assert bool(following) == told, name
        for line in following:
            assert not main(line.removeprefix("Next: gobelin ").split())


def test_a_saved_run_that_cannot_be_searched_names_the_option_that_makes_it_so(
    folder: Path,
) -> None:
    with pytest.raises(GobelinError, match=r"or save that with --index\.$"):
        Workbench.open(folder / "saved").search(k=1, text="a cup")
    assert Workbench.open(folder / "indexed").search(k=1, text="a cup")
    with pytest.raises(GobelinError, match=r"audit needs\. Use the run that it was saved from\.$"):
        Workbench.open(folder / "saved").audit()  # which no option of save makes possible


@pytest.mark.parametrize("verb", ["search", "describe", "explain"])
def test_a_query_that_names_the_target_is_told_what_it_is(folder: Path, verb: str) -> None:
    bench = Workbench.open(folder / "run")
    ask: dict[str, Callable[..., object]] = {
        "search": bench.search,
        "describe": bench.describe,
        "explain": bench.explain,
    }
    target = bench.run.settings.data.target
    with pytest.raises(GobelinError, match=f"{target!r} is the target.*--where"):
        ask[verb](**{target: "5"})
    with pytest.raises(GobelinError, match="no field, column or flag 'sid'"):
        ask[verb](sid="5")


def test_the_remedy_for_a_target_in_a_query_works(folder: Path) -> None:
    bench = Workbench.open(folder / "run")
    where = {"kind": "kind = 'cup'", "side": "side > 8"}[bench.run.settings.data.target]
    found = bench.search(k=3, text="a cup", where=where)
    assert len(found.to_frame()) == 3
