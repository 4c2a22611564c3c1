"""Help texts and tables. Oracle: the lines of the pages that the tests of the documentation run,
the parameters that a verb's function has, and the letters of the cells."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from gobelin.interfaces import terminal
from gobelin.interfaces.cli import cli, main
from gobelin.interfaces.examples import EXAMPLES
from gobelin.interfaces.terminal import PLAIN_TEXT, say_table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]
LONG = ["supercalifragilistic" * 3, "a name with spaces " * 4, "x"]
TRAINING = {"--fusion", "--generator", "--minutes", "--dry-run"}


def options(verb: str) -> set[str]:
    return {name for option in cli.commands[verb].params for name in option.opts}


def test_each_verb_shows_an_example_that_the_documentation_runs() -> None:
    lines = {line.strip() for page in PAGES for line in page.read_text().splitlines()}
    run = {re.sub(r"^\$\(BIN\)/| --run \$\(RUN\)$", "", line) for line in lines}
    assert set(EXAMPLES) == set(cli.commands)
    for verb, example in EXAMPLES.items():
        assert example in run, example
        words = shlex.split(example)
        assert words[:2] == ["gobelin", verb]
        assert {w for w in words if re.match(r"--?[a-z]", w)} <= options(verb)


def test_a_verb_offers_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """`check` trains nothing."""
    assert options("fit") >= TRAINING and not options("check") & TRAINING
    with pytest.raises(SystemExit, match="2"):
        main(["check", "data.csv", "--target", "a", "--generator", "vaegan"])
    assert "No such option '--generator'" in capsys.readouterr().err
    for verb in cli.commands:
        main([verb, "--help"])
        said = capsys.readouterr().out
        assert EXAMPLES[verb] in said
        assert not re.search(r"\b(TEXT|FLOAT)\b", said), said  # what it takes is named


def test_the_list_of_verbs_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "..." not in said.partition("Commands:")[2]
    for verb, command in cli.commands.items():
        first = re.split(r"(?<=\.)\s", " ".join(str(command.help).split()))[0]
        assert f"{verb} {first}" in said


def cells(page: str) -> str:
    return re.sub(r"[\s│┃┏┓┗┛┡┩└┘┳┴┬╇━─]", "", page)


@pytest.mark.parametrize("width", [None, 40, 80])
def test_no_table_loses_a_letter(
    width: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """width: of a terminal; None for a pipe, where each row is one line."""
    monkeypatch.setenv("COLUMNS", "20")
    if width:
        wide = Console(width=width, force_terminal=True, soft_wrap=True, **PLAIN_TEXT)
        monkeypatch.setattr(terminal, "out", wide)
    say_table(["one column", "another"], [[LONG[0], LONG[1]], [LONG[2], LONG[0]]], whole=0)
    page = capsys.readouterr().out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", page)
    assert "…" not in plain
    if width is None:
        assert all(any(word in line for line in plain.splitlines()) for word in LONG[:2])
        assert len(plain.splitlines()) == 6
    for word in LONG:  # a letter is a letter of some row, wherever a line ends
        assert cells(plain).count("x") >= 1
        assert sum(plain.count(c) for c in set(word) - {" "}) >= len(word.replace(" ", ""))


def test_lists_in_a_pipe_hold_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "generators"])
    said = capsys.readouterr().out
    assert "…" not in said and "autoregressive" in said and "VAE/GAN" in said
