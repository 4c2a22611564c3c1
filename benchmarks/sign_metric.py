"""Traffic signs of a country never seen, read by the nearest training drawing: does a metric help
that is learned from rendered signs?

    python benchmarks/sign_metric.py [--signs FOLDER] [--keep FOLDER] [--part choose|confirm]

The features of an image encoder are whitened by their scatter within a sign (Fisher 1936): what
differs between pictures of one sign counts little. The scatter is that of the training drawings, of
classic views of them (not mirrored), of rendered ones (recipes/transport/render.py), or of both.
317 names have two variants or more: one or two are for training, the others (at most two) are read.
Half of the names choose the settings, each kind of scatter its own; `confirm` reads the other half
once, with the settings that stand in the results. Names are the units of the intervals."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "recipes" / "transport"))
import record
import render
from PIL import Image

from gobelin.augmentation.rivals.classic import Classic
from gobelin.core import catalog
from gobelin.core.machine import Runtime, hash_order, numpy_generator
from gobelin.data.fields import Field
from gobelin.data.image.images import png_bytes
from gobelin.data.samples.transport import MOST_TRAINING, ROLES_SEED, Transport, by_name
from gobelin.embedding.encoders import TrainingCells
from gobelin.evidence import intervals

EACH = 4  # views and rendered images of each training drawing
PIXELS = 160  # that the encoder sees
SHRINKAGES = (0.1, 0.3, 0.6)
KINDS = {  # {kind of scatter: images beside the training drawings that it is learned from}
    "none": (),
    "training drawings": (),
    "classic": ("classic",),
    "boards": ("boards",),
    "photo": ("photo",),
    "boards and photo": ("boards and photo",),
    "classic and boards": ("classic", "boards"),
}
RIVALS = ("none", "training drawings", "classic")
RUNTIME = Runtime(threads=1, device="cpu", precision="float32")
RESULTS = Path(__file__).parent / "results" / "sign_metric.jsonl"


@dataclass(frozen=True)
class Signs:
    """x: {kind of image: float64 [n, D]}. name: {kind: str [n]}. half: bool, of the rows that are
    read ('held'): whether their name chooses."""

    x: Mapping[str, np.ndarray]
    name: Mapping[str, np.ndarray]
    half: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--signs", default="transport", help="Where npm put the drawings.")
    parser.add_argument("--keep", type=Path, help="Folder of features, used again.")
    parser.add_argument("--part", choices=("choose", "confirm"), default="choose")
    given = parser.parse_args()
    signs = features(Transport(folder=given.signs).drawings(), given.keep)
    rows = signs.half if given.part == "choose" else ~signs.half
    if given.part == "choose":
        for kind in KINDS:
            record.append("sign_metric", chosen(signs, rows, kind))
        return
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    settings = {line["scatter"]: line for line in lines if line["part"] == "choose"}
    confirm(signs, rows, settings)


def features(drawings: Path, keep: Path | None) -> Signs:
    """The features of all images, and their names."""
    place = None if keep is None else keep / "sign_metric.npz"
    if place is None or not place.is_file():
        kept = _embedded(drawings)
        if place is None:
            return _signs(kept)
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, **kept)
    return _signs(np.load(place))


def _signs(kept: Any) -> Signs:  # noqa: ANN401 - arrays by name
    kinds = [key.removeprefix("x ") for key in kept if key.startswith("x ")]
    name = {kind: kept[f"name {kind}"] for kind in kinds}
    order = hash_order(sorted(set(name["held"])), 1, "halves")
    half = np.isin(name["held"], order[: len(order) // 2])
    return Signs({k: kept[f"x {k}"].astype(np.float64) for k in kinds}, name, half)


def _embedded(drawings: Path) -> dict[str, np.ndarray]:
    images: dict[str, list[Image.Image]] = {}
    names: dict[str, list[str]] = {}

    def add(kind: str, name: str, image: Image.Image) -> None:
        images.setdefault(kind, []).append(image)
        names.setdefault(kind, []).append(name)

    number = 0
    for name, signs in by_name(drawings).items():
        if len(signs) < 2:
            continue
        order = hash_order(signs, ROLES_SEED, "transport")
        held = order[: 2 if len(order) > 2 else 1]
        for sign in held:
            add("held", name, render.drawing(drawings / f"{sign}.svg"))
        for sign in order[len(held) :][:MOST_TRAINING]:
            image = render.drawing(drawings / f"{sign}.svg")
            add("real", name, image)
            rng = numpy_generator(0, "sign metric", number)
            for _ in range(EACH):
                add("classic", name, Classic(mirror=0.0, mixup=0.0).change(image, rng))
            for kind in ("boards", "photo", "boards and photo"):
                how = tuple(kind.split(" and "))
                for made in render.renderings(
                    image, name, EACH, how, np.random.default_rng([0, number])
                ):
                    add(kind, name, made)
            number += 1
    encoder = catalog.build("encoders", "image", {"pixels": PIXELS}).fit(
        TrainingCells([]), Field("image", "image", ("image",), "image"), {}, RUNTIME
    )
    out: dict[str, np.ndarray] = {}
    for kind, some in images.items():
        vectors = []
        for start in range(0, len(some), 32):
            cells = [{"image": png_bytes(np.asarray(i))} for i in some[start : start + 32]]
            vectors.append(encoder.embed([encoder.decode(cell, Path())[0] for cell in cells]))
        out[f"x {kind}"], out[f"name {kind}"] = np.concatenate(vectors), np.array(names[kind])
        sys.stderr.write(f"{kind}: {len(some)} images, {time.process_time():.0f} s\n")
    return out


def whitening(signs: Signs, kind: str, shrinkage: float) -> np.ndarray:
    """float64 [D, D]: the inverse root of the scatter within a name, mixed with a ball of its mean
    variance (Ledoit & Wolf 2004); the identity for no scatter."""
    width = signs.x["real"].shape[1]
    if kind == "none":
        return np.eye(width)
    kinds = ("real", *KINDS[kind])
    x = np.concatenate([signs.x[k] for k in kinds])
    _, place = np.unique(np.concatenate([signs.name[k] for k in kinds]), return_inverse=True)
    means = np.zeros((place.max() + 1, width))
    np.add.at(means, place, x)
    within = x - (means / np.bincount(place)[:, None])[place]
    scatter = within.T @ within / len(x)
    ball = np.trace(scatter) / width * np.eye(width)
    values, axes = np.linalg.eigh((1 - shrinkage) * scatter + shrinkage * ball)
    return np.asarray(axes / np.sqrt(values))


def read(signs: Signs, rows: np.ndarray, map_: np.ndarray, gallery: Sequence[str]) -> np.ndarray:
    """bool [n]: whether the name of the nearest image of the gallery is right, by the cosine."""
    middle = signs.x["real"].mean(0)

    def directions(x: np.ndarray) -> np.ndarray:
        moved = (x - middle) @ map_
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))

    known = directions(np.concatenate([signs.x[k] for k in gallery]))
    names = np.concatenate([signs.name[k] for k in gallery])
    nearest = (directions(signs.x["held"][rows]) @ known.T).argmax(1)
    return np.asarray(names[nearest] == signs.name["held"][rows])


def chosen(signs: Signs, rows: np.ndarray, kind: str) -> dict[str, Any]:
    """The best settings of one kind of scatter on these rows, and all that were tried."""
    galleries = [("real",), ("real", *KINDS[kind])] if KINDS[kind] else [("real",)]
    tried = []
    for shrinkage in SHRINKAGES if kind != "none" else (1.0,):
        map_ = whitening(signs, kind, shrinkage)
        for gallery in galleries:
            right = read(signs, rows, map_, gallery)
            tried.append(
                {"shrinkage": shrinkage, "gallery": gallery, "right": round(float(right.mean()), 4)}
            )
    best = max(tried, key=lambda t: t["right"])
    return {"part": "choose", "scatter": kind, **_count(signs, rows), **best, "tried": tried}


def confirm(signs: Signs, rows: np.ndarray, settings: Mapping[str, Any]) -> None:
    """The best rendered scatter against every rival, paired by name."""
    names = list(signs.name["held"][rows])
    right = {
        kind: read(signs, rows, whitening(signs, kind, s["shrinkage"]), s["gallery"]).astype(float)
        for kind, s in settings.items()
    }
    best = max((k for k in settings if k not in RIVALS), key=lambda k: settings[k]["right"])
    gains = {k: intervals.mean(right[best] - right[k], names) for k in RIVALS}
    record.append(
        "sign_metric",
        {
            "part": "confirm",
            "scatter": best,
            **_count(signs, rows),
            "right": {k: _figure(intervals.mean(v, names)) for k, v in right.items()},
            "gain over": {k: _figure(g) for k, g in gains.items()},
            "word": "helped" if all(g.low > 0 for g in gains.values()) else "no evidence",
        },
    )


def _count(signs: Signs, rows: np.ndarray) -> dict[str, int]:
    return {"rows": int(rows.sum()), "names": len(set(signs.name["held"][rows]))}


def _figure(interval: intervals.Interval) -> dict[str, float]:
    return {k: round(float(getattr(interval, k)), 4) for k in ("value", "low", "high")}


if __name__ == "__main__":
    main()
