"""The report: what the verbs wrote into a run folder, joined into one HTML page and the same in
Markdown.

It joins and draws and computes nothing; every number is printed as its `Finding` holds it. Every
word that comes from data is escaped by the templates: by Jinja's autoescape in HTML, by
`markdown_text` on each expression in Markdown.

What this cannot show: whether a run folder was edited by hand; the page says what its files say.
"""

from __future__ import annotations

import functools
import json
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
from gobelin.evidence.conclusion import conclusions
from gobelin.evidence.findings import Exhibit, Finding
from gobelin.report.drawing import DRAWINGS, Table, bounds, cell, finite, inside, number, words

SECTIONS = {
    "augment": "Were the made images worth making?",
    "audit": "Was anyone copied, and how good are the images?",
    "generate": "What was made?",
    "evaluate": "How good are the predictions?",
    "search": "Does one kind of data find another?",
    "check": "Is the data sound?",
    "fit": "What was trained?",
    "curate": "Which labels look wrong?",
}  # the verdict first, then what it rests on
VERDICTS = {
    "harmed": "harmed",
    "helped": "helped",
    "helped, and so does a rival": "shared",
    "helped, rivals undecided": "undecided",
    "no effect": "none",
    "no evidence": "unknown",
}
TOLD = {"protocol": "How the study was done"}  # findings that are read as a paragraph
GLOSSARY = {
    "arm": (
        "one training set that is compared, named after what was added to the real rows; “real” is"
        " the real rows alone"
    ),
    "rival": (
        "a cheaper way to get more training rows: if it does as well, making images wasn't worth it"
    ),
    "95 % interval": (
        "where the true number probably lies; intervals made like this hold it 95 times in 100"
    ),
    "point": "a hundredth: from 70 % to 72 % is 2 points",
    "balanced accuracy": (
        "the share of rows answered right in a class, averaged over classes, so that rare ones"
        " count as much"
    ),
    "n": "how many rows, or groups of rows that belong together, a number rests on",
    "chance": "what guessing would score",
    "floor": (
        "what real images that were never trained on score themselves: the best that made images"
        " can be expected to reach"
    ),
    "training seed": (
        "generators and models are trained several times from different random starts, which are"
        " numbered"
    ),
}
OTHER = "other"
OWN_TABLE = 3  # findings of one name from which on they get a table of their own
LONG_TABLE = 25  # rows over which a table is folded
Record = TypeVar("Record", Finding, Exhibit)


@dataclass(frozen=True)
class View:
    """An exhibit ready to draw. problem: one line where it can't be. body: what its kind's drawing
    needs."""

    kind: str
    title: str
    caption: str
    problem: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """told: paragraphs, each with its heading."""

    key: str
    title: str
    told: list[tuple[str, str]]
    tables: list[Table]
    views: list[View]


def render(folder: Path, progress: Progress = silent) -> tuple[Path, Path]:
    """Write `report.html`, which needs no other file, and `report.md`, which links to the images
    beside it."""
    if not folder.is_dir():
        raise GobelinError(
            f"{folder}: there is no such run folder. Give the folder that a verb wrote into."
        )
    page = _page(folder, progress)
    html = _printed("report.html.jinja", page)
    markdown = re.sub(r"\n{3,}", "\n\n", _printed("report.md.jinja", page))
    paths = folder / "report.html", folder / "report.md"
    files.write_text(paths[0], html)
    files.write_text(paths[1], markdown)
    return paths


