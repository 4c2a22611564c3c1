"""The processor as the tests use it: one device, one precision, one thread, one seed.

Two variables of the environment change that for a whole run of the suite (CONTRIBUTING.md):
GOBELIN_TEST_PRECISION=bfloat16 trains every network in bfloat16; GOBELIN_TEST_SEED=3 trains with
other random numbers, which is how the margins of bounds on trained networks are measured."""

from __future__ import annotations

import os
from typing import Any

import pytest

from gobelin.core.machine import Runtime

PRECISION = os.environ.get("GOBELIN_TEST_PRECISION", "float32")
SEED = int(os.environ.get("GOBELIN_TEST_SEED", "0"))
RUNTIME = Runtime(SEED, "cpu", PRECISION, 1)

SETTINGS: dict[str, Any] = {"precision": PRECISION, "threads": 1, "device": "cpu", "seed": SEED}
"""The group `runtime` of a run's settings."""

OPTIONS = [f"runtime.{name}={value}" for name, value in SETTINGS.items()]
"""The same as words behind --set."""

golden_numbers = pytest.mark.skipif(
    (PRECISION, SEED) != ("float32", 0), reason="numbers on file are those of float32 and seed 0"
)
