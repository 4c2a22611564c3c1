"""Studies of the whole loop on real records: did made images help? The plan of every confirming
study stands here, fixed before its test rows were touched.

python benchmarks/verdicts.py [--study NAME] [--draw N] [--folder FOLDER]

`explore` studies were used to look for a set where made images help beyond the best rival. They see
rows of the first half of Fashion-MNIST's training rows, or of the digits, alone; the confirming
ones see rows of the second half, once. OpenMoji and Tux Paint come as they are. Every study that
was run is a line of the results and stands in docs/log.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent))
import fashion
import glyphs
import record

from gobelin import Workbench
from gobelin.core import catalog, config
from gobelin.data.dataset import Dataset
from gobelin.data.image.images import png_bytes
from gobelin.data.read import read

FIXED: dict[str, Any] = {
    "augment": {
        "rivals": (
            "classic",
            "generator_size",
            "oversampling",
            "weights",
            "retrieved",
            "copies",
            "procedural_noise",
        ),
        "seeds": 8,
        "tuning_seeds": 2,
        "mixes": (0.05, 0.5),
        "decays": (1e-3, 1e-2),
        "smallest_effect": 0.01,
        "study": "images",
    },
    "generator": {"seeds": 1},
}
TAIL = (1400, 133, 1400, 133, 1400, 133, 133, 1400, 133, 1400)
KINDS = (
    "clothing",
    "clothing",
    "clothing",
    "clothing",
    "clothing",
    "footwear",
    "clothing",
    "footwear",
    "luggage",
    "footwear",
)
CLOTHES: dict[str, Any] = {
    "encoders": {"image": {"name": "pixels"}},
    "split": {"valid": 0.2, "test": 0.65},
    "generator": {"name": "vaegan", "size": 28, "steps": 600},
    "augment": {"ratio": (0.25, 1.0)},
}
LIGHT = {"augment": {"ratio": (0.25, 1.0), "mixes": (0.02, 0.1)}}
STARVED: dict[str, Any] = {
    "generator": {"steps": 1},
    "augment": {"ratio": (4.0,), "mixes": (1.0,), "agree": False, "quarantine": False},
}
FEW: dict[str, Any] = {
    "split": {"valid": 0.06, "test": 0.9},
    "generator": {"size": 32, "name": "imported"},
    "augment": {"ratio": (4.0, 12.0), "mixes": (0.02, 0.1)},
}


@dataclass(frozen=True)
class Plan:
    """sample: a sample set as it comes, or `fashion` by `counts`: rows of every class, in the order
    of its classes, scarce ones few. settings: over those of the sample and FIXED. words: with a
    coarse word beside each image (`KINDS`), missing in three rows of ten and wrong in one of ten.
    halved: explored on one half of the rows and confirmed on the other. draw: of rows and of every
    seed. purpose: explore, or confirm what is `expected`."""

    sample: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    counts: tuple[int, ...] = ()
    words: bool = False
    halved: bool = False
    draw: int = 0
    purpose: str = "explore"
    expected: str = ""


PLANS: dict[str, Plan] = {
    "tail, vaegan": Plan("fashion", CLOTHES, TAIL),
    "tail with words, vaegan": Plan("fashion", config.merge(CLOTHES, LIGHT), TAIL, words=True),
    "few digits, fonts": Plan("digits", FEW, halved=True),
    "confirm: few digits, fonts": Plan(
        "digits", FEW, halved=True, purpose="confirm", draw=7, expected="helped"
    ),
    "confirm: tail, vaegan": Plan(
        "fashion",
        config.merge(CLOTHES, LIGHT),
        TAIL,
        purpose="confirm",
        draw=7,
        expected="no evidence",
    ),
    "confirm: tail, starved vaegan": Plan(
        "fashion",
        config.merge(CLOTHES, STARVED),
        TAIL,
        purpose="confirm",
        draw=8,
        expected="harmed",
    ),
    "openmoji as it comes": Plan(
        "openmoji", {"augment": {"ratio": (0.25, 1.0)}}, purpose="confirm"
    ),
    "tuxpaint as it comes": Plan(
        "tuxpaint", {"augment": {"ratio": (0.25, 1.0)}}, purpose="confirm"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--study", choices=PLANS, help="Only this one.")
    parser.add_argument("--draw", type=int, help="Another than the plan's, to explore.")
    parser.add_argument(
        "--folder", type=Path, help="Where runs are kept; a temporary one without it."
    )
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name in [said.study] if said.study else PLANS:
            plan = PLANS[name]
            if said.draw is not None and plan.purpose == "confirm":
                raise SystemExit(
                    f"{name}: a confirming study has the draw of its plan, {plan.draw}"
                )
            draw = plan.draw if said.draw is None else said.draw
            study(
                name,
                plan,
                draw,
                (said.folder or Path(place))
                / f"{name}-{draw}".translate({32: None, 44: None, 58: "-"}),
            )


def study(name: str, plan: Plan, draw: int, folder: Path) -> None:
    start = time.perf_counter()
    source = catalog.build("samples", plan.sample)
    confirming = plan.purpose == "confirm"
    settings = config.merge(
        config.merge(FIXED, {} if plan.counts else source.settings()), plan.settings
    )
    settings = config.merge(settings, {"runtime": {"seed": draw}})
    if plan.counts:
        data = clothes(plan.counts, draw, confirming, plan.words)
    else:
        data = read(source.write(folder / "data", draw)).with_ids("id")
        data = data.rows(np.sort(half(len(data), confirming))) if plan.halved else data
    if settings["generator"].get("name") == "imported":
        album = glyphs.write(folder / "glyphs", 200, 32)
        settings = config.merge(settings, {"generator": {"settings": {"folder": str(album)}}})
    bench = Workbench(data, source.target, folder, settings)
    bench.check(), bench.fit()
    found = bench.augment()
    shown = {"value", "low", "high", "n"}
    verdicts = [f for f in found if f.name == "verdict"]
    compared = [
        f for f in found if f.comparator and f.source == "augment" and set(f.scope) == {"arm"}
    ]
    made = [f for f in found if f.name in ("made_rows", "screened_out")]
    record.append(
        "verdicts",
        {
            "study": name,
            "settings": {
                part: config.resolved(getattr(bench.run.settings, part))
                for part in ("augment", "split")
            },
            "purpose": plan.purpose,
            "expected": plan.expected,
            "draw": draw,
            "sample": plan.sample,
            "verdicts": {f.scope["arm"]: {"word": f.verdict, "sentence": f.note} for f in verdicts},
            "gains": {
                f"{f.scope['arm']} over {f.comparator}": {k: getattr(f, k) for k in sorted(shown)}
                for f in compared
                if f.name != "verdict"
            },
            "scores": {f.scope["arm"]: f.value for f in found if f.name.startswith("test_")},
            "made": {" ".join([f.name, *map(str, f.scope.values())]): f.value for f in made},
            "look": next(f.value for f in found if f.name == "look_at_test_rows"),
            "seconds": round(time.perf_counter() - start),
        },
    )


def half(rows: int, confirming: bool) -> np.ndarray:
    """int64: the half of so many rows that this purpose may see."""
    order = np.random.default_rng(2026).permutation(rows)
    return order[rows // 2 :] if confirming else order[: rows // 2]


def clothes(counts: tuple[int, ...], draw: int, confirming: bool, words: bool) -> Dataset:
    """Fashion-MNIST with so many rows of each class, from the half of its training rows that this
    purpose may see."""
    images, labels = fashion.load("train")
    own = half(len(labels), confirming)
    order = own[np.random.default_rng(draw).permutation(len(own))]
    rows = np.concatenate([order[labels[order] == c][:n] for c, n in enumerate(counts)])
    table = pa.table(
        {
            "id": [f"{r:05d}" for r in rows],
            "image": [png_bytes(images[r]) for r in rows],
            "class": [fashion.CLASSES[labels[r]] for r in rows],
        }
    )
    if words:
        rng = np.random.default_rng([draw, 1])
        kinds = np.where(
            rng.random(len(rows)) < 0.1, rng.choice(KINDS, len(rows)), np.array(KINDS)[labels[rows]]
        )
        there = rng.random(len(rows)) >= 0.3
        said = [f"a piece of {k}" if t else None for k, t in zip(kinds, there, strict=True)]
        table = table.append_column("words", pa.array(said, pa.string()))
    return Dataset(table, Path(), "fashion").with_ids("id")


if __name__ == "__main__":
    main()
