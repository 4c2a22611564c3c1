"""The start of the command line: a command that needs no data and no model loads none of the large
libraries. Oracle: what each process had loaded when it ended, its exit code and what it printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gobelin import __version__
from gobelin.core import catalog
from gobelin.interfaces.cli import cli

LARGE = {
    *("PIL", "jinja2", "lancedb", "numpy", "pandas", "pyarrow", "pydantic", "safetensors"),
    *("scipy", "sklearn", "skops", "torch"),
}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "COLUMNS": "200"}
STARTED = """
import atexit, json, sys
place = sys.argv.pop(1)
atexit.register(lambda: open(place, "w").write(json.dumps(sorted(sys.modules))))
from gobelin.__main__ import start
start()
"""
EACH_HELP = """
import sys
from gobelin.interfaces.cli import cli, main
for words in [[], ["-h"], *([verb, "--help"] for verb in cli.commands)]:
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, words
"""
COMMANDS = {
    "--version": (0, f"gobelin, version {__version__}"),
    "--help": (0, "Commands:"),
    "search --help": (0, "--text WORDS"),
    "list": (0, "Scarce real rows again"),
    "list generators --json": (0, '"conditions": "mask, source, target, vectors"'),
    "list encoder": (2, "list: no slot 'encoder'. Did you mean 'encoders'?"),
    "chek data.csv": (2, "gobelin: No such command 'chek'. Did you mean 'check'?"),
    "fit data.csv": (2, "gobelin: Missing option '--target'. gobelin fit --help lists"),
    "predict run new.csv": (2, "gobelin: Missing option '--out'. gobelin predict --help lists"),
    "check a.csv --target Home faction": (2, "(faction). A value with blanks needs quotes"),
    "search run --text red fox": (2, "(fox). A value with blanks needs quotes"),
    "evaluate run --nosuch": (2, "gobelin: No such option '--nosuch'"),
    "generate run -n many": (2, "gobelin: Invalid value for '-n'"),
    "save run": (2, "save: nowhere to save to."),
}


def large(loaded: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in loaded} & LARGE


@pytest.mark.parametrize("words", COMMANDS)
def test_no_large_library_is_loaded(words: str, tmp_path: Path) -> None:
    code, said = COMMANDS[words]
    command = [sys.executable, "-c", STARTED, str(tmp_path / "loaded"), *words.split()]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == code and said in (done.stderr if code else done.stdout), done
    assert large(json.loads((tmp_path / "loaded").read_text())) == set()


def test_no_help_text_loads_a_large_library() -> None:
    code = f"{EACH_HELP}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    *texts, loaded = done.stdout.splitlines()
    assert sum(line.startswith("Usage: ") for line in texts) == len(cli.commands) + 2
    assert large(json.loads(loaded)) == set()


def test_the_flags_of_a_query_are_those_of_the_encoders() -> None:
    """Second implementation: the classes, imported."""
    found = {name: catalog.find("encoders", name) for name in catalog.names("encoders")}
    flags = {f"--{one.flag}": name for name, one in found.items() if one.flag and one.default}
    assert set(flags) == {
        *("--audio", "--image", "--mesh", "--place", "--row", "--series", "--text", "--volume"),
    }
    for verb in ("search", "describe", "generate"):
        offered = [o for o in cli.commands[verb].params if str(o.name).startswith("query_")]
        assert {o.opts[0] for o in offered} == set(flags)
        assert all(o.help and o.metavar for o in offered)
