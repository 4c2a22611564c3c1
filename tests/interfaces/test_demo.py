"""The command that the demo names at its end is one that the command line takes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pytest

from gobelin.core import catalog
from gobelin.interfaces import cli, demo

TRIED: list[Sequence[Mapping[str, str]]] = [
    (),
    ({"text": "a 'red' flower; rm -rf /"},),
    ({"row": "region=Africa,latitude=-10"},),
    ({"prices": "[100, 101, 99]"},),
    ({"text": "two", "weight (kg)": "3"},),
]
OWN = [catalog.find("samples", name)().queries()[:1] for name in catalog.names("samples")]


def read(line: str) -> tuple[str, dict[str, object]]:
    """The verb of a line, and its options. Oracle: the shell's parser and click's."""
    program, verb, *words = shlex.split(line)
    command = cli.cli.get_command(click.Context(cli.cli), verb)
    assert program == "gobelin" and command is not None
    return verb, command.make_context(verb, words).params


@pytest.mark.parametrize("queries", [*TRIED, *OWN], ids=str)
def test_images_of_the_sample_sets_own_query(queries: Sequence[Mapping[str, str]]) -> None:
    verb, found = read(demo.following(Path("my runs/demo"), queries))
    assert (verb, found["run"], found["target"]) == ("generate", Path("my runs/demo"), Path("made"))
    asked = dict(queries[0]) if queries else {}
    for flag in ("text", "row"):
        assert found[f"query_{flag}"] == ((asked.pop(flag),) if flag in asked else ())
    assert found["columns"] == tuple(f"{name}={value}" for name, value in asked.items())


def test_without_images_the_run_is_shown() -> None:
    verb, found = read(demo.following(Path("my runs/demo"), None))
    assert (verb, found["run"]) == ("show", Path("my runs/demo"))
