"""The profile of `make fuzz`. pytest reads it before it chooses the profile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from gobelin.data.budget import Reading

settings.register_profile(
    "fuzz", deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


@pytest.fixture(autouse=True)
def small_budget() -> Iterator[None]:
    """What may be decoded, well below what one input may take of the machine."""
    Reading(table_mb=100, cell_mb=100).use()
    yield
    Reading().use()
