"""A run whose texts are read by a model of a folder, saved for others and opened elsewhere.
Oracles: the run's own predictions to the bit, and the place of the model, which must be nowhere in
what was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import processor
import pytest

pytest.importorskip("transformers")

from tiny_models import sentence_model  # noqa: E402

from gobelin import Workbench  # noqa: E402
from gobelin.core import catalog  # noqa: E402
from gobelin.core.errors import GobelinError  # noqa: E402
from gobelin.core.files import read_json  # noqa: E402
from gobelin.networks.pipelines.calls import quiet  # noqa: E402


def test_a_run_with_a_model_of_a_folder_is_saved_without_its_place(tmp_path: Path) -> None:
    with quiet():
        model = sentence_model(tmp_path / "hiddenplace" / "tiny-words")
    encoders = {
        "image": {"name": "pixels"},
        "text": {"name": "text_model", "model": str(model), "local_only": False},
    }
    quick = {
        "encoders": encoders,
        "fusion": {"settings": {"steps": 30, "components": 8}},
        "align": {"steps": 10},
    }
    source = catalog.build("samples", "shapes", {"rows": 120}).write(tmp_path / "data", 0)
    bench = Workbench(
        source,
        "shape",
        tmp_path / "run",
        quick | {"runtime": processor.SETTINGS},
    )
    bench.fit()
    expected = bench.predict(source).probabilities
    kept = bench.save_pretrained(tmp_path / "kept")
    assert not any(b"hiddenplace" in p.read_bytes() for p in kept.rglob("*") if p.is_file())
    said = read_json(kept / "settings.json")["encoders"]["text"]
    assert (
        said["model"] == "tiny-words" and str(said["local_only"]).lower() == "true"
    )  # opening it downloads nothing
    moved = model.rename(tmp_path / "elsewhere")
    with pytest.raises(
        GobelinError, match="tiny-words: no such folder.*--set encoders.text.model="
    ):
        Workbench.open(kept).predict(source)
    elsewhere = {"encoders": {"text": {"model": str(moved)}}}
    assert np.array_equal(
        Workbench.open(kept, settings=elsewhere).predict(source).probabilities, expected
    )
    (moved / "vocab.txt").write_text("other\n")
    with pytest.raises(GobelinError, match="has changed since this was fitted"):
        Workbench.open(kept, settings=elsewhere).predict(source)
