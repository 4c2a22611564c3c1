"""Meshes of Sweet Home 3D and their captions: which views, which size, and the names of classes.

    python benchmarks/mesh_ideas.py [--keep DIR] [--part choose|confirm] [--only NAME ...]

Folds are divided by family, as in meshes.py, in another order. Two folds of five choose: pieces of
a fold are queries, the other folds train. The three others confirm once: the mesh that was best
against the icon that was best. Views stand in a circle of eight, are drawn at 256 pixels, and are
reduced to the network's 128 or 224. Icons have their own 128 pixels, and are reduced or enlarged to
the same. Each contender is aligned with the caption alone, in closed form, and may have a bridge:
the image network names 1,000 classes, whose words are texts."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import record
from meshes import AT, FOLDS, bench_of, figure
from PIL import Image

from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.image.images import Opening, open_image, png_bytes, squared
from gobelin.data.mesh.meshes import open_mesh
from gobelin.data.mesh.views import turntable, views
from gobelin.data.samples.sweethome import Sweethome, _pieces
from gobelin.embedding.alignment.align import Align
from gobelin.embedding.alignment.bridges import Bridge
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.encoders.image import Image as Network
from gobelin.embedding.features import Embeddings
from gobelin.embedding.search.recall import ranks
from gobelin.evidence import intervals

VIEWS, DRAWN, ICON = 8, 256, 128
PARTS = ("choose", "confirm")
CHOOSING, CONFIRMING = (0, 1), (2, 3, 4)  # folds
ALIGN = Align(steps=0)
CLOSED_FORM_RUNTIME = Runtime(threads=1, device="cpu", precision="float32")
RESULTS = Path(__file__).parent / "results" / "mesh_ideas.jsonl"


@dataclass(frozen=True)
class Pieces:
    """N pieces. small, large: float32 [N, VIEWS, D], of views at 128 and 224 pixels. shape:
    [N, D_s]. icon, icon_large: [N, D]. caption: [N, D_t]. bridge: of the network's classes."""

    small: np.ndarray
    large: np.ndarray
    shape: np.ndarray
    icon: np.ndarray
    icon_large: np.ndarray
    caption: np.ndarray
    bridge: Bridge
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    names: tuple[str, ...]


# {name: (features [N, D], of which the first ones may be read as classes; whether by a bridge)}
Contender = Callable[[Pieces], tuple[np.ndarray, bool]]
CONTENDERS: dict[str, Contender] = {
    "icon, no bridge": lambda p: (p.icon, False),
    "icon": lambda p: (p.icon, True),
    "icon 224": lambda p: (p.icon_large, True),
    "views 128": lambda p: (_joined(p.small.mean(1), p.shape), True),
    "views 224": lambda p: (_joined(p.large.mean(1), p.shape), True),
    "views 224, no bridge": lambda p: (_joined(p.large.mean(1), p.shape), False),
    "views 224, no shape": lambda p: (p.large.mean(1), True),
    "views 224, mean and largest": lambda p: (
        _joined(p.large.mean(1), p.large.max(1), p.shape),
        True,
    ),
    "views 224, mean and front": lambda p: (_joined(p.large.mean(1), p.large[:, 0], p.shape), True),
    "views 224 and 128": lambda p: (_joined(p.large.mean(1), p.small.mean(1), p.shape), True),
    "views 224, shape x 2": lambda p: (_joined(p.large.mean(1), 2 * p.shape), True),
    "views 224, shape / 2": lambda p: (_joined(p.large.mean(1), p.shape / 2), True),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, help="Folder of data and features, used again.")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        pieces = pieces_of((given.keep or Path(temporary)).resolve())
    for name in given.only if "choose" in given.part else ():
        places, rows = ranks_of(pieces, name, CHOOSING)
        line = {"part": "choose", "contender": name, **scores(places, rows, pieces)}
        record.append("mesh_ideas", line)
    if "confirm" in given.part:
        confirm_best(pieces)


