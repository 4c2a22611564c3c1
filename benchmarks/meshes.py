"""Meshes of Sweet Home 3D and their captions: search both ways, by views and shape together, by
each alone, and by the icon image; meshes made of a grid of voxels.

python benchmarks/meshes.py [--keep DIR] [--part search|grid]

search: five folds split by family (variants of one piece stay together): every piece is a query
once, against all pieces of its fold. Pieces with the same English name are right answers for each
other. The caption is the name in five languages by the encoder `text`; the icon is a picture with
materials and textures, drawn by a person's choice of light and side; the views have colours, of a
texture its mean on each face. Each contender is aligned with the caption alone, with the defaults.
Gains are paired by piece, and their intervals are over families. grid: see `grids`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin import Workbench
from gobelin.core import catalog, config
from gobelin.core.machine import numpy_generator
from gobelin.data.mesh.grid import fullest, grid_of, mesh_of, overlap
from gobelin.data.mesh.meshes import open_mesh, trimesh
from gobelin.embedding.alignment.align import Align
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.features import Embeddings
from gobelin.embedding.search.recall import ranks
from gobelin.evidence import intervals

FOLDS, SEED, CAPTION = 5, 0, "caption"
SIDE, TENTH = 32, 10  # of a grid; of the pieces, one is made a grid
UNUSED = ("tags", "width", "depth", "height", "log_height", "elevation", "movable")
SETTINGS = {"schema": dict.fromkeys(UNUSED, "ignore"), "runtime": {"threads": 1}}
CONTENDERS = ("views and shape", "views", "shape", "icon")
AT = (1, 5, 10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, help="Folder of data and features, used again.")
    parser.add_argument("--part", choices=("search", "grid"), default="search")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.keep or Path(temporary)).resolve()
        search(folder) if chosen.part == "search" else grids(folder)


def bench_of(folder: Path) -> Workbench:
    source = catalog.build("samples", "sweethome", {"meshes": True})
    settings = config.merge(source.settings(), SETTINGS)
    return Workbench(source.write(folder / "data", 0), source.target, folder / "run", settings)


def search(folder: Path) -> None:
    run = bench_of(folder).run
    rows, embedder = run.data.rows, run.encoders.embedder
    run.encoders.save()
    x = embedder.embed(rows.dataset)
    used = time.process_time()
    sys.stderr.write(f"features: {used:.0f} s of a processor\n")
    groups = list(rows.groups)
    names = rows.dataset.values("name_en")
    families = sorted(set(groups))
    order = numpy_generator(SEED, "families").permutation(len(families))
    place = {families[k]: at % FOLDS for at, k in enumerate(order)}
    fold = np.array([place[g] for g in groups])
    width = len(embedder.encoders["mesh"].scales[0])
    found = {}
    for contender in CONTENDERS:
        one = contender_of(x, contender, width)
        found[contender] = ranks_of(one, fold, groups, names, run.data.runtime)
        sys.stderr.write(f"{contender}: {time.process_time():.0f} s of a processor\n")
    for way in ("to caption", "from caption"):
        line = figures({c: found[c][way] for c in CONTENDERS}, groups)
        record.append("meshes", {"contender": f"search {way}", **line})


def contender_of(x: Embeddings, contender: str, width: int) -> Embeddings:
    """Rows of the caption and one other field, named `thing`. width: of the shape."""
    mesh = x.features["mesh"]
    thing = {
        "views and shape": mesh,
        "views": mesh[:, :-width],
        "shape": mesh[:, -width:],
        "icon": x.features["image"],
    }[contender]
    features = {"thing": thing, CAPTION: x.features[CAPTION]}
    present = np.ones((len(thing), 2), bool)
    return Embeddings(("thing", CAPTION), features, present, x.ids, contender, x.groups)


def ranks_of(
    x: Embeddings, fold: np.ndarray, groups: Sequence[str], names: Sequence[str], runtime: Any
) -> Mapping[str, np.ndarray]:
    """{way: int [N], the rank of each row's own answer in its fold}."""
    out = {way: np.zeros(len(fold), int) for way in ("to caption", "from caption")}
    for f in range(FOLDS):
        train, fresh = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        fitted = fit_alignment(Align(), x.rows(train), [groups[k] for k in train], runtime)
        shared = fitted.project(x.rows(fresh))
        same = [names[k] for k in fresh]
        thing, caption = shared.of("thing"), shared.of(CAPTION)
        out["to caption"][fresh] = ranks(thing, caption, same)
        out["from caption"][fresh] = ranks(caption, thing, same)
    return out


def figures(found: Mapping[str, np.ndarray], groups: Sequence[str]) -> dict[str, Any]:
    """Recall of each contender, and the gain of views and shape together over each other one."""
    out: dict[str, Any] = {"rows": len(groups), "families": len(set(groups)), "folds": FOLDS}
    first = found[CONTENDERS[0]]
    for name, places in found.items():
        out[name] = {f"recall@{k}": figure(intervals.recall_at(places, k, groups)) for k in AT}
        if name != CONTENDERS[0]:
            gain = [(first <= k).astype(float) - (places <= k) for k in AT]
            out[name] |= {
                f"gain over it, recall@{k}": figure(intervals.mean(g, groups))
                for k, g in zip(AT, gain, strict=True)
            }
    return out


def figure(interval: intervals.Interval) -> dict[str, float]:
    return {k: round(float(getattr(interval, k)), 4) for k in ("value", "low", "high")}


def grids(folder: Path) -> None:
    """Every tenth piece, and three solids, each turned ten ways: a grid, cut into a mesh, made a
    grid again. Watertight is trimesh's word; the overlap is the intersection over union of the two
    grids."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from solids import box, sphere, torus, turned

    folder = bench_of(folder).run.data.rows.dataset.root / "meshes"
    pieces = [open_mesh(path.name, folder)[0] for path in sorted(folder.iterdir())[::TENTH]]
    solids = [turned(m, k) for m in (box((1, 2, 3)), sphere(1, 4), torus()) for k in range(TENTH)]
    for name, meshes in (("furniture", pieces), ("solids", solids)):
        closed, overlaps, seconds, whole = [], [], 0.0, 0
        for mesh in meshes:
            start = time.process_time()
            grid = grid_of(mesh, SIDE)
            seconds += time.process_time() - start
            whole += grid.note == ""
            values = fullest(grid.values)
            cut = mesh_of(values, grid.low, grid.step)
            theirs = trimesh().Trimesh(cut.vertices, cut.faces, process=False)
            closed.append(bool(theirs.is_watertight))
            overlaps.append(overlap(grid_of(cut, SIDE, place=grid).values, values))
        record.append(
            "meshes",
            {
                "contender": f"grid {name}",
                "meshes": len(meshes),
                "inside_exact": whole,
                "side": SIDE,
                "watertight": figure(intervals.proportion(closed)),
                "overlap_mean": round(float(np.mean(overlaps)), 4),
                "overlap_lowest": round(float(np.min(overlaps)), 4),
                "overlap_at_least_0.8": figure(intervals.proportion(np.array(overlaps) >= 0.8)),
                "seconds_a_mesh": round(seconds / len(meshes), 3),
            },
        )


if __name__ == "__main__":
    main()
