"""What a verb found, kept in the run folder, and which verbs rest on which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gobelin.core.files import read_lines, write_lines
from gobelin.core.stages import RunFolder
from gobelin.evidence.findings import Exhibit, Finding
from gobelin.report.exhibits import Exhibits

VERBS = (
    "check",
    "fit",
    "evaluate",
    "predict",
    "search",
    "describe",
    "generate",
    "augment",
    "audit",
    "curate",
    "report",
)
Find = Callable[[Exhibits], list[Finding]]  # fills the exhibits, returns the findings
# What is said to rest on another verb, or on the generator, is wrong once that was made anew.
RESTING_ON = {
    "check": VERBS[1:],
    "fit": VERBS[2:],
    "generator": ("generate", "augment", "audit"),
}
SAME_KEY = {"augment": "audit"}  # both speak of the same generated images


def keep(
    folder: RunFolder,
    cited: str,
    verb: str,
    key: str,
    find: Find,
    shown: str = "",
) -> list[Finding]:
    """Do the verb's work unless it was done with this key; its findings.

    cited: credit line of the data. shown: the part of the key that later verbs don't rest on.
    """
    stage = f"verbs/{verb}"
    if folder.has(stage) and not folder.key(stage).startswith(key):
        discard_resting_on(folder, verb)
    if verb in SAME_KEY and folder.key(f"verbs/{SAME_KEY[verb]}") not in ("", key):
        folder.discard(f"verbs/{SAME_KEY[verb]}")

    with folder.making(stage, key + shown) as temporary:
        if temporary is not None:
            exhibits = Exhibits(verb, temporary, stage, cited)
            findings = find(exhibits)
            write_lines(temporary / "findings.jsonl", [one.to_dict() for one in findings])
            shown_items = [one.to_dict() for one in exhibits.items]
            write_lines(temporary / "exhibits.jsonl", shown_items)
    collect(folder)
    return findings_of(folder.checked(stage))


def findings_of(stage: Path) -> list[Finding]:
    """The findings in a finished stage."""
    return [Finding.from_dict(row) for row in read_lines(stage / "findings.jsonl")]


def collect(folder: RunFolder) -> None:
    """findings.jsonl and exhibits.jsonl of the run: those of its verbs, in the verbs' order."""
    for file in ("findings.jsonl", "exhibits.jsonl"):
        rows: list[dict[str, Any]] = []
        for verb in VERBS:
            if folder.has(f"verbs/{verb}"):
                rows += read_lines(folder.checked(f"verbs/{verb}") / file)
        if file.startswith("exhibits"):
            rows = [Exhibit.from_dict(row).to_dict() for row in rows]
        write_lines(folder.folder / file, rows)


def discard_resting_on(folder: RunFolder, what: str) -> None:
    """Remove the findings of verbs that rest on a verb, or on the generator, that changed."""
    if verbs := RESTING_ON.get(what):
        folder.discard(*(f"verbs/{verb}" for verb in verbs))