def markdown_text(value: object) -> str:
    """One line of words that Markdown prints as they are: nothing in it is markup."""
    if isinstance(value, Markup):
        return value
    text = (
        " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    )
    return re.sub(r"([\\`*_\[\]#~$])", r"\\\1", text).replace("|", "&#124;")


def _printed(name: str, page: Mapping[str, Any]) -> str:
    return _template(name).render(page).lstrip().encode("utf-8", "replace").decode()


@functools.cache
def _template(name: str) -> jinja2.Template:
    """Compiled once. Every expression is escaped: for HTML by Jinja, for Markdown by
    `markdown_text`."""
    html = ".html" in name
    environment = jinja2.Environment(
        autoescape=html,
        finalize=None if html else markdown_text,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(
        resources.files("gobelin.report").joinpath(name).read_text(encoding="utf-8")
    )


def _page(folder: Path, progress: Progress) -> dict[str, Any]:
    findings = _records(Finding, folder / "findings.jsonl")
    exhibits = _records(Exhibit, folder / "exhibits.jsonl")
    views: dict[str, list[View]] = {}
    for k, exhibit in enumerate(exhibits):
        source = exhibit.name.split("/")[0] if "/" in exhibit.name else OTHER
        views.setdefault(source, []).append(_view(exhibit, folder))
        progress("report", k + 1, len(exhibits))
    by_source: dict[str, list[Finding]] = {}
    for one in findings:
        by_source.setdefault(_source(one), []).append(one)
    present = set(views) | set(by_source)
    order = [key for key in SECTIONS if key in present] + sorted(present - set(SECTIONS))
    sections = [_section(key, by_source.get(key, []), views.get(key, [])) for key in order]
    return {
        "name": folder.resolve().name,
        "sections": sections,
        "no_findings": not findings,
        "long_table": LONG_TABLE,
        "verdicts": [_verdict(one, findings) for one in findings if one.name == "verdict"],
        "line": conclusions(findings).get("", ""),
        "glossary": GLOSSARY,
        "figures": [{"label": _what(one), **_cells(one)} for one in _key_figures(findings)],
        "credits": list(dict.fromkeys(one.credit for one in exhibits if one.credit)),
        "settings": _settings(folder),
        "environment": _environment(folder),
        "schema": _schema(folder),
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
    return finding.source.split("/")[0] or OTHER


def _section(key: str, found: Sequence[Finding], views: list[View]) -> Section:
    told = [(TOLD[one.name], one.note) for one in found if one.name in TOLD]
    return Section(
        key,
        SECTIONS.get(key, ""),
        told,
        tables([one for one in found if one.name not in TOLD]),
        views,
    )


def _verdict(finding: Finding, findings: Sequence[Finding]) -> dict[str, str]:
    """line: utility, leak and quality in one. next: what to try."""
    word, arm = finding.verdict or "no verdict", finding.scope.get("arm", "")
    advice = [one.note for one in findings if one.name == "next" and one.scope.get("arm") == arm]
    return _cells(finding) | {
        "word": word,
        "colour": VERDICTS.get(word, "unknown"),
        "against": finding.comparator,
        "arm": ", ".join(f"{key} {value}" for key, value in finding.scope.items()),
        "level": f"{100 * finding.level:.4g}",
        "line": conclusions(findings).get(arm, ""),
        "next": " ".join(advice),
    }


def _key_figures(findings: Sequence[Finding]) -> list[Finding]:
    """The score of everything together, recall at the smallest k (three at most) and the worst
    share of copies."""
    scores = [
        f
        for f in findings
        if f.name == "balanced_accuracy" and not f.scope and _source(f) == "evaluate"
    ]
    recalls = [f for f in findings if f.name.split("@")[0] == "recall" and _source(f) == "search"]
    smallest = min((f.name for f in recalls), key=lambda name: (len(name), name), default="")
    copies = [f for f in findings if f.name == "copies" and _source(f) == "audit"]
    worst = sorted(copies, key=lambda f: -(f.value or 0.0))[:1]
    return scores + [f for f in recalls if f.name == smallest][:3] + worst


def tables(findings: Sequence[Finding]) -> list[Table]:
    """Findings as tables of printed cells: a table for each name that is there often, one for all
    the others."""
    groups: dict[str, list[Finding]] = {}
    for one in findings:
        groups.setdefault(one.name.split("@")[0], []).append(one)
    few = [one for group in groups.values() if len(group) < OWN_TABLE for one in group]
    own = [_table(name, group) for name, group in groups.items() if len(group) >= OWN_TABLE]
    return ([_table("", few)] if few else []) + own


def _table(title: str, findings: Sequence[Finding]) -> Table:
    """Findings in rows. Where all share comparator and keys of the scope, each of those keys is a
    column."""
    first, cells = findings[0], [_cells(one) for one in findings]
    regular = (
        bool(title and first.scope)
        and len({(one.comparator, tuple(one.scope)) for one in findings}) == 1
    )
    named = len({one.name for one in findings}) > 1
    heads = ["what"] * named + [words(str(key)) for key in first.scope] if regular else ["what"]
    shared_note = (
        first.note if len(findings) > 1 and len({one.note for one in findings}) == 1 else ""
    )
    kept = [
        "value",
        *(name for name in cells[0] if name != "value" and any(row[name] for row in cells)),
    ]
    kept = [name for name in kept if not (name == "note" and shared_note)]
    leads = [
        (
            [words(one.name)] * named + [cell(value) for value in one.scope.values()]
            if regular
            else [_what(one)]
        )
        for one in findings
    ]
    rows = [lead + [row[name] for name in kept] for lead, row in zip(leads, cells, strict=True)]
    heading = words(title) + (
        f" against {first.comparator}" if regular and first.comparator else ""
    )
    foot = _how(findings) + [f"Every row: {shared_note}"] * bool(shared_note)
    return Table(heading, heads + kept, rows, " ".join(foot))


def _how(findings: Sequence[Finding]) -> list[str]:
    """Sentences on the intervals' levels and methods and on which direction is better, where it is
    the same for all."""
    bounded = [one for one in findings if finite(one.low) or finite(one.high)]
    levels = " and ".join(dict.fromkeys(f"{100 * one.level:.4g} %" for one in bounded))
    methods = "; ".join(dict.fromkeys(one.method for one in bounded if one.method))
    better = {one.better for one in findings if one.value is not None}
    direction = better.pop() if len(better) == 1 else ""
    told = [f"{levels} intervals{': ' * bool(methods)}{methods}."] if bounded else []
    return told + ([f"{direction.capitalize()} is better."] if direction else [])


def _cells(one: Finding) -> dict[str, str]:
    signed = bool(one.comparator) or one.name == "verdict"
    needed = f" of {one.needed_n} needed" if one.needed_n else ""
    return {
        "value": number(one.value, one.unit, signed),
        "interval": bounds(one.low, one.high, one.unit, signed),
        "chance": number(one.chance, one.unit) if finite(one.chance) else "",
        "floor": number(one.floor, one.unit) if finite(one.floor) else "",
        "n": f"{one.n}{needed}" if one.n else "",
        "verdict": one.verdict,
        "note": one.remark,
    }


def _what(one: Finding) -> str:
    against = [f"against {one.comparator}"] if one.comparator else []
    return ", ".join(
        [words(one.name), *(f"{key} {cell(value)}" for key, value in one.scope.items()), *against]
    )


def _view(exhibit: Exhibit, folder: Path) -> View:
    title, body, problem = words(exhibit.name.split("/", 1)[-1]), {}, ""
    found = inside(folder, exhibit.data)
    if found is None:
        problem = f"{exhibit.data} is not in the run folder, so this {exhibit.kind} is not shown."
    else:
        try:
            data = files.read_json(found)
            title, body = str(data.get("title") or title), DRAWINGS[exhibit.kind](data, folder)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            problem = (
                f"{exhibit.data} is not the data of a {exhibit.kind} ({type(error).__name__}:"
                f" {error})."
            )
    return View(exhibit.kind, title, exhibit.caption, problem, body)


def _mapping(folder: Path, name: str) -> Mapping[str, Any] | None:
    """The file's content, None where it is missing or does not hold one JSON object."""
    try:
        value = files.read_json(folder / name)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _settings(folder: Path) -> str | None:
    settings = _mapping(folder, "settings.json")
    return None if settings is None else json.dumps(settings, indent=1, ensure_ascii=False)


def _environment(folder: Path) -> Table | None:
    found = _mapping(folder, "environment.json")
    rows = [[str(key), cell(value) or "none"] for key, value in (found or {}).items()]
    return None if found is None else Table("", ["what", "found"], rows)


def _schema(folder: Path) -> list[Table] | None:
    """The columns, the fields that were made of them, and what no encoder reads."""
    schema = _mapping(folder, "schema.json")
    if schema is None:
        return None
    heads = {
        "columns": ["name", "kind", "role", "confidence", "reason"],
        "fields": ["name", "encoder", "columns"],
    }
    tables = []
    for key, names in heads.items():
        found = [row for row in schema.get(key) or [] if isinstance(row, dict)]
        tables.append(Table(key, names, [[cell(row.get(name)) for name in names] for row in found]))
    unread = [[cell(one)] for one in schema.get("unread") or []]
    return tables + ([Table("kept, but read by no encoder", ["column"], unread)] if unread else [])
