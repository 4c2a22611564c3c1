"""Run as a program: the peak memory of small pieces of work, each in a process of its own.

`peaks` calls it. A fork starts with the memory of this process, so the difference of two peaks is
what the work took.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any


def peaks(module: str, names: list[str], folder: Path) -> dict[str, tuple[float, str]]:
    """{name: (megabytes that `module`.CASES[name](folder) took, what it returned as a text)}."""
    words = [sys.executable, __file__, module, str(folder), *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: (peak, said) for name, (peak, said) in json.loads(done.stdout).items()}


def _peak(work: Any, folder: Path) -> tuple[float, str]:  # noqa: ANN401 - a function
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            said = str(work(folder))
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(writing, json.dumps([(peak - before) / 1000, said[:500]]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return tuple(json.loads(answer)) if answer else (float("inf"), "was killed")


if __name__ == "__main__":
    place, where, *chosen = sys.argv[1:]
    cases = importlib.import_module(place).CASES
    print(json.dumps({name: _peak(cases[name], Path(where)) for name in chosen}))
