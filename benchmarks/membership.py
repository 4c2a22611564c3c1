"""Does the membership audit raise few false alarms, and does it see a generator that memorised?

python benchmarks/membership.py [--part calibration|planted|references|trained] [--only CELL]

Calibration: 400 studies a cell in which nobody leaks: training rows, held-out rows and generated
images are drawn from one population, as single rows, as groups of unequal sizes, and with rows that
repeat. At most 5 % may be called distinguishable: 29 of 400, with the binomial bound.
Planted: the same with a share of the generated images in the place of which stand noisy training
rows.
References: the first of these with planted losses, of a generator and of 1, 2 or 16 references
that learned half of the rows each; rows differ much more in difficulty than by what is memorised.
Trained: a small `flow`, trained with the same steps on 64, 400 and 2,000 images of Fashion-MNIST;
1,000 others are held out, and as many images are generated as were trained on (300 at least). The
feature space is that of an encoder that needs no weights."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import fashion
import record
from copying import RUNTIME, SMALL

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import exact
from gobelin.generation.generators import Context, Controls, ImageRows
from gobelin.privacy.audits import AuditInput, References, Result
from gobelin.privacy.planted_copies import CHANGES
from gobelin.privacy.reference_attack import FOR_LIRA
from gobelin.quality import images as quality

STUDIES, LEAKY_STUDIES = 400, 100
REFERENCE_STUDIES, REFERENCES = 100, (1, 2, 16)
SIZE, EXCHANGES = 16, 1000
TRAIN, HOLDOUT, MADE = 150, 120, 150
CELLS = ("single rows", "unequal groups", "repeated rows")
SHARES = (0.05, 0.1, 0.2, 0.5)  # of the generated images that are noisy training rows
LEARNED, HELD, STEPS, LEAST_MADE = (64, 400, 2000), 1000, 3000, 300
ENCODER = ("convolution", {"filters": 16})


def main() -> None:
    parser = argparse.ArgumentParser()
    names = ("calibration", "planted", "references", "trained")
    parser.add_argument("--part", choices=names, help="only this")
    parser.add_argument("--only", help="this cell, share or count of images alone")
    chosen = parser.parse_args()
    parts: Mapping[str, tuple[Any, Any]] = {
        "calibration": (calibration, CELLS),
        "planted": (planted, SHARES),
        "references": (compared, REFERENCES),
        "trained": (trained, LEARNED),
    }
    RUNTIME.apply()
    for name, (run, cells) in parts.items():
        for cell in cells if chosen.part in (None, name) else ():
            if chosen.only in (None, str(cell)):
                run(cell)


def drawn(n: int, seed: int) -> np.ndarray:
    """uint8 [n, 16, 16, 3]: discs of random colours, places and sizes on a random ground; no two
    alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    out = np.broadcast_to(rng.uniform(0, 255, (n, 1, 1, 3)), (n, SIZE, SIZE, 3)).copy()
    for _ in range(5):
        (top, left), radius = rng.uniform(0, SIZE, (2, n, 1, 1)), rng.uniform(2, 5, (n, 1, 1))
        inside = (y - top) ** 2 + (x - left) ** 2 < radius**2
        out = np.where(inside[..., None], rng.uniform(0, 255, (n, 1, 1, 3)), out)
    return out.astype(np.uint8)


def squares(images: np.ndarray) -> np.ndarray:
    """A feature space: the means of 16 squares in each colour, float32 [n, 48]."""
    means = images.reshape(len(images), 4, 4, 4, 4, 3).mean((2, 4))
    return means.reshape(len(images), -1).astype(np.float32)


