"""One line a contender or a cell: its name, figures with units in the key, versions, machine, date,
command."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

from gobelin.core.machine import environment

RESULTS = Path(__file__).parent / "results"


def append(name: str, row: dict[str, Any]) -> None:
    """Add a line to results/NAME.jsonl."""
    RESULTS.mkdir(exist_ok=True)
    said = [
        Path(a).name if Path(a).is_absolute() else a for a in sys.argv[1:]
    ]  # no path of this machine
    command = " ".join(["python", f"benchmarks/{name}.py", *said])
    line = {
        **row,
        "date": datetime.date.today().isoformat(),
        "command": command,
        "environment": environment(),
    }
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.write(json.dumps({k: v for k, v in line.items() if k != "environment"}) + "\n")


def all_of(name: str) -> list[dict[str, Any]]:
    """Every line of results/NAME.jsonl."""
    path = RESULTS / f"{name}.jsonl"
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        if path.is_file()
        else []
    )


def latest(name: str, key: str) -> dict[Any, dict[str, Any]]:
    """The newest line for every value of `key` in results/NAME.jsonl."""
    return {row[key]: row for row in all_of(name)}
