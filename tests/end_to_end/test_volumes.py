"""From a table of volumes to generated volumes, a sheet, a page and an audit. Oracles: planted
classes, the marks in the files, a copied volume."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from presets import SMALL

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.data.media import medium
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.interfaces.cli import cli, main

SIDE = 16
SETTINGS = (
    *SMALL,
    "encoders.volume.network=pixels",
    "encoders.volume.voxels=16",
    "generator.size=16",
    "generator.steps=30",
    "generator.settings.width=24",
    "generator.settings.heads=2",
    "generator.settings.depth=1",
    "generator.settings.batch=16",
)

NETWORK = {"encoders.volume.network": "pixels", "encoders.volume.voxels": 16}


def sets(*more: str) -> list[str]:
    return [word for one in (*SETTINGS, *more) for word in ("--set", one)]


def planted(rng: np.random.Generator, label: int) -> np.ndarray:
    """uint8 [16, 16, 16]: a box that is bright above (class 0) or on the left (class 1)."""
    volume, side = rng.normal(50, 8, (SIDE,) * 3), int(rng.integers(5, 9))
    if label == 0:
        volume[-side:, 3:13, 3:13] += 150
    else:
        volume[3:13, 3:13, :side] += 150
    return np.clip(volume, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("volumes"), np.random.default_rng(0)
    rows = []
    for k in range(72):
        np.save(folder / f"v{k}.npy", planted(rng, k % 2))
        rows.append({"scan": f"v{k}.npy", "where": "al"[k % 2], "age": k % 7 + k % 2})
    write(folder / "scans.csv", rows)
    words = ["fit", folder / "scans.csv", "--target", "where", "--run", folder / "run"]
    main([*map(str, words), "--generator", "flow", *sets()])
    return folder / "run"


def write(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_volumes_are_generated_and_shown(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["generate", str(run), "--label", "l", "-n", "3", "--out", str(tmp_path)])
    told = capsys.readouterr().out.splitlines()
    files = sorted(tmp_path.glob("*.nii.gz"))
    assert len(files) == 3 and told[0].startswith(f"3 volumes in {tmp_path} (l-")
    assert told[0].endswith("-seed-*.nii.gz)") and told[1].endswith("-sheet.png")
    for k, path in enumerate(files):
        data = path.read_bytes()
        assert medium("volume").array(data).shape == (SIDE, SIDE, SIDE, 1) and is_marked(data)
        lineage = read_lineage(path)
        assert lineage is not None and lineage["seed"] == k
        assert lineage["condition"] == {"label": "l"}
    (sheet,) = tmp_path.glob("*-sheet.png")
    picture = sheet.read_bytes()
    assert is_marked(picture) and Image.open(io.BytesIO(picture)).width > 3 * SIDE


def test_a_generated_volume_is_no_real_one(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    (made,) = Workbench.open(run).generate([5], "a")
    (run.parent / "made.nii.gz").write_bytes(made.read_bytes())
    rows: list[dict[str, object]] = [
        {"scan": f"v{k}.npy", "where": "al"[k % 2], "age": k % 7} for k in range(72)
    ]
    rows.append({"scan": "made.nii.gz", "where": "a", "age": 3})
    write(run.parent / "mixed.csv", rows)
    findings = Workbench(run.parent / "mixed.csv", "where", tmp_path / "run", NETWORK).check()
    cells = [c for f in findings if f.name == "cells_set_aside" for c in f.cells]
    assert any("is marked as generated" in str(c) for c in cells)


def test_other_generators_say_that_they_make_images(run: Path, tmp_path: Path) -> None:
    words = ["fit", run.parent / "scans.csv", "--target", "where", "--run", tmp_path / "run"]
    asked = [*map(str, words), "--generator", "gan", "--dry-run", *sets()[: 2 * len(SMALL)]]
    with pytest.raises(GobelinError, match="gan makes images, the column 'scan' holds volumes"):
        cli(args=asked, standalone_mode=False, obj={})


def test_the_page_speaks_of_volumes(run: Path) -> None:
    """No sentence calls them images. Names of measures stay."""
    bench = Workbench.open(run)
    findings = bench.showcase([])
    assert not [f.note for f in findings if "image" in f.note]
    page = Path(bench.report()).read_text(encoding="utf-8")
    text = re.sub(r"<(style|pre).*?</(style|pre)>|<[^>]*>", "", page, flags=re.DOTALL)
    assert "New volumes, and whether they help" in text and "Then it made volumes." in text
    lines = [line.replace("filled image against", "") for line in text.splitlines()]
    told = [line for line in lines if re.search(r"\bimages?\b", line)]
    assert not told


@pytest.mark.slow
def test_a_study_of_volumes(run: Path) -> None:
    """Every verb that looks at generated images works on volumes, and the page has sliders."""
    bench = Workbench.open(run)
    bench.showcase([])
    findings = bench.audit()
    names = {f.name for f in findings}
    assert {"copies", "planted_copies_caught", "frechet_distance"} <= names
    whole = (f for f in findings if f.name == "planted_copies_caught")
    caught = next(f for f in whole if "change" not in f.scope)
    assert caught.value is not None and caught.value > 0.5
    page = Path(bench.report()).read_text(encoding="utf-8")
    assert not [f.note for f in findings if "image" in f.note + f.verdict]
    assert "<script" not in page and 'class="slider"' in page
