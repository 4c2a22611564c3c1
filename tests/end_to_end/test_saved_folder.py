"""What a saved folder tells of rows and of this machine. Oracle: words that were planted in ids,
captions, file names, rare cells and paths, and are searched in every byte of every file."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import processor
import pytest

import gobelin
from gobelin import Workbench
from gobelin.core.files import read_json
from gobelin.data.samples.shapes import Shapes
from gobelin.workbench.augment.generated_images import GeneratedImages

IDENTITY, FILE, WORD, RARE, PLACE = "vonnegut", "kilgore", "zyxquartz", "zembla", "hiddenplace"
PHONE, PAID = "+43 664 7719", "7719,503"  # first cells, which `check` quotes
SETTINGS = {
    "runtime": processor.SETTINGS,
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "align": {"width": 16, "steps": 20},
    "fusion": {"settings": {"steps": 40, "components": 24}},
    "generator": {"steps": 8, "size": 16, "settings": {"width": 8, "batch": 16}},
    "augment": {
        "seeds": 2,
        "tuning_seeds": 1,
        "ratio": (0.5,),
        "decays": (1e-2,),
        "rivals": ("classic",),
        "agree": False,
        "match": False,
    },
    "judge": {"planted": 40},
}


def planted(folder: Path) -> Path:
    """Shapes whose ids, captions, file names and folder are telling; four cells of one column are
    rare, and three images can't be read. Two columns get a remark that quotes a cell."""
    written = Shapes(rows=160).write(folder / PLACE, seed=3)
    with written.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for k, row in enumerate(rows):
        row["id"] = f"{IDENTITY}-{k}"
        row["caption"] = row["caption"] and f"{row['caption']} {WORD}{k}"
        row["city"] = f"{RARE}{k}" if k % 40 == 7 else ("ulm", "trier")[k % 2]
        row["phone"] = PHONE if k == 0 else f"{k % 9}-x/{k} {k * k}"
        row["paid"] = PAID if k == 0 else f"{k % 7},5"
        if row["image"]:
            image = Path(row["image"]).with_name(f"{FILE}-{k}.png")
            shutil.move(written.parent / row["image"], written.parent / image)
            row["image"] = f"images/{FILE}-none-{k}.png" if k in (11, 12, 13) else str(image)
    with written.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return written


def told(folder: Path, words: list[str]) -> list[tuple[str, str]]:
    """(file, word) of every planted word in the bytes or the name of any file."""
    out = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        data = name.encode() + b"\n" + path.read_bytes()
        forms = {
            word: (word.encode(), word.encode("utf-16-le"), json.dumps(word)[1:-1].encode())
            for word in words
        }
        out += [(name, word) for word, form in forms.items() if any(f in data for f in form)]
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Fitted, evaluated, augmented and audited. Its generator hands over training images, so
    findings name the rows that were copied."""
    home = tmp_path_factory.mktemp("user")
    settings = {**SETTINGS, "check": {"max_bad": 0.5}}
    bench = Workbench(planted(home), "shape", home / "run", settings)
    bench.fit(generator=True)

    def copies(images: GeneratedImages) -> np.ndarray:
        places = images.parents.train[images.parents.places]
        return np.concatenate(
            [images.training.generator.images(np.array([r])).images for r in places]
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GeneratedImages, "_sampled", copies)
        bench.augment(), bench.audit(), bench.evaluate(), bench.recall()
    return bench


def words_of(bench: Workbench) -> list[str]:
    data = Path(bench.run.settings.data.path)
    places = (data, bench.folder, data.parent, data.parent.parent, Path.home(), Path.cwd())
    return [IDENTITY, FILE, WORD, PLACE, PHONE, PAID, "7719.503", *map(str, places)]


def test_the_run_itself_shows_its_rows(run: Workbench) -> None:
    """So that the search below has something to find."""
    findings = (run.folder / "findings.jsonl").read_text()
    assert findings.count(IDENTITY) > 5
    rows = {f.name: f for f in run.findings() if f.rows or f.cells}
    assert {"screened_out", "cells_set_aside"} <= set(rows)
    assert all(f.n >= 3 for f in rows.values())
    assert not any(IDENTITY in f.note or FILE in f.note for f in run.findings())
    assert IDENTITY in run.report().read_text()
    assert told(run.folder, [PHONE]) and told(run.folder, [PAID])


@pytest.mark.parametrize("fusion", ["concat", "mean", "gated"])
def test_no_byte_of_a_saved_folder_tells_of_a_row_or_a_place(
    fusion: str, run: Workbench, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    if fusion == "concat":
        bench = Workbench.open(run.folder)
    else:
        shutil.copytree(run.folder, folder)
        other = {"fusion": {"name": fusion, "settings": {"steps": 4}}}
        bench = Workbench.open(folder, settings=other)
        bench.fit(), bench.evaluate()
    out = bench.save_pretrained(tmp_path / "saved")
    assert told(out, [*words_of(run), *words_of(bench)]) == []
    # the encoders keep what they read of columns; that is tested where they are
    assert [place for place in told(out, [RARE]) if not place[0].startswith("encoders/")] == []
    names = {f.name for f in gobelin.from_pretrained(out).findings()}
    assert "cells_set_aside" in names and (fusion != "concat" or "screened_out" in names)


def test_paths_in_every_corner_of_the_settings_are_cut(run: Workbench, tmp_path: Path) -> None:
    """A space that was taken over, a judge's model, a recipe of a component: all are named by
    paths."""
    elsewhere = tmp_path / "secret" / "place"
    data, checks = Path(run.run.settings.data.path), {"check": {"max_bad": 0.5}}
    few = {**SETTINGS, **checks, "schema": {"caption": "ignore"}}
    Workbench(data, "shape", elsewhere / "base", few).fit()
    taken = {**SETTINGS, **checks, "align": {"base": str(elsewhere / "base")}}
    bench = Workbench(data, "shape", tmp_path / "run", taken)
    bench.fit()
    path = bench.folder / "settings.json"
    stored = read_json(path)
    stored["judge"]["space_settings"] = {"model": str(elsewhere / "model"), "batch": 3}
    path.write_text(json.dumps(stored))
    out = Workbench.open(bench.folder).save_pretrained(tmp_path / "saved")
    assert told(out, [*words_of(bench), "secret", str(tmp_path)]) == []
    kept = read_json(out / "settings.json")
    assert kept["align"]["base"] == "base" and kept["judge"]["space_settings"]["model"] == "model"
    # sets of a saved run may be larger, as its bounds are rounded up
    both = [p.predict(data).rows() for p in (gobelin.from_pretrained(out), bench)]
    plain = [[{k: v for k, v in row.items() if k != "set"} for row in rows] for rows in both]
    assert plain[0] == plain[1]
    for larger, own in zip(*both, strict=True):
        assert set(str(own["set"]).split("|")) - {""} <= set(str(larger["set"]).split("|"))
