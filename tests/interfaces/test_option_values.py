"""What options mean. Oracle: the same written out by hand."""

from __future__ import annotations

import pytest

from gobelin.core.errors import GobelinError
from gobelin.interfaces.cli import cli
from gobelin.interfaces.option_values import MOST_IMAGES, parsed_seeds, query_of, weighted_query_of


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-3", [0, 1, 2, 3]), ("3,7, 9-11", [3, 7, 9, 10, 11]), ("5-5", [5])]
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert parsed_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "1,,2", "²", f"0-{MOST_IMAGES}"])
def test_other_seeds_are_one_line(text: str) -> None:
    with pytest.raises(GobelinError) as caught:
        parsed_seeds(text)
    assert "\n" not in str(caught.value) and repr(text) in str(caught.value)


def test_a_query_has_its_flags_and_columns() -> None:
    options = {"query_text": ("a lamp",), "query_image": (), "k": 5}
    assert query_of(options, ["side=3", "note=a=b"]) == {
        "text": "a lamp",
        "side": "3",
        "note": "a=b",
    }
    with pytest.raises(GobelinError, match="COLUMN=VALUE was expected"):
        query_of({}, ["side"])


@pytest.mark.parametrize("verb", ["describe", "explain", "generate"])
def test_several_rows_add_up_and_other_flags_are_given_once(verb: str) -> None:
    """The last one stood for all, without a word."""

    def asked(*words: str) -> dict[str, str]:
        context = cli.commands[verb].make_context(verb, ["run", *words])
        return query_of(context.params, context.params["columns"])

    assert asked("--row", "size=8", "--row", "block=d,n=2") == {"row": "size=8,block=d,n=2"}
    assert asked("--row", "size=8", "--text", "x") == {"row": "size=8", "text": "x"}
    for flag, one, other in (("--text", "a", "b"), ("--image", "a.png", "b.png")):
        with pytest.raises(GobelinError, match=f"^{flag[2:]}: is given twice"):
            asked(flag, one, flag, other)
    with pytest.raises(GobelinError, match="^side: is given twice"):
        asked("--query", "side=3", "--query", "side=4")


def test_a_weight_ends_a_text() -> None:
    found = weighted_query_of(
        {"query_text": ("red^2", "blue"), "query_image": ()}, ["side=3^0.5"], ["text=green"]
    )
    assert found["query"] == {"text": ["red", "blue", "green"], "side": ["3"]}
    assert found["weights"] == {"text": [2.0, 1.0, -1.0], "side": [0.5]}
