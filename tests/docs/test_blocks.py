"""Every block of code in README and docs runs, page by page, top to bottom, in a folder of its own.

`python` blocks of a page share their names. `sh` and `console` blocks are commands: `gobelin`
runs in this process, with quick settings below those of the page; anything else runs in a shell.
`toml` and `json` must be readable. A block behind `<!-- not run: REASON -->` is left out; each
command of one behind `<!-- exits with 2 -->` must fail so.

A tutorial starts in an empty folder. Every other page starts with what docs/how-to/toy_data.md
makes: records.csv, its images, quick.toml and the fitted run runs/first.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import processor
import pytest
from pages import ROOT, Block, commands, page_paths, read

import gobelin
from gobelin.core import config
from gobelin.interfaces.cli import main

DATA = Path("docs/how-to/toy_data.md")
PAGES = {path: read(path).blocks() for path in page_paths()}
CODE = ("python", "sh", "console", "toml", "json")
QUICK = {
    "runtime": processor.SETTINGS,
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "align": {"width": 32, "steps": 20},
    "tune": {"steps": 5},
    "generator": {"steps": 20, "size": 16},
    "augment": {"seeds": 2, "ratio": (0.25,)},
    "judge": {"planted": 42},
}
SMALL = {"width": 8, "batch": 16}  # of `vaegan`, the default


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of a page stand on top of QUICK."""
    begin = gobelin.Workbench.__init__

    def quickly(
        self: Any,
        data: Any,
        target: Any = None,
        run: Any = "run",
        settings: Any = None,
        *rest: Any,
        **more: Any,
    ) -> None:
        given = config.nested(settings or {})
        base: dict[str, Any] = json.loads(json.dumps(QUICK))
        if given.get("generator", {}).get("name", "vaegan") == "vaegan":
            base["generator"]["settings"] = SMALL
        for kind in given.get("encoders", {}):
            base["encoders"].pop(kind, None)
        begin(self, data, target, run, config.merge(base, given), *rest, **more)

    monkeypatch.setattr(gobelin.Workbench, "__init__", quickly)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture
def folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Path]]:
    """An empty folder, or one with the small data set. Always the same path: a run remembers it."""
    here, there = place / "page", place / "data"

    def begin(page: Path) -> Path:
        shutil.rmtree(here, ignore_errors=True)
        prepared = page.parts[:2] != ("docs", "tutorials") and page != DATA and DATA in PAGES
        if prepared and not there.exists():
            here.mkdir()
            monkeypatch.chdir(here)
            run(PAGES[DATA])
            shutil.copytree(here, there, symlinks=True)
            shutil.rmtree(here)
        shutil.copytree(there, here, symlinks=True) if prepared else here.mkdir()
        monkeypatch.chdir(here)
        return here

    yield begin
    monkeypatch.chdir(ROOT)


# A page opens an image without closing it, as people do.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "path", [p for p, blocks in PAGES.items() if any(b.language in CODE for b in blocks)], ids=str
)
def test_every_block_runs(path: Path, folder: Callable[[Path], Path]) -> None:
    here = folder(path)
    run(PAGES[path])
    told = set(
        re.findall(
            r"`([^`]+)`", (ROOT / "docs/reference/run_folder.md").read_text(encoding="utf-8")
        )
    )
    told = {name.split("/")[0] for name in told}
    for settings in here.glob("**/settings.json"):
        if not (settings.parent / "manifest.json").exists():
            assert {p.name for p in settings.parent.iterdir()} <= told, (
                "docs/reference/run_folder.md lacks a name"
            )


def test_blocks_that_are_not_run_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [block for some in PAGES.values() for block in some if block.language in CODE]
    left = [block for block in blocks if block.not_run]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(blocks) - len(left)} blocks of README and docs run, {len(left)} are not run\n"
        )
        sys.stdout.writelines(f"  {b.page}:{b.line}: {b.not_run}\n" for b in left)
    assert 3 * len(left) <= len(blocks)


def run(blocks: list[Block]) -> None:
    """All of a page that is to be run; an error names the page and the line."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        where = f"{block.page}:{block.line}"
        if block.not_run:
            continue
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(ROOT / block.page), "exec"), names)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        elif block.language in ("sh", "console"):
            for command in commands(block):
                assert _called(command) == block.code, f"{where}: {command}"


def _called(command: str) -> int:
    """The exit code of one line. A line with pipes or more than one command goes to the shell."""
    words = shlex.split(command, comments=True)
    if words[0] != "gobelin" or {"|", "&&", ";", ">", ">>"} & set(words):
        paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        places = [str(Path(sys.executable).parent), os.environ["PATH"]]
        more = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PATH": os.pathsep.join(places)}
        return subprocess.run(["bash", "-c", command], env=os.environ | more).returncode
    try:
        main(words[1:])
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0
