"""The top of the report: what was asked, the answer in a sentence, generated images, one verdict.

It speaks only of what was done. Every number is one of a finding's.

What this cannot show: a choice. Of each condition it shows the first images, whatever they look
like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from gobelin.evidence.conclusion import Say
from gobelin.evidence.findings import Finding
from gobelin.report import answer
from gobelin.report.pictures import Picture

MOST_CONDITIONS = 8  # of the generated images that are shown
IMAGES_EACH = 4
MOST_FIELDS = 5  # that a sentence names
PARTS = {"train": "to learn from", "valid": "to evaluate", "test": "kept for the test"}
CLASS_LABEL = "class: "  # how the contact sheet begins the label of a class


@dataclass(frozen=True)
class ImageStrip:
    """Generated images, and the words that they were made from."""

    label: str
    images: list[Picture]


def title(target: str, generated: bool, say: Say) -> str:
    """The heading of the page. say: as in `sentences_on_images`."""
    if generated:
        return say("New images, and whether they help")
    return f"Can {target} be predicted?" if target else "The data"


def sentences(
    findings: Sequence[Finding], target: str, fields: Sequence[str], source: str
) -> list[str]:
    """What was asked, and the answer. source: path of the data."""
    parts = _parts(findings)
    told = []
    if parts:
        name = f" of {PurePath(source.replace(chr(92), '/')).name}" if source else ""
        split = ", ".join(f"{count} {PARTS[part]}" for part, count in parts.items())
        asked = f"Gobelin was given {sum(parts.values())} rows{name} with {listed(fields)}"
        asked += f", and asked for {target}" if target else ""
        told.append(f"{asked} ({split}).")
    if (score := answer.main_score(findings)) is not None:
        line = answer.headline(target, replace(score, verdict=""), "the validation rows")
        lines = [line, answer.delivered(findings), answer.fields_line(findings, fields)]
        told.append(" ".join(filter(None, [*lines, answer.one_field_line(findings)])))
    return told


def sentences_on_images(
    findings: Sequence[Finding], target: str, fields: Sequence[str], say: Say
) -> list[str]:
    """What was learned, and what the images below are, where images were generated. say: puts a
    sentence on images into the words of what was generated."""
    parts, score = _parts(findings), answer.main_score(findings)
    rows = f"{parts['train']} rows" if "train" in parts else "rows"
    first = f"Gobelin learned from {rows} with {listed(fields)}"
    if score is not None:
        first += f". In rows that it had not seen, {answer.short(target, score)}"
    return [
        f"{first}.",
        say("Then it made images.")
        + " None of these existed before; they were made from the words below.",
    ]


def _parts(findings: Sequence[Finding]) -> dict[str, int]:
    """{part: count of its rows}, as far as they were counted."""
    found = {f.scope.get("split", ""): int(f.value or 0) for f in findings if f.name == "rows"}
    return {part: found[part] for part in PARTS if part in found}


def listed(names: Sequence[str]) -> str:
    """'image, caption and facts'."""
    shown = list(names[:MOST_FIELDS])
    if len(names) > MOST_FIELDS:
        shown[-1:] = [f"{len(names) - MOST_FIELDS + 1} more fields"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def strips(groups: Sequence[Mapping[str, Any]], findings: Sequence[Finding]) -> list[ImageStrip]:
    """The first images of each condition: texts, table rows, then classes, those that are read best
    from their images first. groups: of the contact sheet, as drawn."""
    agreement = {
        f.scope["class"]: f.value or 0.0
        for f in findings
        if f.name == "label_agreement" and "class" in f.scope
    }

    def rank(group: Mapping[str, Any]) -> tuple[int, float]:
        label = str(group["label"])
        if label.startswith(CLASS_LABEL):
            return 1, -agreement.get(label.removeprefix(CLASS_LABEL), 0.0)
        return (2 if group["source"] or ":" not in label else 0), 0.0

    found = []
    for group in sorted(groups, key=rank):
        if images := [image for image in group["images"][:IMAGES_EACH] if image.uri]:
            words = str(group["label"])
            words = words.removeprefix(CLASS_LABEL).removeprefix("text: ")
            if words.startswith("row: "):
                words = words.removeprefix("row: ").replace(",", ", ")
            found.append(ImageStrip(words, images))
    return found[:MOST_CONDITIONS]
