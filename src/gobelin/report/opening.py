"""The top of the report: what was asked, the answer in a sentence, generated images, one verdict.

It speaks only of what was done. Every number is one of a finding's.

What this cannot show: a choice. Of each condition it shows the first image, whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from gobelin.evidence.findings import Finding
from gobelin.report import answer
from gobelin.report.drawing import Picture

MOST_PICTURES = 8
MOST_FIELDS = 5  # that a sentence names
PARTS = {"train": "to learn from", "valid": "to evaluate", "test": "kept for the test"}
CLASS_LABEL = "class: "  # how the contact sheet begins the label of a class


def title(target: str, generated: bool) -> str:
    """The heading of the page."""
    if generated:
        return "New images, and whether they help"
    return f"Can {target} be predicted?" if target else "The data"


def sentences(
    findings: Sequence[Finding], target: str, fields: Sequence[str], source: str, generated: bool
) -> list[str]:
    """What was asked, the answer, and what was generated. source: path of the data."""
    parts = {f.scope.get("split", ""): f for f in findings if f.name == "rows"}
    counts = [(parts[p].value, words) for p, words in PARTS.items() if p in parts]
    total = sum(int(count or 0) for count, _ in counts)
    told = []
    if counts:
        name = f" of {PurePath(source.replace(chr(92), '/')).name}" if source else ""
        split = ", ".join(f"{int(count or 0)} {words}" for count, words in counts)
        asked = f"Gobelin was given {total} rows{name} with {listed(fields)}"
        asked += f", and asked for {target}" if target else ""
        told.append(f"{asked} ({split}).")
    score = answer.main_score(findings)
    if score is not None:
        line = answer.headline(target, replace(score, verdict=""), "the validation rows")
        told.append(" ".join([line, answer.fields_line(findings, fields)]).rstrip())
    if generated:
        told.append(
            "It also learned to make images. None of these existed before; each stands above the"
            " words that it was made from."
        )
    return told


def listed(names: Sequence[str]) -> str:
    """'image, caption and facts'."""
    shown = list(names[:MOST_FIELDS])
    if len(names) > MOST_FIELDS:
        shown[-1:] = [f"{len(names) - MOST_FIELDS + 1} more fields"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def pictures(groups: Sequence[Mapping[str, Any]]) -> list[tuple[str, Picture]]:
    """The first image of each condition with its words: queries first, then classes, and images
    from nothing last. groups: of the contact sheet, as drawn. At most `MOST_PICTURES`."""
    ranked = sorted(groups, key=_rank)
    found = [
        (str(g["label"]).removeprefix(CLASS_LABEL), g["images"][0]) for g in ranked if g["images"]
    ]
    return [(label, image) for label, image in found if image.uri][:MOST_PICTURES]


def _rank(group: Mapping[str, Any]) -> int:
    label = str(group["label"])
    if label.startswith("text: "):
        return 0
    return 1 if label.startswith(CLASS_LABEL) else 2 if not group["source"] else 3
