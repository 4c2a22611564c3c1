"""Training encoders on: what only the tuned one can see is learned and kept, and nothing is kept
where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell, Column, Field, Schema, Target
from gobelin.embedding.encoders import FittedEncoder, Tunable
from gobelin.embedding.features import Embedder
from gobelin.networks.training import limit, training
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.tuning import decision
from gobelin.prediction.tuning.settings import Tune
from gobelin.prediction.tuning.tuner import Tuning, TuningData

ROWS, INSIDE, WIDTH = 160, 6, 4
QUICK = Predict(folds=3, decays=(1e-3,))
HOW = Tune(("seen",), steps=60, rate=0.05, batch=32, rank=2)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test here runs in the folder that pytest was started in."""
    place = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(place)
    return place


class Blind:
    """Numbers through one linear map that doesn't look at the first of them. Not a component: a
    planted one."""

    width = WIDTH

    def __init__(self) -> None:
        self.module = nn.Linear(INSIDE, WIDTH)
        with torch.no_grad():
            weight = torch.randn(WIDTH, INSIDE, generator=torch.Generator().manual_seed(3))
            self.module.weight.copy_(weight * (torch.arange(INSIDE) > 0))
            self.module.bias.zero_()
        self.module.eval()

    def key(self, cell: Cell, root: Path) -> bytes:
        return bytes.fromhex(fingerprint(cell))[:16]

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        return np.array(cell["seen"], np.float32), ""

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        with torch.inference_mode():
            return self.forward(batch).numpy()

    def forward(self, batch: Sequence[Any]) -> Tensor:
        out = self.module(torch.from_numpy(np.stack(list(batch))))
        assert isinstance(out, Tensor)
        return out

    def fingerprint(self) -> str:
        return fingerprint("blind", self.module.weight.detach().numpy())

    def save(self, folder: Path) -> None: ...


class Still:
    """One number as it is, nothing to train."""

    width = 1
    module = None

    def key(self, cell: Cell, root: Path) -> bytes:
        return bytes.fromhex(fingerprint(cell))[:16]

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        return np.array([cell["other"]], np.float32), ""

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        return np.stack(list(batch))

    def fingerprint(self) -> str:
        return "still"

    def save(self, folder: Path) -> None: ...


