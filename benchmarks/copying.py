"""Are copies of training images caught, healthy images cleared, and a generator that memorised its
few images?

python benchmarks/copying.py [--part planted|memorised]

Planted: the audit on real images (Fashion-MNIST 28 px; drawings of OpenMoji at 32 px and stamps of
Tux Paint at 48 px, by groups), with copies of each kind of change as made images, and as healthy
ones real images that were in neither part. A mixture of a tenth of copies (all kinds) and nine
tenths of healthy images, drawn again and again, is given its verdict, and so is a healthy set.
Memorised: a small `flow` trained with the same steps on 64 images of Fashion-MNIST, on views of
those (mirrored, cropped) and on 2,000 images; the same audit against what it was trained on.
Spaces: two encoders that need no weights."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
import fashion
import record

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.image.images import Opening, decode_images
from gobelin.data.read import read
from gobelin.evidence.intervals import wilson
from gobelin.generation.generators import Context, Controls, ImageRows
from gobelin.privacy import planted_copies
from gobelin.privacy.audits import AuditInput, Result
from gobelin.quality import images as quality

SETS = {"fashion": 28, "openmoji": 32, "tuxpaint": 48}
EACH, MIXED, TRIALS, SPLITS = (
    100,
    200,
    40,
    5,
)  # copies of each kind; images of a mixture; mixtures; draws of the parts
FEW, MANY, STEPS, VIEWS, MADE = 64, 2000, 3000, 32, 300
ENCODERS = (("convolution", {"filters": 16}), ("pixels", {"frequencies": 8}))
SMALL = {
    "width": 96,
    "depth": 3,
    "batch": 32,
    "rate": 2e-3,
    "shortcuts": 0.0,
    "half_life": 100.0,
}  # a small network, in minutes
RUNTIME = Runtime(0, "cpu", "float32", 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=("planted", "memorised"), help="only this")
    parser.add_argument("--only", help="this set or this way of training alone")
    said = parser.parse_args()
    RUNTIME.apply()
    if said.part != "memorised":
        for name in SETS if said.only is None else (said.only,):
            planted(name)
    if said.part != "planted":
        for name in ("few", "views", "many") if said.only is None else (said.only,):
            memorised(name)


def parts(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """uint8 [n, S, S, C]: training, held-out and healthy images, no group in two of them, drawn by
    this seed; and the held-out ones' groups."""
    if name == "fashion":
        images, _ = fashion.load("train")
        drawn = images[np.random.default_rng(seed).permutation(len(images))]
        return drawn[:MANY], drawn[MANY : MANY + 500], drawn[MANY + 500 : MANY + 1500], ()
    with tempfile.TemporaryDirectory() as place:
        data = read(catalog.build("samples", name).write(Path(place) / "data", 0))
        cells, groups = data.values("image"), np.array([str(g) for g in data.values("family")])
        there = [k for k, cell in enumerate(cells) if cell is not None]
        images = [
            decode_images({"image": cells[k]}, data.root, Opening(), SETS[name])[0][0]
            for k in there
        ]
    names, own = np.unique(groups[there], return_inverse=True)
    place_of = np.random.default_rng(seed).permutation(len(names))[own] / len(names)
    whole = np.stack(images)
    held = (place_of >= 0.5) & (place_of < 0.75)
    return (
        whole[place_of < 0.5],
        whole[held],
        whole[place_of >= 0.75],
        tuple(groups[there][held].tolist()),
    )


def audited(
    train: np.ndarray, holdout: np.ndarray, made: np.ndarray, groups: tuple[str, ...] = ()
) -> tuple[Result, float]:
    """The audit's result and its processor seconds."""
    spaces = {}
    for net, settings in ENCODERS:
        encoder = quality.fitted(net, settings, train, RUNTIME)
        spaces[net] = lambda images, encoder=encoder: np.concatenate(
            list(quality.features(encoder, images, RUNTIME))
        )
    ids = (
        tuple(f"{what}{k}" for k in range(n)) for what, n in (("t", len(train)), ("m", len(made)))
    )
    control = planted_copies.of_every_kind(train, 280, 0)
    begun = time.process_time()
    material = AuditInput(train, holdout, made, control, spaces, *ids, "random split", groups)
    result = catalog.build("audits", "copying").run(material)
    return result, time.process_time() - begun