def confirm_best(pieces: Pieces) -> None:
    """The mesh and the icon that were best on the choosing folds."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    chosen = [line for line in lines if line["part"] == "choose"]
    mean = {line["contender"]: line["recall@5, mean of both"] for line in chosen}
    best = max((n for n in mean if n.startswith("views")), key=lambda n: mean[n])
    rival = max((n for n in mean if n.startswith("icon")), key=lambda n: mean[n])
    confirm(pieces, best, rival)


def pieces_of(folder: Path) -> Pieces:
    """The features of all pieces; those of views and icons are kept in the folder."""
    run = bench_of(folder).run
    rows, embedder = run.data.rows, run.encoders.embedder
    x = embedder.embed(rows.dataset)
    place = folder / "views.npz"
    if not place.is_file():
        np.savez(place, **_seen(folder, x.ids, rows.dataset.values("mesh")))
    kept = np.load(place)
    width = len(embedder.encoders["mesh"].scales[0])
    classes = embedder.encoders["image"].classes()
    if classes is None:
        raise SystemExit("the names of the classes of ImageNet are not installed (timm)")
    words = embedder.embed_column("caption", "name_en", list(classes.texts), Path(), cached=True)
    return Pieces(
        kept["small"].astype(np.float32),
        kept["large"].astype(np.float32),
        x.features["mesh"][:, -width:],
        kept["icon"],
        kept["icon_large"],
        x.features["caption"],
        Bridge("thing", "caption", classes.weight, classes.bias, words.features["caption"]),
        x.ids,
        tuple(rows.groups),
        tuple(str(v) for v in rows.dataset.values("name_en")),
    )


def _seen(folder: Path, ids: tuple[str, ...], files: list[Any]) -> Mapping[str, np.ndarray]:
    """The features of each view and of the icons in their own size, at two sizes."""
    networks = {
        "": Network(pixels=128).fit([], None, {}, CLOSED_FORM_RUNTIME),  # type: ignore[arg-type]
        "_large": Network(pixels=224).fit([], None, {}, CLOSED_FORM_RUNTIME),  # type: ignore[arg-type]
    }

    def embedded(name: str, pictures: np.ndarray) -> np.ndarray:
        sides = (networks[name].side,) * 2
        small = [Image.fromarray(p).resize(sides, Image.Resampling.BICUBIC) for p in pictures]
        cells = [{"image": png_bytes(np.asarray(picture))} for picture in small]
        return networks[name].embed([networks[name].decode(c, Path())[0] for c in cells])

    drawn: dict[str, list[np.ndarray]] = {"": [], "_large": []}
    for file in files:
        mesh, _ = open_mesh(file, folder / "data")
        pictures = views(mesh, turntable(VIEWS, 30.0), DRAWN)
        for name, known in drawn.items():
            known.append(embedded(name, pictures).astype(np.float16))
    icons = _icons()
    pictures = np.stack([icons[name] for name in ids])
    blocks = np.array_split(pictures, max(1, len(pictures) // 32))
    out = {f"icon{name}": np.concatenate([embedded(name, b) for b in blocks]) for name in networks}
    return out | {"small": np.stack(drawn[""]), "large": np.stack(drawn["_large"])}


def _icons() -> dict[str, np.ndarray]:
    """{piece: uint8 [ICON, ICON, 3]}, the icon in its own size over white."""
    out = {}
    for path in sorted(Path(Sweethome().folder).glob("*.sh3f")):
        with zipfile.ZipFile(path) as archive:
            for number, piece in _pieces(archive, "").items():
                icon = open_image(archive.read(piece["icon"].lstrip("/")), Path(), Opening())[0]
                out[f"{path.stem}-{number:03d}"] = squared(icon, ICON)
    return out


def _joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts, axis=1)


def ranks_of(
    pieces: Pieces, name: str, folds: tuple[int, ...]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """{way: rank of the own answer of each row}, and these rows."""
    features, by_classes = CONTENDERS[name](pieces)
    families = sorted(set(pieces.groups))
    order = numpy_generator(1, "families").permutation(len(families))
    place = {families[k]: at % FOLDS for at, k in enumerate(order)}
    fold = np.array([place[g] for g in pieces.groups])
    both = {"thing": features.astype(np.float32), "caption": pieces.caption.astype(np.float32)}
    present = np.ones((len(features), 2), bool)
    x = Embeddings(("thing", "caption"), both, present, pieces.ids, name, pieces.groups)
    rest = np.zeros((features.shape[1] - len(pieces.bridge.weight), pieces.bridge.weight.shape[1]))
    weight = np.concatenate([pieces.bridge.weight, rest.astype(np.float32)])
    bridge = Bridge("thing", "caption", weight, pieces.bridge.bias, pieces.bridge.words)
    out: dict[str, list[np.ndarray]] = {"to caption": [], "from caption": []}
    rows = []
    for f in folds:
        train, fresh = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        groups = [pieces.groups[k] for k in train]
        bridges = [bridge] if by_classes else []
        fitted = fit_alignment(ALIGN, x.rows(train), groups, CLOSED_FORM_RUNTIME, bridges=bridges)
        shared, same = fitted.project(x.rows(fresh)), [pieces.names[k] for k in fresh]
        thing, caption = shared.of("thing"), shared.of("caption")
        out["to caption"].append(ranks(thing, caption, same))
        out["from caption"].append(ranks(caption, thing, same))
        rows.append(fresh)
    return {way: np.concatenate(r) for way, r in out.items()}, np.concatenate(rows)


def scores(places: Mapping[str, np.ndarray], rows: np.ndarray, pieces: Pieces) -> dict[str, Any]:
    """Recall of a contender each way, and the mean of both at 5."""
    groups = [pieces.groups[k] for k in rows]
    out: dict[str, Any] = {"rows": len(rows), "families": len(set(groups))}
    for way, found in places.items():
        out[way] = {f"recall@{k}": figure(intervals.recall_at(found, k, groups)) for k in AT}
    fives = [out[way]["recall@5"]["value"] for way in places]
    return out | {"recall@5, mean of both": round(float(np.mean(fives)), 4)}


def confirm(pieces: Pieces, best: str, rival: str) -> None:
    """A mesh against an icon, paired by piece; families are the units of the intervals."""
    found = {name: ranks_of(pieces, name, CONFIRMING) for name in (best, rival)}
    rows = found[best][1]
    groups = [pieces.groups[k] for k in rows]
    line: dict[str, Any] = {"part": "confirm", "contender": best, "rival": rival}
    for name, (places, _) in found.items():
        line[name] = scores(places, rows, pieces)
    gains = []
    for way in ("to caption", "from caption"):
        ours, theirs = (found[name][0][way] for name in (best, rival))
        for k in AT:
            gain = (ours <= k).astype(float) - (theirs <= k)
            line[f"gain {way}, recall@{k}"] = figure(intervals.mean(gain, groups))
        gains.append((ours <= 5).astype(float) - (theirs <= 5))
    line["gain, recall@5, mean of both"] = figure(intervals.mean(np.mean(gains, axis=0), groups))
    record.append("mesh_ideas", line)


if __name__ == "__main__":
    main()
