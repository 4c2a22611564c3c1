"""A run with a private generator: each place that shows epsilon also shows what is not private, and
the ledger counts every training.

Oracle: the planted settings, and sums by hand."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import processor
import pytest
from PIL import Image

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.core.stages import RunFolder
from gobelin.data.image.images import png_bytes
from gobelin.data.provenance.marks import read_lineage
from gobelin.privacy.guarantee import NOT_PRIVATE, Guarantee
from gobelin.workbench.run import privacy_ledger

SETTINGS: dict[str, Any] = {
    "schema": {"person": "group"},
    "encoders": {"image": {"name": "pixels"}},
    "fusion": {"settings": {"steps": 20}},
    "align": {"steps": 5},
    "runtime": processor.SETTINGS,
}


def planted(folder: Path) -> Path:
    """80 images of two colours, by 40 people."""
    rng, lines = np.random.default_rng(0), ["image,colour,person"]
    for k in range(80):
        level = 60 + 120 * (k % 2)
        image = np.clip(rng.normal(level, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        (folder / f"{k}.png").write_bytes(png_bytes(image))
        lines.append(f"{k}.png,{'light' if k % 2 else 'dark'},p{k // 2}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "rows.csv"


def private(epsilon: float) -> dict[str, Any]:
    own = {"dp": {"epsilon": epsilon, "delta": 0.001}, "width": 8, "random": 50, "batch": 16}
    return {"generator": {"name": "private_means", "size": 16, "steps": 5, "settings": own}}


def test_epsilon_never_stands_without_what_is_not_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    planted(tmp_path)
    for epsilon in (2.0, 4.0):
        bench = Workbench("rows.csv", "colour", "run", SETTINGS | private(epsilon))
        findings = bench.fit(generator=True)
    assert "the run has spent 6 (delta 0.002), in 2 trainings" in caplog.text
    (found,) = (f for f in findings if f.name == "privacy_epsilon")
    assert found.value == 4.0 and "delta 0.001, for adding or removing one group" in found.note
    assert "spent in this run: epsilon 6, delta 0.002" in found.note
    assert all(part in found.note for part in NOT_PRIVATE)

    (path,) = bench.generate((5,), label="dark", out="made")
    lineage = read_lineage(path)
    assert lineage is not None and (lineage["epsilon"], lineage["delta"]) == (4.0, 0.001)

    bench.save_pretrained("saved")
    card = Path("saved/README.md").read_text(encoding="utf-8")
    assert "The generator alone: epsilon 4" in card and "Spent in this run: epsilon 6" in card
    assert all(part in card for part in NOT_PRIVATE)
    assert not Path("saved/privacy.jsonl").exists()

    again = Workbench("rows.csv", "colour", "run", SETTINGS | private(4.0)).fit(generator=True)
    assert [f.to_dict() for f in again] == [f.to_dict() for f in findings]
    assert len(Path("run/privacy.jsonl").read_text().splitlines()) == 2  # loading spends nothing


@pytest.mark.parametrize("name", ["private_means", "private_flow"])
def test_a_dry_run_tells_what_will_be_spent_and_spends_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two trainings, whose sum it is, for the 40 people less those that are held out."""
    monkeypatch.chdir(tmp_path)
    planted(tmp_path)
    settings = SETTINGS | private(2.0)
    own = {"dp": {"epsilon": 2.0, "delta": 0.001}, "width": 8, "batch": 16}
    settings["generator"] |= {"name": name, "seeds": 2, "settings": own}
    bench = Workbench("rows.csv", "colour", "run", settings)
    found = bench.plan(generator=True)
    (spend,) = (f for f in found if f.name == "privacy_epsilon")
    assert spend.value == 4.0 and spend.source == "plan" and 20 <= (spend.n or 0) < 40
    assert (
        "2 trainings, each epsilon 2, delta 0.001, for adding or removing one group" in spend.note
    )
    assert all(part in spend.note for part in NOT_PRIVATE)
    assert not Path("run/privacy.jsonl").exists()
    (minutes,) = (f for f in found if f.name == "fit_minutes")
    assert "generator" in minutes.note and "without" not in minutes.note

    settings["generator"]["settings"] = own | {"dp": {"delta": 0.2}}
    with pytest.raises(GobelinError, match="generator.settings.dp.delta: below 1 / "):
        Workbench("rows.csv", "colour", "other", settings).plan(generator=True)


def test_a_damaged_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    folder = RunFolder(tmp_path / "run")
    assert privacy_ledger.spent(folder) == ""
    promise = Guarantee(1.0, 1e-5, "row", 3.7, "one mechanism")
    privacy_ledger.spend(folder, "x", promise)
    line = json.loads((tmp_path / "run/privacy.jsonl").read_text())
    assert line == {"what": "x", **promise.to_dict()}
    for damage in ("{", '{"what": "x"}', '{"what": "x", "epsilon": "much", "delta": 0.1}'):
        (tmp_path / "run/privacy.jsonl").write_text(damage + "\n")
        with pytest.raises(GobelinError, match="is damaged, and it counts what private"):
            privacy_ledger.spend(folder, "x", promise)


def wide(kind: str, k: int) -> bytes:
    """Pixels that are no bytes: 16 bits as PNG or PGM, floats as TIFF."""
    pixels = np.random.default_rng(k).normal(2000 + 900 * (k % 2), 50, (16, 16))
    if kind == "PPM":
        return b"P5 16 16 65535\n" + pixels.astype(">u2").tobytes()
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint16 if kind == "PNG" else np.float32)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("name", ["private_means", "private_flow"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_a_range_of_training_pixels_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    """One bright row would move the range and so all images: no noise covers that."""
    rows = planted(tmp_path)
    for k in range(80):
        (tmp_path / f"{k}.png").write_bytes(wide(kind, k))
    settings = SETTINGS | private(2.0)
    settings["generator"] = {**settings["generator"], "name": name}
    if name == "private_flow":
        settings["generator"]["settings"] = {"dp": {"epsilon": 2.0, "delta": 0.001}}
    for given in ({}, {"low": 0}, {"high": 9000}):
        settings["encoders"] = {"image": {"name": "pixels", "opening": given}}
        with pytest.raises(GobelinError, match="learned from training rows, and epsilon"):
            Workbench(rows, "colour", tmp_path / "run", settings).fit(generator=True)
        assert not (tmp_path / "run" / "privacy.jsonl").exists()  # nothing was taken
        shutil.rmtree(tmp_path / "run")
    if name == "private_means":
        settings["encoders"] = {"image": {"name": "pixels", "opening": {"low": 0, "high": 9000}}}
        found = Workbench(rows, "colour", tmp_path / "run", settings).fit(generator=True)
        assert any(f.name == "privacy_epsilon" for f in found)
