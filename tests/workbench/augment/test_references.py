"""Reference generators of an audit: what they learn, what is said before, what is kept. Oracle: the
calls of the training itself."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import processor
import pytest

from gobelin import Workbench
from gobelin.core.config import resolved
from gobelin.core.later import in_key
from gobelin.data.samples.shapes import Shapes
from gobelin.generation import sampling
from gobelin.generation.generators import ImageRows
from gobelin.quality.judge import Judge
from gobelin.workbench.augment import plan, row_losses

SETTINGS = {
    "runtime": processor.SETTINGS,
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "align": {"width": 16, "steps": 20},
    "fusion": {"name": "concat", "settings": {"steps": 40, "components": 24}},
    "generator": {
        "name": "flow",
        "steps": 6,
        "size": 16,
        "settings": {"width": 16, "depth": 1, "heads": 2, "batch": 16},
    },
    "augment": {"ratio": (0.25,), "agree": False, "match": False},
    "judge": {
        "planted": 40,
        "audits": ("membership",),
        "references": 2,
        "metrics": ("coverage",),
    },
}


def audited(folder: Path, caplog: pytest.LogCaptureFixture) -> tuple[list[str], set[str]]:
    """The warnings of an audit, and the attacks that it made."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        findings = Workbench.open(folder).audit()
    attacks = {f.scope["attack"] for f in findings if f.name == "epsilon_at_least"}
    return [m for m in caplog.messages if "reference generator" in m], attacks


def test_references_learn_halves_are_told_before_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = Shapes(rows=110).write(tmp_path / "data", seed=3)
    bench = Workbench(source, target="shape", run=tmp_path / "run", settings=SETTINGS)
    bench.fit(generator=True)
    learned: list[list[bytes]] = []
    train = sampling.train

    def counted(settings: object, seed: int, rows: ImageRows, valid: ImageRows, *more: object):  # noqa: ANN202
        learned.extend([[one.tobytes() for one in part.images] for part in (rows, valid)])
        return train(settings, seed, rows, valid, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(sampling, "train", counted)
    monkeypatch.setattr(row_losses.cost, "training_seconds", lambda _: 90.0)
    folder = tmp_path / "run"
    told, attacks = audited(folder, caplog)
    assert told == [
        "audit: 2 reference generators are trained now, 6 steps each: about 3 minutes (half or"
        " twice as long is usual)."
    ]
    assert attacks == {"distance", "loss", "RMIA"}
    generator = bench.run.generator
    real = [generator.images(generator.with_image(part)).images for part in ("train", "valid")]
    every = sorted(one.tobytes() for part in real for one in part)
    first, rest, second, others = learned
    assert sorted(first + rest) == every and (sorted(second), sorted(others)) == (
        sorted(rest),
        sorted(first),
    )
    losses = [np.load(p) for p in sorted(folder.glob("references/*/losses.npy"))]
    assert [len(x) for x in losses] == [len(every)] * 2 and not np.allclose(*losses)
    assert not (folder / "work").is_dir() or not list((folder / "work").rglob("*.safetensors"))
    # what a killed command left is used; what is kept is not trained again
    for gone in ("audited", "verbs/audit", "references/flow-0-1"):
        shutil.rmtree(folder / gone)
    again, _ = audited(folder, caplog)
    assert len(learned) == 6 and "1 of 2 reference generators are trained now" in again[0]
    assert np.array_equal(np.load(folder / "references/flow-0-1/losses.npy"), losses[1])
    (found,) = [f for f in plan.planned(Workbench.open(folder).run) if "references" in f.name]
    assert found.value == 2 and "RMIA" in found.note


def test_a_generator_without_a_loss_is_said_to_have_none(caplog: pytest.LogCaptureFixture) -> None:
    settings = SimpleNamespace(judge=Judge(references=2))
    sampler = SimpleNamespace(accepts=frozenset())
    training = SimpleNamespace(name="vaegan", trained=SimpleNamespace(sampler=sampler))
    run: Any = SimpleNamespace(settings=settings)
    assert row_losses.references(run, training) is None  # type: ignore[arg-type]
    assert caplog.messages == [
        "audit: vaegan knows no loss of a row, so no reference generator is trained."
    ]


def test_keys_of_earlier_runs_stay() -> None:
    assert in_key(Judge()) == {k: v for k, v in resolved(Judge()).items() if k != "references"}
    assert in_key(Judge(references=2)) == resolved(Judge(references=2))