def study(seed: int, cell: str, leaked: float = 0.0) -> AuditInput:
    """One study: training rows, held-out rows and generated images of one population. leaked: this
    share of the generated images are noisy training rows."""
    rng = np.random.default_rng(seed)
    group = np.arange(TRAIN + HOLDOUT + MADE)
    if cell == "unequal groups":  # 1 to 20 rows; images of a group resemble each other
        group = np.repeat(np.arange(260), np.minimum(rng.geometric(0.25, 260), 20))
    images = drawn(group.max() + 1, seed + 10_000)[group]
    if cell == "unequal groups":
        images = np.clip(images + rng.normal(0, 10, images.shape), 0, 255).astype(np.uint8)
    if cell == "repeated rows":
        images = images[rng.integers(0, TRAIN, len(images))]
    place = rng.permutation(group.max() + 1)[group] / (group.max() + 1)
    ends = np.cumsum([TRAIN, HOLDOUT, MADE]) / (TRAIN + HOLDOUT + MADE)
    train, held, rest = (
        np.flatnonzero((place >= low) & (place < high))
        for low, high in ((0, ends[0]), (ends[0], ends[1]), (ends[1], 2))
    )
    made = images[rng.permutation(rest)[:MADE]]
    for k in np.flatnonzero(rng.random(len(made)) < leaked):
        copy = CHANGES["noisy"](images[rng.choice(train)].astype(float), rng)
        made[k] = np.clip(np.rint(copy), 0, 255).astype(np.uint8)
    names = [tuple(map(str, group[rows])) for rows in (train, held)]
    return AuditInput(
        train=images[train],
        holdout=images[held],
        generated=made,
        planted={},
        spaces={"squares": squares},
        train_ids=tuple(map(str, train)),
        generated_ids=tuple(map(str, range(len(made)))),
        exchangeable="random split by group",
        groups=names[1],
        train_groups=names[0],
        seed=seed,
    )


def leaky_losses(images: AuditInput, references: int, memorised: float) -> AuditInput:
    """The same with losses of a generator, which knows its training rows better by `memorised`, and
    of references, which know what they learned better by 2. The difficulty of rows varies by 3, the
    noise of a loss is 0.5."""
    rng = np.random.default_rng(images.seed + 20_000)
    n, total = len(images.train), len(images.train) + len(images.holdout)
    hard = rng.normal(0, 3, total)
    own = hard + rng.normal(0, 0.5, total) - memorised * (np.arange(total) < n)

    def losses(learned: np.ndarray) -> np.ndarray:
        return hard + rng.normal(0, 0.5, learned.shape) - 2 * learned

    return replace(
        images,
        row_losses=lambda: (own[:n], own[n:]),
        references=References(references, losses),
    )


def audited(images: AuditInput) -> Result:
    return catalog.build("audits", "membership", {"exchanges": EXCHANGES}).run(images)


def of(result: Result, name: str, **scope: str) -> Finding:
    """The finding of this name and scope."""
    (found,) = [f for f in result.findings if f.name == name and f.scope == scope]
    return found


def repeated(seeds: range, cell: str, leaked: float) -> dict[str, Any]:
    """Counts over studies."""
    results = [audited(study(seed, cell, leaked)) for seed in seeds]
    return {"cell": f"{cell}, {100 * leaked:g} % leaked", **counted(results, "distance")}


def counted(results: list[Result], attack: str) -> dict[str, Any]:
    """What studies say, and what one attack finds in them."""
    words = [result.findings[0].verdict for result in results]
    areas = [of(result, "membership_auc", attack=attack) for result in results]
    bounds = [of(result, "epsilon_at_least", attack=attack).value or 0.0 for result in results]
    alarms = sum(word.startswith("distinguishable") for word in words)
    share = exact(alarms, len(results))
    return {
        "studies": len(results),
        "distinguishable": alarms,
        "share": [round(v, 4) for v in (share.value, share.low, share.high)],
        "cleared": sum(word == "not distinguishable" for word in words),
        "area": round(float(np.mean([a.value or 0.0 for a in areas])), 4),
        "area_holds_half": sum((a.low or 0.0) <= 0.5 <= (a.high or 1.0) for a in areas),
        "epsilon_above_0": sum(bound > 0 for bound in bounds),
    }


def calibration(cell: str) -> None:
    begun = time.process_time()
    row = repeated(range(STUDIES), cell, 0.0)
    record.append("membership", {**row, "cpu_seconds": round(time.process_time() - begun, 1)})


