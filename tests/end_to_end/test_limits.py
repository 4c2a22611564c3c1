"""How much is trained, at the command line: a count from the data, which a limit of time lowers
once. Oracle: the hash of the weights, arithmetic on a clock that is told, settings.json.

Planted: a machine that gets ten times slower in the middle of a training, and a kill after the
decision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from presets import SMALL

from gobelin import Workbench
from gobelin.core.files import tree_hash
from gobelin.data.samples.shapes import Shapes
from gobelin.generation.generators import flow, vaegan
from gobelin.interfaces.cli import main
from gobelin.networks.training import limit, training

SETS = [
    *SMALL,
    "generator.settings.width=4",
    "generator.settings.batch=4",
    "generator.settings.prior_width=8",
]
USUAL, LEAST = 300, 20
Advance = Callable[[Any, Any], None]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a generator, beside its data."""
    folder = tmp_path_factory.mktemp("limits")
    Shapes(rows=140, size=16).write(folder / "data", 0)
    fit(folder / "run")
    return folder / "run"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts by data of a few steps."""
    monkeypatch.setattr(vaegan, "USUAL_STEPS", USUAL)
    monkeypatch.setattr(vaegan.Vaegan, "least_steps", LEAST)


def fit(run: Path, *options: str) -> None:
    words = ["fit", str(run.parent / "data" / "records.csv"), "--target", "shape", "--run"]
    main([*words, str(run), *(w for s in SETS for w in ("--set", s)), *options])


def copy(fitted: Path, name: str) -> Path:
    return Path(shutil.copytree(fitted, fitted.parent / name))


def made(run: Path) -> tuple[int, str]:
    """The recorded count of steps, and a hash of the trained generator with its history."""
    steps = json.loads((run / "settings.json").read_text(encoding="utf-8"))["generator"]["steps"]
    return steps, tree_hash(run / "generators" / "vaegan-0")


def ended(run: Path) -> int:
    """The recorded step after which a limit ended the training; 0 = none."""
    settings = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    return int(settings["generator"]["ended"])


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets a clock on which a step takes a second, and `late` seconds from the 10th step on."""
    original: Advance = training._Loop.advance

    def tell(late: float) -> None:
        now = [0.0]

        def advance(loop: Any, batch: Any) -> None:
            now[0] += 1.0 if loop.done < 10 else late
            original(loop, batch)

        monkeypatch.setattr(training._Loop, "advance", advance)
        clock = SimpleNamespace(monotonic=lambda: now[0])
        monkeypatch.setattr(limit, "time", clock)
        monkeypatch.setattr(training, "time", clock)

    return tell


