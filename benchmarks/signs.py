"""Traffic signs of a country never seen: does a renderer help? Sample set `transport`: 147 names
with one or two training drawings each; the test drawing of each name is another country's.

    python benchmarks/signs.py [--study NAME] [--signs FOLDER] [--folder FOLDER]

The renderer (recipes/transport/render.py) sees training drawings only. `explore` studies share the
test drawings of the sample set. A `confirm` study exchanges them with training drawings of the same
names (`exchanged`), which no exploring study has scored. Every study that was run is a line of the
results.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "recipes" / "transport"))
import record
import render

from gobelin import Workbench
from gobelin.core import config
from gobelin.data.samples.transport import Transport

EACH = 4  # rendered images of each training drawing
FIXED: dict[str, Any] = {
    "augment": {
        "ratio": (4.0,),
        "mixes": (0.2, 1.0),
        "decays": (1e-3, 1e-2),
        "tuning_seeds": 1,
        "seeds": 3,
    },
    "generator": {"name": "imported", "seeds": 1},
}
LARGER: dict[str, Any] = {"encoders": {"image": {"pixels": 160}}}
PIXELS: dict[str, Any] = {
    "encoders": {"image": {"name": "pixels"}},
    "fusion": {"name": "concat"},
    "align": {"width": 32, "steps": 0},
}
TRAINED: dict[str, Any] = {
    "generator": {"size": 32, "steps": 400},
    "augment": {"generators": ("gan", "flow")},
}


@dataclass(frozen=True)
class Plan:
    """how: what the renderer does; empty for generators that are trained on the rows. size: side of
    the images in pixels. exchanged: see `Transport`."""

    how: tuple[str, ...]
    size: int = 64
    settings: Mapping[str, Any] = field(default_factory=dict)
    exchanged: bool = False
    purpose: str = "explore"


PLANS: dict[str, Plan] = {
    "boards": Plan(("boards",)),
    "photo": Plan(("photo",)),
    "boards, larger images": Plan(("boards",), 128, LARGER),
    "boards and photo": Plan(("boards", "photo")),
    "boards, closed-form encoder": Plan(("boards",), 64, PIXELS),
    "gan and flow": Plan((), 64, TRAINED),
    "confirm: boards": Plan(("boards",), exchanged=True, purpose="confirm"),
    "confirm: boards, larger images": Plan(("boards",), 128, LARGER, True, "confirm"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--study", nargs="+", choices=PLANS, help="Only these.")
    parser.add_argument("--signs", default="transport", help="Where npm put the drawings.")
    parser.add_argument(
        "--folder", type=Path, help="Where runs are kept; a temporary one without it."
    )
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for number, (name, plan) in enumerate(PLANS.items()):
            if not said.study or name in said.study:
                study(name, plan, said.signs, (said.folder or Path(place)) / str(number))


def study(name: str, plan: Plan, signs: str, folder: Path) -> None:
    start, processor = time.perf_counter(), time.process_time()
    source = Transport(folder=signs, size=plan.size, exchanged=plan.exchanged)
    data = source.write(folder / "data", 0)
    settings = config.merge(config.merge(source.settings(), FIXED), plan.settings)
    lacking = None
    if plan.how:
        album = folder / "rendered"
        arguments = (source.drawings(), EACH, plan.how, 0, plan.size)
        _, lacking = render.write(data, album, *arguments)
        imported = {"size": plan.size, "settings": {"folder": str(album)}}
        settings = config.merge(settings, {"generator": imported})
    bench = Workbench(data, source.target, folder / "run", settings)
    bench.check()
    bench.fit()
    found = bench.augment()
    verdicts = [f for f in found if f.name == "verdict"]
    gains = [
        f
        for f in found
        if f.comparator and f.source == "augment" and set(f.scope) == {"arm"} and f not in verdicts
    ]
    shown = ("value", "low", "high", "n")
    record.append(
        "signs",
        {
            "study": name,
            "purpose": plan.purpose,
            "how": list(plan.how),
            "side_px": plan.size,
            "encoder": config.resolved(bench.run.settings).get("encoders", {}),
            "exchanged": plan.exchanged,
            "drawings_without_a_picture": lacking,
            "verdicts": {f.scope["arm"]: {"word": f.verdict, "sentence": f.note} for f in verdicts},
            "gains": {
                f"{f.scope['arm']} over {f.comparator}": {k: getattr(f, k) for k in shown}
                for f in [*verdicts, *gains]
            },
            "scores": {f.scope["arm"]: f.value for f in found if f.name.startswith("test_")},
            "look": next(f.value for f in found if f.name == "look_at_test_rows"),
            "seconds": round(time.perf_counter() - start),
            "processor_seconds": round(time.process_time() - processor),
        },
    )


if __name__ == "__main__":
    main()
