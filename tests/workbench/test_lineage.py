"""What a name means that the command `lineage` is given, where rows, keys and images have names."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from gobelin.core.errors import GobelinError
from gobelin.workbench.lineage import resolved

CONTENT = {
    "keys": {"k1": "a", "k2": "b", "c": "a"},
    "made": [
        {"count": 4},  # images without a row
        {"images": [{"id": "made-0-1", "row": "b"}, {"id": "made-0-2", "row": "a"}]},
    ],
}
RUN: Any = SimpleNamespace(
    checked=SimpleNamespace(
        rows=SimpleNamespace(
            named=SimpleNamespace(names=["p", "p", "q", "made-0-2", "c"]),
            dataset=SimpleNamespace(ids=("a", "b", "made-0-1", "made-0-2", "c")),
        )
    ),
    folder=SimpleNamespace(folder="run"),
)


@pytest.mark.parametrize(
    ("name", "group", "ids", "of"),
    [
        ("p", "p", ("a", "b"), ""),
        ("a", "p", ("a", "b"), ""),
        ("k1", "p", ("a", "b"), ""),
        ("made-0-1", "q", ("made-0-1",), "b"),  # a row, and an image of another one
        ("made-0-2", "made-0-2", ("made-0-2",), "a"),  # a group, too
        ("c", "c", ("c",), "a"),  # a row, and the key of another one
    ],
)
def test_a_row_goes_before_a_key_and_an_image_of_that_name(
    name: str, group: str, ids: tuple[str, ...], of: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert resolved(RUN, CONTENT, name) == (group, ids)
    said = "".join(r.getMessage() for r in caplog.records)
    assert (f"{name!r} also names something made from row {of!r}; the row" in said) is bool(of)


def test_an_image_and_an_unknown_name() -> None:
    content = {**CONTENT, "made": [{"images": [{"id": "made-0-9", "row": "b"}]}]}
    assert resolved(RUN, content, "made-0-9") == ("p", ("a", "b"))
    with pytest.raises(GobelinError, match="has no group, row, key or image 'made-0-8'"):
        resolved(RUN, content, "made-0-8")
