"""The demo on OpenMoji from nothing: seconds, peak memory, and what it found. The README's figures
come from here.

python benchmarks/demo.py [--keep DIR]"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import record


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, help="Run folder to keep.")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = said.keep or Path(temporary) / "run"
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "gobelin", "demo", "--run", str(run)], check=True)
        seconds = time.monotonic() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        found = [
            json.loads(line)
            for line in (run / "findings.jsonl").read_text(encoding="utf-8").split("\n")
            if line
        ]
        steps = json.loads((run / "settings.json").read_text(encoding="utf-8"))["generator"][
            "steps"
        ]
    keep = ("value", "low", "high", "chance", "floor", "verdict", "n")
    rows = {
        "balanced_accuracy": [
            f for f in found if f["name"] == "balanced_accuracy" and f["source"] == "evaluate"
        ],
        "recall@5": [f for f in found if f["name"] == "recall@5"],
        "label_agreement": [f for f in found if f["name"] == "label_agreement" and not f["scope"]],
        "condition_match": [
            f for f in found if f["name"] == "condition_match" and not f["comparator"]
        ],
        "verdict": [f for f in found if f["name"] == "verdict"],
        "audit": [f for f in found if f["source"] == "audit"],
    }
    figures = {
        f"{name} {json.dumps(f['scope'], sort_keys=True)}"
        + (f" {f['name']}" if name == "audit" else ""): {k: f[k] for k in keep}
        for name, several in rows.items()
        for f in several
    }
    record.append(
        "demo",
        {
            "contender": "openmoji",
            "seconds": round(seconds, 1),
            "peak_memory_mb": round(memory),
            "generator_steps": steps,
            "figures": figures,
        },
    )


if __name__ == "__main__":
    main()
