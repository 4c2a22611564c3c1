"""Findings as tables of printed cells. It computes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.evidence.findings import PLAIN_KEYS, Finding, finite, number, plain_verdict
from gobelin.report.drawing import PrintedTable, bounds, cell, words

LEAST_OF_A_NAME = 3  # as many findings of one name get a table of their own


def tables(findings: Sequence[Finding]) -> list[PrintedTable]:
    """Findings as tables of printed cells: a table for each frequent name, and one table for all
    other findings."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.name.split("@")[0], []).append(finding)
    few = [f for group in groups.values() if len(group) < LEAST_OF_A_NAME for f in group]
    many = [_table(name, group) for name, group in groups.items() if len(group) >= LEAST_OF_A_NAME]
    return ([_table("", few)] if few else []) + many


def _table(title: str, findings: Sequence[Finding]) -> PrintedTable:
    """Findings in rows. If all have the same comparator and the same keys of the scope, each key is
    a column."""
    first, cells = findings[0], [printed_cells(f) for f in findings]
    regular = (
        bool(title and first.scope) and len({(f.comparator, tuple(f.scope)) for f in findings}) == 1
    )
    named = len({f.name for f in findings}) > 1
    heads = ["what"] * named + [plain_key(key) for key in first.scope] if regular else ["what"]
    shared_note = first.note if len(findings) > 1 and len({f.note for f in findings}) == 1 else ""
    shown = [
        "value",
        *(name for name in cells[0] if name != "value" and any(row[name] for row in cells)),
    ]
    shown = [name for name in shown if not (name == "note" and shared_note)]
    leads = [
        (
            [words(f.name)] * named + [cell(value) for value in f.scope.values()]
            if regular
            else [label(f)]
        )
        for f in findings
    ]
    rows = [lead + [row[name] for name in shown] for lead, row in zip(leads, cells, strict=True)]
    heading = words(title) + (
        f" against {first.comparator}" if regular and first.comparator else ""
    )
    foot = _shared_facts(findings) + [f"Every row: {shared_note}"] * bool(shared_note)
    return PrintedTable(heading, heads + shown, rows, " ".join(foot))


def _shared_facts(findings: Sequence[Finding]) -> list[str]:
    """Sentences on the levels and methods of the intervals, and on the better direction if it is
    the same for all."""
    bounded = [f for f in findings if finite(f.low) or finite(f.high)]
    levels = " and ".join(dict.fromkeys(f"{100 * f.level:.4g} %" for f in bounded))
    methods = "; ".join(dict.fromkeys(f.method for f in bounded if f.method))
    better = {f.better for f in findings if f.value is not None}
    direction = better.pop() if len(better) == 1 else ""
    sentences = [f"{levels} intervals{': ' * bool(methods)}{methods}."] if bounded else []
    return sentences + ([f"{direction.capitalize()} is better."] if direction else [])


def printed_cells(finding: Finding) -> dict[str, str]:
    """{column: printed cell}."""
    signed = bool(finding.comparator) or finding.name == "verdict"
    needed = f" of {finding.needed_n} needed" if finding.needed_n else ""
    return {
        "value": number(finding.value, finding.unit, signed),
        "interval": bounds(finding.low, finding.high, finding.unit, signed),
        "chance": number(finding.chance, finding.unit) if finite(finding.chance) else "",
        "floor": number(finding.floor, finding.unit) if finite(finding.floor) else "",
        "n": f"{finding.n}{needed}" if finding.n or needed else "",
        "verdict": plain_verdict(finding.verdict),
        "note": finding.remark,
    }


def plain_key(key: str) -> str:
    """The key of a scope in plain words."""
    return words(PLAIN_KEYS.get(key, str(key)))


def label(finding: Finding) -> str:
    """Name, scope and comparator."""
    scope = [f"{plain_key(key)} {cell(value)}" for key, value in finding.scope.items()]
    against = [f"against {finding.comparator}"] if finding.comparator else []
    return ", ".join([words(finding.name), *scope, *against])
