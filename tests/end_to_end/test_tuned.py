"""A run whose image encoder is tuned: other features after it, saved with it, and blind to
validation and test rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import processor
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.stages import RunFolder
from gobelin.data.image.images import png_bytes
from gobelin.prediction.tuning import decision
from gobelin.workbench.bench import Workbench
from gobelin.workbench.save.pretrained import from_pretrained

PARTS = ["train"] * 72 + ["valid"] * 16 + ["test"] * 16
SETTINGS: dict[str, Any] = {
    "runtime": processor.SETTINGS,
    "encoders": {"image": {"name": "convolution", "pixels": 12, "filters": 4, "patch": 3}},
    "align": {"steps": 5},
    "predict": {"folds": 2, "decays": [1e-3]},
    "fusion": {"settings": {"steps": 60}},
    "tune": {"fields": ["picture"], "steps": 6, "how": "full"},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pictures(folder: Path, seed: int = 0) -> Path:
    """Light or dark pictures under much noise. seed: of the labels of validation and test rows, 0 =
    the right ones."""
    rng = np.random.default_rng(1)
    label = np.arange(len(PARTS)) % 2
    noise = rng.integers(0, 120, (len(PARTS), 12, 12, 3))
    images = [
        png_bytes((n + 40 * side).astype(np.uint8)) for n, side in zip(noise, label, strict=True)
    ]
    if seed:
        other = np.flatnonzero(np.array(PARTS) != "train")
        label[other] = np.random.default_rng(seed).permutation(label[other])
    sides = [("dark", "light")[k] for k in label]
    table = pa.table(
        {"picture": images, "number": rng.normal(size=len(label)), "split": PARTS, "side": sides}
    )
    pq.write_table(table, folder / f"{seed}.parquet")
    return folder / f"{seed}.parquet"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rows held back say, what was tuned is kept."""
    judged = decision._judged
    monkeypatch.setattr(decision, "_judged", lambda *said: (True, judged(*said)[1]))


def bench(folder: Path, seed: int = 0, **settings: Any) -> Workbench:  # noqa: ANN401
    return Workbench(pictures(folder.parent, seed), "side", folder, {**SETTINGS, **settings})


def test_a_tuned_run(kept: None, tmp_path: Path) -> None:
    one = bench(tmp_path / "one")
    found = one.fit()
    names = [f.name for f in found]
    assert {"score_frozen", "score_tuned", "tuning_gain", "tuning_gain_in_probability"} <= set(
        names
    )
    assert "score tuned" in one.report().read_text(encoding="utf-8")
    run = one.run
    assert run.features.embedder.space != run.encoders.embedder.space
    assert not np.allclose(
        run.features.embeddings.features["picture"], run.features.plain.features["picture"]
    )
    assert np.array_equal(
        run.features.embeddings.features["table"], run.features.plain.features["table"]
    )
    assert not (one.folder / "work" / "tuned").exists()

    again = Workbench.open(one.folder)  # the stage is loaded and not made
    stamp = (one.folder / "tuned" / "stage.json").stat().st_mtime_ns
    assert np.array_equal(
        again.run.features.embeddings.features["picture"],
        run.features.embeddings.features["picture"],
    )
    assert (one.folder / "tuned" / "stage.json").stat().st_mtime_ns == stamp

    saved = from_pretrained(one.save_pretrained(tmp_path / "saved"))
    cells = pictures(tmp_path)
    assert np.allclose(
        saved.predict(cells).probabilities, one.predict(cells).probabilities, atol=1e-6
    )
    assert saved.run.features.embedder.space == run.features.embedder.space

    plain = bench(tmp_path / "plain", tune={})
    plain.fit()
    assert plain.run.predictor.model.fingerprint() != run.predictor.model.fingerprint()
    assert plain.run.features.embedder.space == run.encoders.embedder.space


def test_labels_of_validation_and_test_rows_change_nothing(kept: None, tmp_path: Path) -> None:
    prints = []
    for seed in (0, 3):
        one = bench(tmp_path / str(seed), seed)
        one.fit()
        prints.append(
            (one.run.features.embedder.space, one.run.predictor.model.predictor.fingerprint())
        )
    assert prints[0] == prints[1]


def test_what_calibrates_a_tuned_run_taught_no_encoder(kept: None, tmp_path: Path) -> None:
    one = bench(tmp_path / "one")
    one.fit()
    training, material = one.run.predictor.training, one.run.features._tuning_data()
    held = decision.held_back(one.run.settings.tune, material.training)
    assert training.unseen is not None
    assert training.unseen.tolist() == one.run.checked.rows.labelled("train")[held].tolist()


def test_what_is_not_kept_leaves_the_run_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = decision._judged
    monkeypatch.setattr(decision, "_judged", lambda *said: (False, judged(*said)[1]))
    one, plain = bench(tmp_path / "one"), bench(tmp_path / "plain", tune={})
    found = one.fit()
    plain.fit()
    assert (
        one.run.predictor.model.fingerprint() == plain.run.predictor.model.fingerprint()
        and one.run.predictor.training.unseen is None
    )
    assert "tuning_gain" in {f.name for f in found} and not any(
        (one.folder / "tuned").glob("*.safetensors")
    )


def test_a_field_without_a_network_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    wrong = {**SETTINGS["tune"], "fields": ["table"]}
    with pytest.raises(
        GobelinError, match="which has no network to train. Can be tuned here: picture."
    ):
        bench(tmp_path / "one", tune=wrong).fit()
    assert not RunFolder(tmp_path / "one").exists()
