"""Does a row's own cell find the row? And is it found by its other fields, where that cell is
hidden?

python benchmarks/found_again.py --sets openmoji,tuxpaint --folder DIR [--queries 200]

A sample set is fitted in DIR with its own settings. `own cell`: of each field, the cells of up to
200 rows, evenly spread, are asked for as a user would: a text, a picture, a sound, facts as
COLUMN=VALUE. Right is an answer whose first row has an equal cell: an equal text in a column of the
field, a file of the same bytes, a sound of the same samples, facts that are all equal. (Of Tux
Paint's sounds four are silence alone, and two pairs of files hold one recording.)

`near copy`: the same for cells that were changed a little: a picture without its first row and
column of pixels, as JPEG of quality 60, turned by 3 degrees; a text of 5 letters or more without
its middle letter, and with that letter twice; a sound with 10 % less gain. Right is an answer whose
first row has the cell as it was before. `--only-near` measures this alone.

`hidden`: of each validation row, the field that asks is taken out of the row's own side, and the
rank of the row among all rows is looked at. `by field` is the search of `nearness`; `one vector` is
the cosine with the mean vector of a row, as search was before. `class`: the share of the ten
nearest training rows that have the class of the row, without those of its group."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record
from PIL import Image

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.data.fields import Cell
from gobelin.data.sound.sounds import soundfile
from gobelin.embedding.search.nearness import Scale, over_fields

AMONG, NEIGHBOURS = 5, 10  # ranks that count, and neighbours whose class is looked at
SAME_SAMPLE = 1e-3  # of samples in -1 .. 1
LEAST_LETTERS = 5  # of a text that is changed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sets", default="openmoji,tuxpaint,sweethome,shapes,market,digits")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--only-near", action="store_true")
    options = parser.parse_args()
    for name in options.sets.split(","):
        bench = fitted(name, options.folder)
        for field in bench.run.data.schema.fields:
            figures = near_copies(bench, field.name, options.queries)
            if not options.only_near:
                figures |= own_cells(bench, field.name, options.queries)
                figures |= hidden(bench, field.name)
            row = {"contender": f"{name} {field.name}", "set": name, "field": field.name}
            record.append("found_again", {**row, "kind": field.kind, **figures})


def fitted(name: str, folder: Path) -> Workbench:
    run = folder / name
    if not (run / "model").is_dir():
        source = catalog.build("samples", name)
        data = source.write(folder / "data" / name, 0)
        Workbench(data, source.target, run, source.settings()).fit()
    return Workbench.open(run)


def own_cells(bench: Workbench, name: str, queries: int) -> dict[str, Any]:
    """The share of cells of a field that find an equal cell first, and how many were asked for.
    Nothing for a field that no query can ask for."""
    dataset, field = bench.run.checked.rows.dataset, bench.run.data.schema.field(name)
    flag = catalog.declared("encoders", field.encoder, "flag")
    if flag not in ("text", "image", "audio", "row"):
        return {}
    cells = dataset.cells(field)
    present = [k for k, cell in enumerate(cells) if cell]
    right, asked = 0, present[:: -(-len(present) // queries) or 1]
    for k in asked:
        cell = cells[k] or {}
        column = list(cell)[k % len(cell)]  # of several languages one after the other
        if flag == "row":
            query = {"row": ",".join(f"{c}={v}" for c, v in cell.items())}
        elif flag == "text":
            query = {column: str(cell[column])}
        else:
            query = {column: str(dataset.root / str(cell[column]))}
        (hit,) = bench.search(1, query=query)
        right += _same(flag, cell, column, cells[hit.row] or {}, dataset.root)
    return {"asked": len(asked), "first": right / len(asked)}


def _same(flag: str, cell: Cell, column: str, other: Cell, root: Path) -> bool:
    """Whether another cell of a field is equal to what was asked for."""
    if flag == "row":
        return all(other.get(c) == v for c, v in cell.items())
    if flag == "text":
        return str(cell[column]).strip() in (str(v).strip() for v in other.values())
    mine = root / str(cell[column])
    theirs = [root / str(v) for v in other.values()]
    if any(file.read_bytes() == mine.read_bytes() for file in theirs):
        return True
    return flag == "audio" and any(_same_samples(mine, file) for file in theirs)


def _same_samples(one: Path, other: Path) -> bool:
    (a, rate), (b, other_rate) = soundfile().read(one), soundfile().read(other)
    return rate == other_rate and a.shape == b.shape and bool(np.abs(a - b).max() < SAME_SAMPLE)


def near_copies(bench: Workbench, name: str, queries: int) -> dict[str, Any]:
    """For each way to change a cell, the share of changed cells that find the cell as it was, and
    how many were asked for. Nothing for a field of facts."""
    dataset, field = bench.run.checked.rows.dataset, bench.run.data.schema.field(name)
    flag = catalog.declared("encoders", field.encoder, "flag")
    changed: dict[str, Callable[..., Iterator[tuple[str, str]]]] = {
        "text": lambda text, _: changed_texts(str(text)),
        "image": lambda file, folder: changed_pictures(dataset.root / str(file), folder),
        "audio": lambda file, folder: changed_sounds(dataset.root / str(file), folder),
    }
    if flag not in changed:
        return {}
    cells = dataset.cells(field)
    present = [k for k, cell in enumerate(cells) if cell]
    right: dict[str, list[bool]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for k in present[:: -(-len(present) // queries) or 1]:
            cell = cells[k] or {}
            column = list(cell)[k % len(cell)]
            for way, value in changed[flag](cell[column], Path(folder)):
                (hit,) = bench.search(1, query={column: value})
                same = _same(flag, cell, column, cells[hit.row] or {}, dataset.root)
                right.setdefault(way, []).append(same)
    shares = {f"{way}_first": float(np.mean(found)) for way, found in right.items()}
    return {"near_asked": len(next(iter(right.values()), []))} | shares


def changed_texts(text: str) -> Iterator[tuple[str, str]]:
    """(way, text): without the middle letter, and with that letter twice."""
    middle = len(text) // 2
    if len(text) >= LEAST_LETTERS:
        yield "dropped", text[:middle] + text[middle + 1 :]
        yield "doubled", text[: middle + 1] + text[middle:]


def changed_pictures(file: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """(way, file): cropped by a pixel, as JPEG, turned by 3 degrees, each on white."""
    with Image.open(file) as opened:
        drawn = opened.convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    picture = Image.alpha_composite(white, drawn).convert("RGB")
    picture.crop((1, 1, *picture.size)).save(folder / "cropped.png")
    picture.save(folder / "jpeg.jpg", quality=60)
    picture.rotate(3, Image.Resampling.BICUBIC, fillcolor="white").save(folder / "turned.png")
    for way in ("cropped.png", "jpeg.jpg", "turned.png"):
        yield way.partition(".")[0], str(folder / way)


def changed_sounds(file: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """(way, file): with 10 % less gain."""
    wave, rate = soundfile().read(file)
    soundfile().write(folder / "quieter.wav", 0.9 * wave, rate)
    yield "quieter", str(folder / "quieter.wav")


def hidden(bench: Workbench, name: str) -> dict[str, Any]:
    """Ranks and classes where the asking cell is hidden from the row's own side."""
    rows, shared = bench.run.checked.rows, bench.run.space.shared
    scale: Scale = bench.run.space.stored_rows().description.scale
    a, group = shared.fields.index(name), np.unique(list(rows.groups), return_inverse=True)[1]
    valid = [int(k) for k in rows.part("valid") if shared.present[k, a]]
    train = rows.part("train")
    out: dict[str, list[float]] = {}
    whole = shared.vectors.sum(1)
    flat = np.ascontiguousarray(shared.vectors).reshape(-1, shared.vectors.shape[2])
    for k in valid:
        present = shared.present.copy()
        present[k, a] = False
        one = shared.vectors[k, a]
        cosines = (flat @ one).reshape(*present.shape, 1)
        rest = whole.copy()
        rest[k] -= one
        rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-9)
        ways = {
            "by_field": over_fields(scale.scores(cosines, [a]), present),
            "one_vector": rest @ one,
        }
        for way, scores in ways.items():
            if present[k].any():
                rank = int((scores > scores[k]).sum())
                out.setdefault(f"{way}_among_{AMONG}", []).append(rank < AMONG)
            if rows.target.exclusive:
                others = train[group[train] != group[k]]
                near = others[np.argsort(-scores[others])[:NEIGHBOURS]]
                alike = rows.target.values[near] == rows.target.values[k]
                out.setdefault(f"{way}_class", []).append(float(alike.mean()))
    return {"hidden": len(valid)} | {key: float(np.mean(v)) for key, v in out.items()}


if __name__ == "__main__":
    main()
