"""README and docs are true: tables, commands, settings, components, findings, links; they build."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from finding_names import names
from pages import ROOT, Page, commands, page_paths, read

from gobelin.core import catalog
from gobelin.interfaces.cli import cli
from gobelin.workbench.run.settings import Settings

PAGES = {path: read(path) for path in page_paths()}
# What was measured and decided once: its commands and names are of that day.
HISTORY = {Path("docs/log.md"), Path("docs/design.md"), Path("docs/calibration.md")}
LANGUAGES = {"python", "sh", "console", "toml", "json", "csv", "text"}
SCORES = {"accuracy", "rmse"}  # names of comparisons: that of the score


def each_page(*left_out: Path) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", [p for p in PAGES if p not in left_out], ids=str)


def test_tables_are_those_of_the_results_files() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/readme.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@each_page(*HISTORY)
def test_every_command_and_option_exists(path: Path) -> None:
    page, known = (
        PAGES[path],
        {o for command in cli.commands.values() for p in command.params for o in p.opts},
    )
    for words in _calls(page):
        verb, *rest = words
        if verb.isupper() or verb.startswith("-"):  # `gobelin VERB --help`, `gobelin --version`
            continue
        assert verb in cli.commands, " ".join(words)
        options = {o for p in cli.commands[verb].params for o in p.opts} | {"--help", "-h"}
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= options, " ".join(words)
    for span in page.spans():
        if re.match(r"--[a-z]", span):
            option = re.split(r"[\s=]", span)[0]
            assert option in known | {"--help", "--version"}, span


@each_page(*HISTORY)
def test_every_setting_exists(path: Path) -> None:
    page = PAGES[path]
    texts = [*page.spans(), *(block.text for block in page.blocks() if not block.code)]
    for name in re.findall(r"--set '?([a-z_]+(?:\.[\w]+)*)=", "\n".join(texts)):
        value: object = Settings()
        for part in name.split("."):
            if not dataclasses.is_dataclass(value):
                break  # settings of a component, or a column
            assert part in {f.name for f in dataclasses.fields(value)}, f"--set {name}"
            value = getattr(value, part)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_component_is_named() -> None:
    written = {span for page in PAGES.values() for span in page.spans()}
    for slot in set(catalog.SLOTS) - {"samples"}:
        for name in catalog.names(slot):
            assert name in written, f"{slot}: {name}"


def test_every_finding_is_named() -> None:
    """And no name stands there that the code doesn't write."""
    page, (found, unread) = PAGES[Path("docs/reference/findings.md")], names()
    assert not unread, "the name of a finding can't be read from the source"
    told = set()
    text = (
        (ROOT / page.path)
        .read_text(encoding="utf-8")
        .split("## Names, by verb")[1]
        .split("## Exhibits")[0]
    )
    for row in re.findall(r"^\| (`.+?) \|", text, re.M):
        told |= set(re.findall(r"`([^`]+)`", row))
    written = set(page.spans())
    assert found | SCORES <= written
    assert told <= found | SCORES


@each_page()
def test_links_lead_somewhere(path: Path) -> None:
    for link in PAGES[path].links():
        if re.match(r"(https?|mailto):", link):
            continue
        target, _, anchor = link.partition("#")
        file = (ROOT / path.parent / target).resolve() if target else (ROOT / path)
        assert file.exists(), link
        if anchor and file.suffix == ".md":
            assert anchor in read(file.relative_to(ROOT)).anchors(), link


@each_page()
def test_every_block_names_its_language(path: Path) -> None:
    """`text` is for what is no code: output, a tree of files."""
    for block in PAGES[path].blocks():
        assert block.language in LANGUAGES, f"{path}:{block.line}: {block.language!r}"


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    """The check of built pages sees what is planted, and no more."""
    (tmp_path / "a.html").write_text(
        '<a href="https://a.org"></a><script src="https://b.org/x.js"></script><img src="d.png">'
        '<link rel="stylesheet" href="//c.org/y.css"><script>fetch("https://g.org")</script>'
        "<style>@font-face { src: url(https://e.org/f.woff) }</style>"
    )
    (tmp_path / "c.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="http://k.org/p.png"/></svg>'
    )
    (tmp_path / "b.css").write_text('@import "https://h.org/z.css"; p { background: url(i.png) }')
    seen = [line.split("//")[1][:5] for line in _remote(tmp_path)]
    assert sorted(seen) == ["b.org", "c.org", "e.org", "g.org", "h.org", "k.org"]


@pytest.mark.skipif(importlib.util.find_spec("furo") is None, reason="pip install 'gobelin[docs]'")
def test_the_pages_build(tmp_path: Path) -> None:
    """Warnings are errors; and nothing is loaded from elsewhere."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "--quiet",
        "--builder",
        "html",
    ]
    paths = [str(ROOT / "src"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command += ["--doctree-dir", str(tmp_path / "doctrees"), "docs", str(tmp_path / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert not list(_remote(tmp_path / "html"))
    assert (tmp_path / "html" / "searchindex.js").is_file()


def test_each_promise_of_security_names_tests_that_are_there() -> None:
    """Every row of a table of promises ends with files that hold tests. Oracle: the files."""
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`tests/" in line]
    header = re.compile(r"\| (You open|Promise)")
    plain = [r for r in text.splitlines() if r.startswith("| ") and not header.match(r)]
    assert len(rows) > 15 and rows == plain
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)`", row.rsplit("|", 2)[1])
        for name in named:
            place = ROOT / name
            files = sorted(place.glob("test_*.py")) if place.is_dir() else [place]
            assert files and all("def test_" in f.read_text(encoding="utf-8") for f in files), name


def _calls(page: Page) -> Iterator[list[str]]:
    """The words behind `gobelin` in commands and in code in sentences. A block that shows a mistake
    is left out."""
    blocks = [b for b in page.blocks() if b.language in ("", "sh", "console") and not b.code]
    lines = [line for block in blocks for line in commands(block)]
    for line in [*lines, *page.spans()]:
        for part in re.split(r"\s(?:\||&&|;)\s", line):
            words = shlex.split(part, comments=True) if part.startswith("gobelin ") else []
            if len(words) > 1:
                yield words[1:]


def _remote(folder: Path) -> Iterator[str]:
    spec = importlib.util.spec_from_file_location(
        "remote_assets", ROOT / "docs/extensions/remote_assets.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield from module.remote(folder)


def test_the_design_names_what_exists() -> None:
    """Each `path.py` and `package/` of the page on the design, from the project or its source."""
    places = (ROOT, ROOT / "src" / "gobelin")
    paths = {
        span
        for span in PAGES[Path("docs/design.md")].spans()
        if re.fullmatch(r"[\w/]+(\.py|/)", span)
    }
    assert len(paths) > 50
    assert not [path for path in paths if not any((place / path).exists() for place in places)]
