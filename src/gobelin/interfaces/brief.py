"""The lines of a long result that a person wants first. `--all` prints every finding.

What is left out is counted in the last line. Nothing is left out of JSON.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gobelin.core import catalog
from gobelin.interfaces.terminal import print_findings, say

if TYPE_CHECKING:  # it loads numpy, which a help text needs not
    from gobelin.evidence.findings import Finding

MOST_LINES = 24
RECALL = "recall@5"
DETAILS = {"class", "fields", "change", "by", "column", "attack"}  # keys of the scope of a detail
CHECKS = {"sign_flip_p", "protocol"}  # for a reader of the whole
FIRST = {"verdict", "smallest_detectable_effect", "next"}  # of a study
PARTS = re.compile(r"; (?![^(]*\))")  # between the parts of a note, not within parentheses
LEAST_SHARED = 3  # findings with the same words in their notes

all_option = click.option("--all", "whole", is_flag=True, help="Print every number.")


def print_brief(findings: Sequence[Finding], verb: str, as_json: bool, whole: bool) -> None:
    """Print the findings of a verb: all of them, as JSON or with --all; else the first ones."""
    if as_json or whole:
        return print_findings(findings, as_json)
    for line in lines(findings, verb):
        say(line)


def lines(findings: Sequence[Finding], verb: str) -> list[str]:
    """At most 25 lines: the findings of a verb without details, then the count of the others.

    Words that stand in the notes of three findings or more are printed with the first of them.
    """
    shown = _chosen(findings, verb)[:MOST_LINES]
    said: set[str] = set()
    printed = []
    for finding in shown:
        sentence = finding.sentence()
        for part in _shared(shown):
            if part in sentence and part in said:
                sentence = sentence.replace(f"; {part}", "").replace(f" {part}.", "")
            elif part in sentence:
                said.add(part)
        printed.append(sentence)
    if left := len(findings) - len(shown):
        printed.append(f"{left} more numbers: --all prints them, --json for a program.")
    return printed


def rivals_line(findings: Sequence[Finding]) -> str:
    """What the training sets are that were compared, by their names; '' for none."""
    names = {str(f.scope.get("arm", "")) for f in findings} | {f.comparator for f in findings}
    told = [
        f"{name}: {catalog.described('rivals', name)['what'].rstrip('.')}"
        for name in catalog.names("rivals")
        if name in names
    ]
    return f"Training sets: real: the real rows alone; {'; '.join(told)}." if told else ""


def _chosen(findings: Sequence[Finding], verb: str) -> list[Finding]:
    """The findings that a person wants first."""
    plain = [f for f in findings if not DETAILS & set(f.scope) and f.name not in CHECKS]
    if verb == "search":
        return [f for f in plain if f.name == RECALL]
    if verb != "augment":
        return plain
    verdicts = {(f.scope.get("arm"), f.comparator) for f in plain if f.name == "verdict"}
    studied = {arm for arm, _ in verdicts}
    # a verdict holds its main comparison, and baselines among themselves are a detail
    kept = [
        f
        for f in plain
        if f.name in FIRST
        or (
            f.scope.get("arm") in {*studied, None}
            and (f.scope.get("arm"), f.comparator) not in verdicts
        )
    ]
    return sorted(kept, key=lambda f: f.name not in FIRST)


def _shared(findings: Sequence[Finding]) -> list[str]:
    """Parts of notes that several findings have, the longest first."""
    counts: dict[str, int] = {}
    for finding in findings:
        for part in dict.fromkeys(PARTS.split(finding.note.rstrip("."))):
            counts[part] = counts.get(part, 0) + 1
    return sorted((p for p, n in counts.items() if p and n >= LEAST_SHARED), key=lambda p: -len(p))