def planted(name: str) -> None:
    """One line: the share caught of every kind, of healthy images in several draws of the parts,
    verdicts on mixtures."""
    train, holdout, fresh, groups = parts(name)
    kinds = {kind: planted_copies.plant(train, EACH, 1000, kind) for kind in planted_copies.CHANGES}
    result, seconds = audited(train, holdout, np.concatenate([fresh, *kinds.values()]), groups)
    flagged = np.array([row["flagged"] for row in result.rows])
    healthy, copied = flagged[: len(fresh)], flagged[len(fresh) :]
    limit = next(f for f in result.findings if f.name == "false_alarms")
    alarms = [float(healthy.mean())]
    for seed in range(1, SPLITS):
        one, other, third, names = parts(name, seed)
        alarms.append(
            float(np.mean([row["flagged"] for row in audited(one, other, third, names)[0].rows]))
        )
    rng, called = np.random.default_rng(0), {"mixture": 0, "healthy": 0}
    for _ in range(TRIALS):
        for what, share in (("mixture", 0.1), ("healthy", 0.0)):
            few = int(share * MIXED)
            some = np.concatenate(
                [
                    rng.choice(copied, few, replace=False),
                    rng.choice(healthy, MIXED - few, replace=True),
                ]
            )
            called[what] += wilson(int(some.sum()), MIXED).low > (limit.high or 0)
    row: dict[str, Any] = {
        "cell": name,
        "pixels": SETS[name],
        "train": len(train),
        "holdout": len(holdout),
        "healthy": len(fresh),
        "promised_false_alarms": round(limit.value or 0, 4),
        "false_alarms": t_interval(alarms),
        "false_alarms_by_split": [round(v, 4) for v in alarms],
        **{
            f"caught_{kind}": share_of(copied[EACH * k : EACH * (k + 1)])
            for k, kind in enumerate(kinds)
        },
        "mixtures_called": share_of(np.arange(TRIALS) < called["mixture"]),
        "healthy_called": share_of(np.arange(TRIALS) < called["healthy"]),
        "made_images": len(flagged),
        "cpu_seconds": round(seconds, 1),
    }
    record.append("copying", row)


def share_of(hits: np.ndarray) -> list[float]:
    """The share and its Wilson interval."""
    one = wilson(int(hits.sum()), len(hits))
    return [round(float(v), 4) for v in (one.value, one.low, one.high)]


def t_interval(values: list[float]) -> list[float]:
    """The mean and its 95 % interval over draws, by Student's t."""
    half = (
        float(stats.t.ppf(0.975, len(values) - 1))
        * float(np.std(values, ddof=1))
        / len(values) ** 0.5
    )
    mean = float(np.mean(values))
    return [round(v, 4) for v in (mean, max(0.0, mean - half), mean + half)]


def memorised(name: str) -> None:
    """One line: the share of copies among images made by a generator that was trained in this
    way."""
    images, labels = fashion.load("train")
    drawn = np.random.default_rng(0).permutation(len(images))
    own = drawn[: FEW if name != "many" else MANY]
    shown, label = images[own], labels[own]
    if name == "views":
        shown, label = views(shown), np.tile(label, VIEWS)
    made = trained(name, shown, label)
    result, _ = audited(images[own], images[drawn[MANY : MANY + 500]], made)
    found = {f.name: f for f in result.findings if not f.scope}
    record.append(
        "copying",
        {
            "cell": f"memorised {name}",
            "images": len(own),
            "views": len(shown),
            "steps": STEPS,
            "made_images": len(made),
            "copies": share_of(np.array([row["flagged"] for row in result.rows])),
            "verdict": found["copies"].verdict,
            "promised_false_alarms": round(found["false_alarms"].value or 0, 4),
            "planted_caught": round(found["planted_copies_caught"].value or 0, 4),
        },
    )


def views(images: np.ndarray) -> np.ndarray:
    """The images themselves and 31 changed views of each: half of all mirrored, cropped to 80 to
    100 % of each side."""
    rng, out = np.random.default_rng(0), [images]
    for _ in range(VIEWS - 1):
        mirrored = rng.random(len(images)) < 0.5
        flat = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        out.append(np.stack([cropped(one, rng) for one in flat]))
    return np.concatenate(out)


def cropped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [S, S, 1]: a random part of the image at its old size."""
    side, share = image.shape[0], rng.uniform(0.8, 1.0)
    top, left = rng.uniform(0, (1 - share) * side, 2)
    part = (left, top, left + share * side, top + share * side)
    return np.asarray(
        Image.fromarray(image[..., 0]).resize((side, side), Image.Resampling.BILINEAR, part)
    )[..., None]


def trained(name: str, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """uint8 [n, 28, 28, 1] by `flow`; watched on its own training images, so that no early stop
    saves it."""
    path = fashion.WORK / f"copying {name} {STEPS}.npy"
    if not path.is_file():
        rows = ImageRows(images, fashion.asked(labels), fashion.CLASSES)
        with tempfile.TemporaryDirectory() as work:
            context = Context(
                Runtime(0, "cpu", "bfloat16", 1).apply(), Path(work), STEPS, patience=0
            )
            sampler = catalog.build("generators", "flow", SMALL).fit(rows, rows.first(256), context)
        asked = np.random.default_rng(1).choice(labels, MADE)
        made = np.concatenate(
            list(sampler.sample(fashion.asked(asked), range(MADE), Controls(batch=100)))
        )
        fashion.WORK.mkdir(exist_ok=True)
        np.save(path, made)
    return np.load(path)


if __name__ == "__main__":
    main()
