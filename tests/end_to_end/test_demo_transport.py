"""The demo on signs, with a hand-made package of 32 names in three colours each. Oracle: a name is
a pattern, whatever its colour, and every name is a unit of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import processor
import pytest

from gobelin.core import catalog
from gobelin.core.machine import silent
from gobelin.data.samples.transport import DRAWINGS, SIGNS_PACKAGE, Transport
from gobelin.interfaces import demo
from gobelin.workbench.bench import Workbench

pytest.importorskip("resvg_py")
NAMES = 32
QUICK = {
    "encoders": {"image": {"name": "pixels"}},
    "align": {"steps": 0, "width": 8},
    "generator": {"size": 16, "name": "procedural", "steps": 1},
    "predict": {"folds": 2, "decays": [0.01]},
    "fusion": {"name": "concat", "settings": {"steps": 20}},
    "augment": {"seeds": 2, "ratio": [1.0], "mixes": [0.5], "decays": [0.01]},
    "runtime": processor.SETTINGS,
}


def package(folder: Path) -> Path:
    """A name is a pattern of 3 x 3 black or white fields on a board of any colour."""
    drawings = folder / "node_modules" / SIGNS_PACKAGE / DRAWINGS
    drawings.mkdir(parents=True)
    rng = np.random.default_rng(0)
    patterns = rng.permutation(512)[:NAMES]
    for name, pattern in enumerate(patterns.tolist()):
        for variant, colour in enumerate(("ffd514", "145aaa", "f5821e"), 1):
            fields = "".join(
                f'<rect x="{3 + 6 * (k % 3)}" y="{3 + 6 * (k // 3)}" width="6" height="6"/>'
                for k in range(9)
                if pattern >> k & 1
            )
            (drawings / f"warning--n{name}--g{variant}.svg").write_text(
                '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24">'
                f'<rect width="24" height="24" fill="#{colour}"/>{fields}</svg>'
            )
    return folder


def test_the_demo_gives_a_verdict_whose_units_are_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Transport(folder=str(package(tmp_path / "npm")), size=16)
    monkeypatch.setattr(catalog, "build", _with_sample(sample))
    said: list[str] = []
    verdicts = demo.run(tmp_path / "run", "transport", QUICK, silent, said.append)
    assert [v.scope["arm"] for v in verdicts] == ["generated", "classic + generated"]
    assert all(v.n == NAMES for v in verdicts)
    bench = Workbench.open(tmp_path / "run")
    score = bench.findings("evaluate")[0]
    assert score.n == NAMES and score.value is not None
    told = "\n".join(said)
    assert "audit" in told and verdicts[0].note in told


def _with_sample(sample: Transport):  # noqa: ANN202
    real = catalog.build

    def build(slot: str, name: str, settings: object = None) -> object:
        return sample if slot == "samples" else real(slot, name, settings)  # type: ignore[arg-type]

    return build
