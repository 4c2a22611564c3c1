"""What the command line costs before it works: processor time and memory of commands that need no
data and no model.

python benchmarks/commands.py: appends a line for each command to benchmarks/results/commands.jsonl.

Each command runs REPEATS times in processes of its own, with warm files and one thread. Told are
the least processor time (user and system) and the least peak of resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPEATS = 5
COMMANDS = {  # words -> exit code, and what the page of benchmarks calls it
    "--version": (0, "`gobelin --version`"),
    "--help": (0, "`gobelin --help`"),
    "search --help": (0, "`gobelin search --help`"),
    "list": (0, "`gobelin list`"),
    "list generators --json": (0, "`gobelin list generators --json`"),
    "chek data.csv": (2, "a verb that isn't there"),
    "fit data.csv": (2, "an option that is missing"),
}


def main() -> None:
    found = {words: measured(words, code) for words, (code, _) in COMMANDS.items()}
    # it loads torch, and a process that starts another one counts in the peak of that one
    import record

    for words, (seconds, megabytes) in found.items():
        named = {"words": words, "what": COMMANDS[words][1]}
        spent = {"processor_s": round(seconds, 3), "peak_mb": round(megabytes, 1)}
        record.append("commands", {**named, **spent})


def measured(words: str, code: int) -> tuple[float, float]:
    """The least processor time in seconds, and the least peak of memory in megabytes."""
    spent = [one_run(words, code) for _ in range(REPEATS + 1)][1:]  # the first reads the files
    return min(seconds for seconds, _ in spent), min(megabytes for _, megabytes in spent)


def one_run(words: str, code: int) -> tuple[float, float]:
    """Processor seconds and peak megabytes of one process."""
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "gobelin", *words.split()]
    child = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != code:
        raise SystemExit(f"gobelin {words}: ended with {child.returncode}, {code} was expected.")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