def planted(label: str, runtime: Runtime, rows: int = ROWS) -> TuningData:
    """label: 'first', the sign of the number that the encoder doesn't look at; 'random'; or
    'number', that number itself. Every tenth cell is missing."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, INSIDE)).astype(np.float32)
    values = {
        "first": (x[:, 0] > 0).astype(int),
        "random": rng.integers(0, 2, rows),
        "number": x[:, 0].astype(float),
    }[label]
    cells = [None if k % 10 == 9 else row.tolist() for k, row in enumerate(x)]
    table = pa.table({"seen": cells, "other": rng.normal(size=rows)})
    schema = Schema(
        (Column("seen", "vector"), Column("other", "number")),
        (
            Field("seen", "blind", ("seen",), "vector"),
            Field("other", "still", ("other",), "number"),
        ),
    )
    reader = Embedder(schema, {"seen": Blind(), "other": Still()})
    dataset = Dataset(table, Path()).with_ids()
    target = (
        Target("y", "number", values)
        if label == "number"
        else Target("y", "class", values, ("no", "yes"))
    )
    groups = tuple(str(k // 2) for k in range(rows))
    weights = np.ones(rows, np.float32)
    train_set = Training(
        QUICK, reader.embed(dataset), target, np.arange(rows), groups, weights, runtime
    )
    return TuningData(reader, dataset, train_set)


def test_the_planted_encoders_are_what_the_contract_says() -> None:
    assert (
        isinstance(Blind(), Tunable)
        and isinstance(Still(), FittedEncoder)
        and not isinstance(Still(), Tunable)
    )


@pytest.mark.parametrize("how", ["lora", "full"])
def test_what_only_a_tuned_encoder_can_see_is_learned_and_kept(how: str, runtime: Runtime) -> None:
    material = planted("first", runtime)
    before = material.embedder.encoders["seen"].fingerprint()
    kept, found = decision.tuned(replace(HOW, how=how), material, None)
    score = {f.name: f for f in found}
    frozen, better = score["score_frozen"].value, score["score_tuned"].value
    # of about 30 rows; over six trainings 0.88 to 0.96, of the frozen encoder 0.46 to 0.73
    assert kept and frozen is not None and better is not None
    assert better > 0.75 and better > frozen
    assert score["tuning_gain_in_probability"].verdict == "kept"
    assert (
        material.embedder.encoders["seen"].fingerprint() == before
    )  # the one that came stays as it was
    assert kept["seen"].fingerprint() != before
    seen = kept["seen"].module.state_dict()
    assert float(seen["weight"][:, 0].abs().max()) > 0.1  # it looks at the first number now
    assert set(seen) == {"weight", "bias"}  # no trace of adapters


def test_full_trains_what_came_frozen(runtime: Runtime) -> None:
    material = planted("first", runtime)
    encoder = material.embedder.encoders["seen"]
    assert isinstance(encoder, Blind)
    encoder.module.bias.requires_grad_(False)
    held = decision.held_back(HOW, material.training)
    own = decision._copy(material.embedder, "seen")
    task = Tuning(
        replace(HOW, how="full"),
        material,
        {"seen": own},
        decision._linear_start(material.training, held),
        held,
    )
    task.step(task.batch(0), torch.Generator().manual_seed(0))
    before, after = encoder.module.state_dict(), own.module.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in ("weight", "bias"))


def test_a_number_is_learned_too(runtime: Runtime) -> None:
    kept, found = decision.tuned(HOW, planted("number", runtime), None)
    score = {f.name: f.value for f in found}
    assert kept and score["score_tuned"] is not None and score["score_frozen"] is not None
    assert score["score_tuned"] < 0.8 * score["score_frozen"]


def test_random_labels_teach_nothing_that_is_kept(runtime: Runtime) -> None:
    kept, found = decision.tuned(replace(HOW, how="full"), planted("random", runtime), None)
    told = next(f for f in found if f.name == "tuning_gain_in_probability")
    assert not kept and told.verdict == "not kept" and told.note.startswith("tuning was not kept")


def test_rows_held_back_are_whole_groups_and_teach_nothing(runtime: Runtime) -> None:
    material = planted("first", runtime)
    held = decision.held_back(HOW, material.training)
    groups, label = np.array(material.training.groups), material.training.target.values
    assert 0.1 < held.mean() < 0.3 and not set(groups[held]) & set(groups[~held])
    assert abs(label[held].mean() - label.mean()) < 0.1
    start = decision._linear_start(material.training, held)
    task = Tuning(HOW, material, {"seen": decision._copy(material.embedder, "seen")}, start, held)
    taught = {int(r) for step in range(20) for r in task.batch(step).rows}
    assert taught == set(np.flatnonzero(~held))


def test_nothing_but_its_own_files_is_touched(
    runtime: Runtime, elsewhere: Path, tmp_path: Path
) -> None:
    """With a folder to work in or without: what lies there and in the current folder stays."""
    (tmp_path / "kept.txt").write_text("mine")
    (elsewhere / "deep").mkdir()
    (elsewhere / "deep" / "kept.png").write_text("mine")
    (elsewhere / "12.png").write_text("mine")
    short = replace(HOW, steps=3)
    for work in (None, tmp_path):
        decision.tuned(short, planted("first", runtime), work, "k")
    assert sorted(p.name for p in elsewhere.rglob("*")) == ["12.png", "deep", "kept.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.safetensors", "kept.txt"]


def test_a_killed_training_goes_on_to_the_same_weights(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = planted("first", runtime)
    whole, found = decision.tuned(HOW, material, tmp_path / "whole", "k")

    class Killed(Exception):  # noqa: N818
        pass

    def kill(what: str, done: int, total: int) -> None:
        if what.startswith("tune") and done == 55:
            raise Killed

    work, ticks = tmp_path / "work", iter(range(0, 10**6, 100))
    with monkeypatch.context() as patch:
        patch.setattr(
            training.time, "monotonic", lambda: next(ticks)
        )  # so that every snapshot is written
        with pytest.raises(Killed):
            decision.tuned(
                HOW,
                replace(material, training=replace(material.training, progress=kill)),
                work,
                "k",
            )
    assert (work / "checkpoint.safetensors").is_file()
    again, later = decision.tuned(HOW, material, work, "k")
    assert again["seen"].fingerprint() == whole["seen"].fingerprint() and later == found


def test_the_rows_decide_the_steps_and_a_limit_lowers_them_once(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: 128 rows to learn from in batches of 2 are 64 steps a pass, 10 passes. A step takes
    a second here, so 20 of them are a tenth of 200 seconds, and 180 fit into the rest."""
    material, how = planted("first", runtime), replace(HOW, steps=0, batch=2)
    learned = int((~decision.held_back(how, material.training)).sum())
    assert decision.planned_steps(how, material) == 10 * learned // 2
    assert decision.planned_steps(replace(how, batch=160), material) == decision.FEWEST_STEPS
    ticks = iter(range(10**6))
    monkeypatch.setattr(limit, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    limited = replace(how, minutes=200 / 60)
    assert decision.steps_of(limited, material, tmp_path / "pilot", "k") == 180
    short = replace(limited, minutes=20 / 60)
    first, found = decision.tuned(short, material, tmp_path / "a", "k")
    assert "of 18;" in found[0].note and "fewer than 20 steps" in found[0].note
    again, told = decision.tuned(replace(short, steps=18, minutes=None), material, None)
    assert told == found and {f: e.fingerprint() for f, e in again.items()} == {
        f: e.fingerprint() for f, e in first.items()
    }


def test_saved_and_loaded_is_the_same(runtime: Runtime, tmp_path: Path) -> None:
    material = planted("first", runtime)
    kept, found = decision.tuned(HOW, material, None)
    (tmp_path / "some").mkdir()
    decision.save(tmp_path / "some", kept, found)
    loaded = decision.with_tuned_encoders(material.embedder, tmp_path / "some")
    batch = [np.ones(INSIDE, np.float32), np.arange(INSIDE, dtype=np.float32)]
    assert np.array_equal(loaded.encoders["seen"].embed(batch), kept["seen"].embed(batch))
    assert not np.allclose(
        loaded.encoders["seen"].embed(batch), material.embedder.encoders["seen"].embed(batch)
    )
    assert (
        loaded.encoders["seen"].fingerprint() == kept["seen"].fingerprint()
        and loaded.space != material.embedder.space
    )
    assert decision.stored_findings(tmp_path / "some") == found
    assert {p.suffix for p in tmp_path.rglob("*.*")} == {".json", ".jsonl", ".safetensors"}
    (tmp_path / "none").mkdir()
    decision.save(tmp_path / "none", {}, found[:1])
    assert decision.with_tuned_encoders(material.embedder, tmp_path / "none") is material.embedder


@pytest.mark.parametrize(
    ("fields", "used", "words"),
    [
        (
            ("other",),
            ("seen", "other"),
            "'other' is read by still, which has no network to train. Can be tuned here: seen.",
        ),
        (("sean",), ("seen", "other"), "no field 'sean'"),
        (("seen",), ("other",), "'seen' is left out of prediction. Can be tuned here: none."),
    ],
)
def test_a_field_that_cant_be_tuned_is_refused(
    fields: tuple[str, ...], used: tuple[str, ...], words: str, runtime: Runtime
) -> None:
    reader = planted("first", runtime).embedder
    decision.check(Tune(), reader, used)
    decision.check(HOW, reader, ("seen", "other"))
    with pytest.raises(GobelinError) as said:
        decision.check(replace(HOW, fields=fields), reader, used)
    assert words in str(said.value) and "\n" not in str(said.value)


def test_too_few_rows_are_refused_before_any_work(runtime: Runtime) -> None:
    with pytest.raises(
        GobelinError, match="tune: 24 training rows to learn from and 6 to judge by"
    ):
        decision.tuned(HOW, planted("first", runtime, rows=30), None)
