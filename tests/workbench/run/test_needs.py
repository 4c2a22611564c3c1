"""A verb on a run folder ends in a result or in one line. Oracle: arrays of a run folder that fit
nothing, signed as their stranger would, and a run that has nothing a verb asks for."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError, UnusableValue
from gobelin.core.files import load_arrays, save_arrays, tree_hash
from gobelin.interfaces.cli import main
from gobelin.workbench.run import needs

GOLDEN = Path(__file__).parents[2] / "golden"
VERBS = [
    name
    for name, member in vars(Workbench).items()
    if inspect.isfunction(member)
    and not name.startswith("_")
    and name not in ("findings", "card")  # they ask for files alone
]
GIVEN: dict[str, tuple[Any, ...]] = {
    "predict": ("rows.csv",),
    "save_pretrained": ("saved",),
    "push_to_hub": ("owner/name",),
    "showcase": ([],),
}
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half": lambda a: a[: len(a) // 2],
    "twice": lambda a: np.concatenate([a, a]),
    "flat": lambda a: a.ravel()[:-1],
    "none": lambda a: a[:0],
    "deeper": lambda a: a[None, None],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_names_the_run_that_it_can_not_use(verb: str, tmp_path: Path) -> None:
    bench = Workbench.__new__(Workbench)
    bench.run = SimpleNamespace(folder=SimpleNamespace(folder=tmp_path, saved=False))  # type: ignore[assignment]
    kind = AttributeError if verb in needs.FROM_DATA else UnusableValue
    with pytest.raises(kind) as raised:
        getattr(bench, verb)(*GIVEN.get(verb, ()))
    if kind is UnusableValue:
        assert re.match(rf"{tmp_path}: \w+ ended in AttributeError \(", str(raised.value))
        assert isinstance(raised.value.__cause__, AttributeError)


def test_memory_and_mistakes_of_the_user_keep_their_words() -> None:
    @needs.usable_values
    class Verbs:
        run = SimpleNamespace(folder=SimpleNamespace(folder="run", saved=True))

        def full(self) -> None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

        def told(self) -> None:
            raise GobelinError("x: was wrong. Mend it.")

        def broken(self) -> None:
            raise KeyError("mean")

    with pytest.raises(RuntimeError, match="allocate memory"):
        Verbs().full()
    with pytest.raises(GobelinError, match="^x: was wrong"):
        Verbs().told()
    with pytest.raises(UnusableValue, match="broken ended in KeyError .*Save the run again"):
        Verbs().broken()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("stage", ["model", "alignment"])
def test_arrays_of_another_shape(
    stage: str, change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    run = shutil.copytree(GOLDEN / "run_folder", tmp_path / "run")
    file = run / stage / "weights.safetensors"
    arrays = load_arrays(file)
    name = next(n for n in sorted(arrays) if n.startswith("caption/") and n.endswith("projection"))
    save_arrays(file, arrays | {name: np.ascontiguousarray(CHANGES[change](arrays[name]))})
    record = json.loads((run / stage / "stage.json").read_text())
    record["hash"] = tree_hash(run / stage)
    (run / stage / "stage.json").write_text(json.dumps(record))
    words = ["describe" if stage == "model" else "search", str(run), "--text", "a red circle"]
    for more in ([], ["--verbose"]):
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        told = capsys.readouterr().err
        assert ended.value.code == 2 and "ended in" in told
        assert ("Traceback" in told) == bool(more)
