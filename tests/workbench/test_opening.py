"""What a start loads before it refuses, and what `show` says of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gobelin import Workbench
from gobelin.workbench.fit import plan

MISSING = """
import sys
from gobelin import Workbench
from gobelin.core.errors import GobelinError
try:
    Workbench("recrods.csv", "kind", "run")
except GobelinError as error:
    print(error, "torch" in sys.modules, "pandas" in sys.modules)
"""


def test_a_misspelt_file_is_refused_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "records.csv").write_text("a,kind\n1,x\n")
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", MISSING], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Did you mean 'records.csv'? False False" in done.stdout


@pytest.mark.parametrize(("made", "told"), [(254, "254 steps"), (0, "300 steps")])
def test_show_tells_the_steps_that_were_made(made: int, told: str, tmp_path: Path) -> None:
    """Minutes may end a training of 300 steps after 254."""
    settings: Any = SimpleNamespace(
        generator=SimpleNamespace(name="vaegan", steps=300),
        fusion=SimpleNamespace(name="pool"),
        data=SimpleNamespace(path="", target="kind"),
        runtime=SimpleNamespace(seed=0),
    )
    run: Any = SimpleNamespace(
        settings=settings,
        folder=SimpleNamespace(folder=tmp_path),
        data=SimpleNamespace(schema=SimpleNamespace(fields=())),
        generator=SimpleNamespace(
            folder=SimpleNamespace(folder=tmp_path),
            stage=lambda seed: f"generator-{seed}",
            trained=made > 0,
        ),
    )
    if made:
        (tmp_path / "generator-0").mkdir()
        (tmp_path / "generator-0" / "space.json").write_text(f'{{"steps": {made}}}')
    assert told in "\n".join(plan.summary(run))


@pytest.mark.parametrize("name", ["first", "it's", "two words/deep"])
def test_a_bench_shows_how_to_open_it_again(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"size": np.linspace(0, 1, 60) ** 2, "label": ["a", "b"] * 30})
    bench = Workbench(frame, target="label", run=tmp_path / name)
    bench.check()
    assert eval(repr(bench)).folder == bench.folder == tmp_path / name  # noqa: S307
