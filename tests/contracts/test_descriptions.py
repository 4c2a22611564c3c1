"""`gobelin list` shows the first line of a component's file: it is one whole sentence."""

from __future__ import annotations

import pytest

from gobelin.core import catalog

COMPONENTS = [(slot, name) for slot in catalog.SLOTS for name in catalog.names(slot)]


@pytest.mark.parametrize(("slot", "name"), COMPONENTS)
def test_the_first_line_is_a_sentence(slot: str, name: str) -> None:
    what = catalog.described(slot, name)["what"]
    assert what.endswith("."), what
