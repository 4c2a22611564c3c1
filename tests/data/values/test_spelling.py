"""How values are spelled. Oracles: the set of all spellings, counts of the texts that are made."""

from __future__ import annotations

from typing import Any

import pytest

from gobelin.data.values.spelling import one_value, spelled
from gobelin.embedding.columns.roles import role_remark


class Counted:
    """A value that counts how often it is written as a text."""

    texts = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        Counted.texts += 1
        return self.text


@pytest.mark.parametrize(
    "values",
    [[], [1], [1, 1.0, "1"], ["a", " a"], ["a", "b"], [True, "true"], [[1, 2], [1, 2]], [[1], [2]]],
)
def test_one_value_is_one_spelling(values: list[Any]) -> None:
    assert one_value(values) == (len({spelled(v) for v in values}) == 1)


@pytest.mark.parametrize("ask", [one_value, lambda values: role_remark("x", values)])
def test_not_every_value_becomes_a_text(ask: Any) -> None:  # noqa: ANN401
    """A column of long lists would take several times its size as texts."""
    Counted.texts = 0
    ask([Counted(f"cell {k}") for k in range(1_000)])
    assert Counted.texts < 20
