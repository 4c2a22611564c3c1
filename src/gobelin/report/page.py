"""The report: the findings and exhibits of a run folder as one HTML page, and as Markdown.

It computes nothing. Every number is printed as its `Finding` holds it. Every text that comes from
data is escaped: by Jinja's autoescape in HTML, by `markdown_text` on each expression in Markdown,
and in both by `printable`, so that no control or bidirectional character reaches a reader.

What this cannot show: whether a run folder was edited by hand. The page shows what its files hold.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from markupsafe import Markup

from gobelin.core import files
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, silent
from gobelin.core.printable import json_text, printable
from gobelin.evidence.conclusion import Say, conclusions
from gobelin.evidence.findings import (
    Exhibit,
    Finding,
    plain_verdict,
)
from gobelin.report import answer, opening, rows_drawn, waterfall
from gobelin.report.drawing import DRAWINGS, PrintedTable, cell, words
from gobelin.report.finding_tables import label, plain_key, printed_cells, tables
from gobelin.report.glossary import GLOSSARY, STUDY_GLOSSARY, STUDY_WORDS
from gobelin.report.pictures import inside

# verb: heading. The verdict comes first, then the findings that it rests on.
SECTIONS = {
    "augment": "Did the generated images help?",
    "audit": "Do images copy rows or give them away, and how good are they?",
    "generate": "Which images were generated?",
    "evaluate": "How good are the predictions?",
    "explain": "What do the predictions rest on?",
    "search": "Does one kind of data find another?",
    "check": "Is the data sound?",
    "fit": "What was trained?",
    "curate": "Which labels look wrong?",
}
VERDICT_COLOURS = {
    "harmed": "harmed",
    "helped": "helped",
    "helped, and so does a rival": "shared",
    "helped, rivals undecided": "undecided",
    "no effect": "none",
    "no evidence": "unknown",
}
PARAGRAPHS = {"protocol": "How the study was done"}  # findings whose note is printed as a paragraph
OTHER_SOURCE = "other"  # section of findings that name no verb
EXAMPLES = "check/examples"  # the exhibit at the top of the page
DRAWN = DRAWINGS | {
    "records": rows_drawn.records,
    "matrix": rows_drawn.matrix,
    "waterfall": waterfall.waterfall,
}
LONG_TABLE = 25  # a table with more rows is folded
Record = TypeVar("Record", Finding, Exhibit)


@dataclass(frozen=True)
class View:
    """An exhibit, ready to draw."""

    name: str  # of the exhibit
    kind: str
    title: str
    caption: str
    problem: str  # one line if it can't be drawn, else ''
    body: Mapping[str, Any]  # the result of its function in `DRAWN`


@dataclass(frozen=True)
class Section:
    """The part of the report about one verb."""

    key: str  # the verb
    title: str
    paragraphs: list[tuple[str, str]]  # heading and text
    tables: list[PrintedTable]
    views: list[View]


def render(folder: Path, progress: Progress = silent, say: Say = str) -> tuple[Path, Path]:
    """Write `report.html`, which needs no other file, and `report.md`, which links to the images.

    say: puts a sentence on images into the words of what the run generates. Returns both paths.
    GobelinError if the folder is missing or its files are damaged.
    """
    if not folder.is_dir():
        raise GobelinError(f"{folder}: there is no such run folder. Give the folder of a run.")
    page = _page(folder, progress, say)
    html = _printed("report.html.jinja", page)
    markdown = re.sub(r"\n{3,}", "\n\n", _printed("report.md.jinja", page))
    paths = folder / "report.html", folder / "report.md"
    files.write_text(paths[0], html)
    files.write_text(paths[1], markdown)
    return paths


def markdown_text(value: object) -> str:
    """One line of text in which nothing is Markdown markup."""
    if isinstance(value, Markup):
        return value
    text = printable(" ".join(str(value).split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]#~$])", r"\\\1", text).replace("|", "&#124;")


def html_text(value: object) -> object:
    """The text of an expression before Jinja escapes it. Markup of our own templates stays."""
    text = isinstance(value, str) and not isinstance(value, Markup)
    return printable(value, lines=True) if text else value


def _printed(name: str, page: Mapping[str, Any]) -> str:
    return _template(name).render(page).lstrip()


@functools.cache
def _template(name: str) -> jinja2.Template:
    """The compiled template. Every expression is escaped: for HTML by Jinja, for Markdown by
    `markdown_text`."""
    html = ".html" in name
    environment = jinja2.Environment(
        autoescape=html,  # noqa: S701 - Markdown has an escape of its own
        finalize=html_text if html else markdown_text,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(
        resources.files("gobelin.report").joinpath(name).read_text(encoding="utf-8")
    )


def _page(folder: Path, progress: Progress, say: Say) -> dict[str, Any]:
    findings = _records(Finding, folder / "findings.jsonl")
    exhibits = _records(Exhibit, folder / "exhibits.jsonl")
    views: dict[str, list[View]] = {}
    for k, exhibit in enumerate(exhibits):
        source = exhibit.name.split("/")[0] if "/" in exhibit.name else OTHER_SOURCE
        views.setdefault(source, []).append(_view(exhibit, folder))
        progress("report", k + 1, len(exhibits))
    by_source: dict[str, list[Finding]] = {}
    for finding in findings:
        by_source.setdefault(_source(finding), []).append(finding)
    present = set(views) | set(by_source)
    order = [key for key in SECTIONS if key in present] + sorted(present - set(SECTIONS))
    below = {key: [v for v in some if v.name != EXAMPLES] for key, some in views.items()}
    sections = [
        _section(key, say(SECTIONS.get(key, "")), by_source.get(key, []), below.get(key, []))
        for key in order
    ]
    studied = bool(present & set(STUDY_WORDS))
    return {
        "name": folder.resolve().name,
        **_opening(folder, findings, views, say),
        "sections": sections,
        "no_findings": not findings,
        "long_table": LONG_TABLE,
        "say": say,
        "verdicts": [_verdict(f, findings, say) for f in findings if f.name == "verdict"],
        "line": conclusions(findings, say).get("", ""),
        "glossary": {
            word: say(told)
            for word, told in (GLOSSARY | (STUDY_GLOSSARY if studied else {})).items()
        },
        "studied": studied,
        "generated": bool(present & {*STUDY_WORDS, "generate"}),
        "figures": [{"label": label(f), **printed_cells(f)} for f in _key_figures(findings)],
        "credits": list(dict.fromkeys(e.credit for e in exhibits if e.credit)),
        "settings": _settings(folder),
        "environment": _environment(folder),
        "schema": _schema(folder),
    }


def _opening(
    folder: Path,
    findings: Sequence[Finding],
    views: Mapping[str, Sequence[View]],
    say: Say,
) -> dict[str, Any]:
    """The top of the page; see `report.opening`."""
    data = (_mapping(folder, "settings.json") or {}).get("data")
    data = data if isinstance(data, dict) else {}
    fields = (_mapping(folder, "schema.json") or {}).get("fields") or []
    names = [str(f.get("name", "")) for f in fields if isinstance(f, dict)]
    sheets = [v for v in views.get("generate", ()) if v.kind == "sheet" and not v.problem]
    shown = opening.strips(sheets[0].body["groups"], findings) if sheets else []
    target = str(data.get("target") or "")
    path = str(data.get("path") or "")
    return {
        "word": answer.verdict(findings) if not shown else "",
        "title": opening.title(target, bool(shown), say),
        "sentences": opening.sentences_on_images(findings, target, names, say)
        if shown
        else opening.sentences(findings, target, names, path),
        "strips": shown,
        "examples": next((v for v in views.get("check", ()) if v.name == EXAMPLES), None),
    }


def _records(kind: type[Record], path: Path) -> list[Record]:
    try:
        return [kind.from_dict(row) for row in files.read_lines(path)]
    except (ValueError, TypeError) as error:
        raise GobelinError(
            f"{path}: not every line is a {kind.__name__.lower()}, found: {error}. Run the verb"
            " that wrote it again."
        ) from error


def _source(finding: Finding) -> str:
    return finding.source.split("/")[0] or OTHER_SOURCE


def _section(key: str, title: str, findings: Sequence[Finding], views: list[View]) -> Section:
    return Section(
        key,
        title,
        [(PARAGRAPHS[f.name], f.note) for f in findings if f.name in PARAGRAPHS],
        tables([f for f in findings if f.name not in PARAGRAPHS]),
        views,
    )


def _verdict(finding: Finding, findings: Sequence[Finding], say: Say) -> dict[str, str]:
    """One verdict for the top of the page. line: help, copies and quality in one sentence. next:
    advice."""
    word, arm = finding.verdict or "no verdict", finding.scope.get("arm", "")
    advice = [f.note for f in findings if f.name == "next" and f.scope.get("arm") == arm]
    return printed_cells(finding) | {
        "word": plain_verdict(word),
        "colour": VERDICT_COLOURS.get(word, "unknown"),
        "against": finding.comparator,
        "arm": ", ".join(f"{plain_key(key)} {value}" for key, value in finding.scope.items()),
        "level": f"{100 * finding.level:.4g}",
        "line": conclusions(findings, say).get(arm, ""),
        "next": " ".join(advice),
    }


def _key_figures(findings: Sequence[Finding]) -> list[Finding]:
    """The main score over all rows, recall at the smallest k (the best three), and the worst
    share of copies that an audit could tell."""
    main = answer.main_score(findings)
    scores = [main] if main else []
    recalls = [f for f in findings if f.name.split("@")[0] == "recall" and _source(f) == "search"]
    smallest = min((f.name for f in recalls), key=lambda name: (len(name), name), default="")
    copies = [f for f in findings if f.name == "copies" and _source(f) == "audit" and f.sure]
    worst = sorted(copies, key=lambda f: -(f.value or 0.0))[:1]
    found = [f for f in recalls if f.name == smallest and "by" not in f.scope]
    best = sorted(found, key=lambda f: -(f.value or 0.0))[:3]
    return scores + best + worst


def _view(exhibit: Exhibit, folder: Path) -> View:
    title, body, problem = words(exhibit.name.split("/", 1)[-1]), {}, ""
    path = inside(folder, exhibit.data)
    if path is None:
        problem = f"{exhibit.data} is not in the run folder, so this {exhibit.kind} is not shown."
    else:
        try:
            data = files.read_json(path)
            title, body = str(data.get("title") or title), DRAWN[exhibit.kind](data, folder)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            problem = (
                f"{exhibit.data} is not the data of a {exhibit.kind} ({type(error).__name__}:"
                f" {error})."
            )
    return View(exhibit.name, exhibit.kind, title, exhibit.caption, problem, body)


def _mapping(folder: Path, name: str) -> Mapping[str, Any] | None:
    """The file's content, None if it is missing or does not hold one JSON object."""
    try:
        value = files.read_json(folder / name)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _settings(folder: Path) -> str | None:
    settings = _mapping(folder, "settings.json")
    return None if settings is None else json_text(settings, indent=1)


def _environment(folder: Path) -> PrintedTable | None:
    stored = _mapping(folder, "environment.json")
    rows = [[str(key), cell(value) or "none"] for key, value in (stored or {}).items()]
    return None if stored is None else PrintedTable("", ["what", "found"], rows)


def _schema(folder: Path) -> list[PrintedTable] | None:
    """The columns, the fields made of them, and the columns that no encoder reads."""
    schema = _mapping(folder, "schema.json")
    if schema is None:
        return None
    heads = {
        "columns": ["name", "kind", "role", "confidence", "reason"],
        "fields": ["name", "encoder", "columns"],
    }
    tables = []
    for key, names in heads.items():
        stored = [row for row in schema.get(key) or [] if isinstance(row, dict)]
        cells = [[cell(row.get(name)) for name in names] for row in stored]
        tables.append(PrintedTable(key, names, cells))
    unread = [[cell(column)] for column in schema.get("unread") or []]
    return tables + (
        [PrintedTable("kept, but read by no encoder", ["column"], unread)] if unread else []
    )