def compared(count: int) -> None:
    """Two lines: with so many references, where the generator knows nobody better, and where it
    knows its rows better by as much as the references know theirs."""
    begun, name = time.process_time(), "LiRA" if count >= FOR_LIRA else "RMIA"
    for memorised, studies in ((0.0, REFERENCE_STUDIES), (2.0, REFERENCE_STUDIES // 5)):
        seeds = range(3000, 3000 + studies)
        results = [
            audited(leaky_losses(study(seed, "single rows"), count, memorised)) for seed in seeds
        ]
        told = "rows memorised" if memorised else "nothing leaks"
        references = f"{count} reference{'s' if count > 1 else ''}"
        row = {"cell": f"{name}, {references}: {told}", **counted(results, name)}
        record.append("membership", {**row, "cpu_seconds": round(time.process_time() - begun, 1)})


def planted(share: float) -> None:
    record.append("membership", repeated(range(LEAKY_STUDIES), "single rows", share))


def trained(count: int) -> None:
    """One line: what both attacks find of a flow that was trained on so many images."""
    images, labels = fashion.load("train")
    order = np.random.default_rng(0).permutation(len(images))
    own, held = order[:count], order[-HELD:]
    rows = ImageRows(images[own], fashion.asked(labels[own]), fashion.CLASSES)
    with tempfile.TemporaryDirectory() as work:
        context = Context(Runtime(0, "cpu", "bfloat16", 1).apply(), Path(work), STEPS, patience=0)
        sampler = catalog.build("generators", "flow", SMALL).fit(rows, rows.first(256), context)
    made = max(LEAST_MADE, count)
    asked = fashion.asked(np.random.default_rng(1).choice(labels[own], made))
    generated = np.concatenate(list(sampler.sample(asked, range(made), Controls(batch=100))))
    both = np.concatenate([own, held])

    def row_losses() -> tuple[np.ndarray, np.ndarray]:
        every = ImageRows(images[both], fashion.asked(labels[both]), fashion.CLASSES)
        losses = sampler.row_loss(every).numpy()
        return losses[:count], losses[count:]

    encoder = quality.fitted(*ENCODER, images[own], RUNTIME)

    def features(x: np.ndarray) -> np.ndarray:
        return np.concatenate(list(quality.features(encoder, x, RUNTIME)))

    begun = time.process_time()
    result = audited(
        AuditInput(
            train=images[own],
            holdout=images[held],
            generated=generated,
            planted={},
            spaces={ENCODER[0]: features},
            train_ids=tuple(map(str, own)),
            generated_ids=tuple(map(str, range(made))),
            exchangeable="random split",
            row_losses=row_losses,
        )
    )
    control = {"control": "over-fitted on the same rows", "false alarms": "1 %"}
    row = {
        "cell": f"flow on {count} images",
        "images": count,
        "steps": STEPS,
        "made_images": made,
        "holdout": HELD,
        "verdict": result.findings[0].verdict,
        "control_found": figures(of(result, "members_found", **control)),
        "control_area": figures(of(result, "membership_auc", control="over-fitted on other rows")),
        "cpu_seconds": round(time.process_time() - begun, 1),
    }
    for attack in ("distance", "loss"):
        row |= {
            f"{attack}_area": figures(of(result, "membership_auc", attack=attack)),
            f"{attack}_p": of(result, "membership_p_value", attack=attack).value,
            f"{attack}_epsilon": of(result, "epsilon_at_least", attack=attack).value,
        }
        for rate in ("1 %", "0.1 %"):
            share = of(result, "members_found", **{"attack": attack, "false alarms": rate})
            row[f"{attack}_found_at_{rate.removesuffix(' %')}"] = figures(share)
    row["area_of_spaces"] = {
        f.scope["space"]: figures(f) for f in result.findings if "space" in f.scope
    }
    record.append("membership", row)


def figures(finding: Finding) -> list[float | None]:
    """Value, low and high."""
    ends = (finding.value, finding.low, finding.high)
    return [None if v is None else round(v, 4) for v in ends]


if __name__ == "__main__":
    main()
