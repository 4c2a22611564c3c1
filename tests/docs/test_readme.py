"""The README says what is so: its tables come from results files, its commands exist, its Python
runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from gobelin.core import catalog
from gobelin.interfaces.cli import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_tables_are_those_of_the_results_files() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/readme.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_and_option_in_it_exists() -> None:
    used = re.findall(r"^gobelin ([a-z]+)(.*)$", README, re.M)
    assert len(used) > 8
    for verb, rest in used:
        known = {o for p in cli.commands[verb].params for o in p.opts}
        assert set(re.findall(r"(?<!\w)(--?[a-z][a-z-]*)", rest)) <= known, verb


def test_every_component_is_named_in_it() -> None:
    for slot in ("readers", "encoders", "generators", "rivals", "metrics", "audits", "fusion"):
        for name in catalog.names(slot):
            assert f"`{name}`" in README, name


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_its_python_runs(tmp_path: Path) -> None:
    """The example, on the drawn shapes in the place of the reader's own file."""
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    source = catalog.build("samples", "shapes", {"rows": 160}).write(tmp_path / "data", 0)
    quick = (
        '"runtime": {"threads": 1}, "align": {"steps": 20}, '
        '"encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}}, '
        '"generator": {"steps": 20, "size": 16, "settings": {"width": 8, "batch": 16}}, '
        '"augment": {"seeds": 2, "ratio": (0.25,)}, "judge": {"planted": 42}'
    )
    code = (
        code.replace('"records.csv"', repr(str(source)))
        .replace('"group"', '"shape"')
        .replace('"a class"', '"circle"')
    )
    code = code.replace("settings={}", "settings={" + quick + "}").replace(
        '"runs/first"', repr(str(tmp_path / "run"))
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file() and "verdict" in done.stdout