def test_the_data_decide_on_every_machine(
    fitted: Path, told: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [copy(fitted, "quick"), copy(fitted, "slow")]
    for run, late in zip(runs, (1.0, 10.0), strict=True):
        told(late)
        fit(run, "--generator", "vaegan", "--dry-run")
        images = json.loads((run / "findings.jsonl").read_text().splitlines()[0])["value"]
        steps = round(USUAL * (images / 1000) ** 0.5 * (16 * 16 / 32 / 32) ** 0.25)
        assert f"generator steps (generator vaegan): {steps}. trainings: 1." in (
            capsys.readouterr().out
        )
        fit(run, "--generator", "vaegan")
        assert made(run)[0] == steps >= LEAST
    assert made(runs[0]) == made(runs[1])


def test_a_limit_decides_once_and_is_replayed_to_the_bit(
    fitted: Path, told: Callable[[float], None]
) -> None:
    """A limit of 40 seconds: 4 of them tell that a step takes one, and the rest is 36 seconds; the
    critic makes later steps slower, by `JUDGED_STEP`. On the slow machine the training itself has
    1.4 x 40 - 4 = 52 seconds: 10 steps of one second and, 5 of ten, the last ends at 60."""
    steps = int(36 / (0.1 + 0.9 * vaegan.JUDGED_STEP))
    for name, late in (("limited", 1.0), ("limited-slow", 10.0)):
        told(late)
        fit(copy(fitted, name), "--generator", "vaegan", "--minutes", str(40 / 60))
    limited, slow = (fitted.parent / name for name in ("limited", "limited-slow"))
    assert made(limited)[0] == made(slow)[0] == steps
    assert ended(limited) == 0 and ended(slow) == 15

    before = made(limited), made(slow)
    for run, late in ((limited, 10.0), (slow, 1.0)):  # again: nothing is decided
        told(late)
        fit(run, "--generator", "vaegan", "--minutes", str(40 / 60))
    assert (made(limited), made(slow)) == before
    by_count, by_end = copy(fitted, "by-count"), copy(fitted, "by-end")
    fit(by_count, "--generator", "vaegan", "--set", f"generator.steps={steps}")
    assert made(by_count) == made(limited)
    both = ("--set", f"generator.steps={steps}", "--set", "generator.ended=15")
    fit(by_end, "--generator", "vaegan", *both)
    assert made(by_end) == made(slow)
    recipe = copy(fitted, "recipe")
    fit(recipe, "--recipe", str(slow / "settings.json"), "--generator", "vaegan")
    assert made(recipe) == made(slow)
    told(1.0)
    fit(limited, "--generator", "vaegan", "--minutes", str(50 / 60))  # another limit decides anew
    assert made(limited)[0] > steps


def test_a_kill_after_the_decision_changes_nothing(
    fitted: Path, told: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = copy(fitted, "whole"), copy(fitted, "killed")
    told(1.0)
    fit(whole, "--generator", "vaegan", "--minutes", "1")
    told(1.0)
    advance: Advance = training._Loop.advance

    def dies(loop: Any, batch: Any) -> None:
        if loop.done == 9:  # after the pilot
            raise SystemError("killed")
        advance(loop, batch)

    with monkeypatch.context() as patch:
        patch.setattr(training._Loop, "advance", dies)
        with pytest.raises(SystemError):
            fit(killed, "--generator", "vaegan", "--minutes", "1")
    told(100.0)  # a far slower machine would allow 1 step
    fit(killed, "--generator", "vaegan", "--minutes", "1")
    assert made(killed) == made(whole)


def test_too_few_steps_are_said(
    fitted: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """In the findings of `fit`, in the plan, in the report, and before and after a study."""
    run = copy(fitted, "few")
    words = f"fewer than the {LEAST} with which images of vaegan begin to follow the data"
    few = ("--generator", "vaegan", "--set", "generator.steps=3")
    fit(run, *few, "--dry-run")
    assert words in capsys.readouterr().out
    fit(run, *few)
    assert words in capsys.readouterr().out
    assert words in Workbench.open(run).report().read_text(encoding="utf-8")
    study = {"rivals": ("weights",), "seeds": 2, "tuning_seeds": 1, "ratio": (0.5,)}
    study |= {"agree": False, "match": False, "quarantine": False, "mixes": (0.5,)}
    bench = Workbench.open(run, settings={"augment": study, "judge": {"audits": ()}})
    caplog.clear()
    found = bench.augment()
    said = [record.getMessage() for record in caplog.records if words in record.getMessage()]
    assert len(said) == 1 and said[0].startswith("augment: generator steps (generator vaegan): 3.")
    assert [f.value for f in found if f.name == "generator_steps"] == [3]


def test_the_other_generators_of_a_study_are_counted_too(fitted: Path) -> None:
    """Nothing is measured for them, and nothing trained by a plan."""
    bench = Workbench.open(fitted, settings={"augment": {"generators": ("vaegan", "flow")}})
    counts = {
        f.scope["generator"]: f.value
        for f in bench.plan(augment=True)
        if f.name == "generator_steps"
    }
    images = bench.run.checked.rows.part("train")
    assert counts["flow"] == flow.Flow().steps_for(len(images), (16, 16, 3))
    assert not (fitted / "generators").exists()
