"""The findings of verbs in the run folder, and which verbs depend on which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gobelin.core.errors import GobelinError, nearest
from gobelin.core.files import read_lines, write_lines
from gobelin.core.stages import RunFolder
from gobelin.evidence.conclusion import Say
from gobelin.evidence.findings import Exhibit, Finding
from gobelin.report.exhibits import Exhibits

VERBS = (
    "check",
    "fit",
    "evaluate",
    "predict",
    "search",
    "describe",
    "explain",
    "generate",
    "augment",
    "audit",
    "curate",
    "report",
)
# {verb: what it keeps besides, each for itself}: generated is of generated images
PARTS = {"explain": ("generated",)}
Find = Callable[[Exhibits], list[Finding]]  # adds exhibits, returns the findings


def stage_of(verb: str, part: str = "") -> str:
    """The stage of the findings of a verb, or of a part of them."""
    return f"verbs/{verb}{'_' if part else ''}{part}"


def stages_of(verb: str) -> list[str]:
    """All stages of the findings of a verb."""
    return [stage_of(verb, part) for part in ("", *PARTS.get(verb, ()))]


# {verb, or the generator: stages of findings that are void once it was made again}
RESTING_ON = {
    "check": [stage for verb in VERBS[1:] for stage in stages_of(verb)],
    "fit": [stage for verb in VERBS[2:] for stage in stages_of(verb)],
    "generator": [
        *(stage_of(verb) for verb in ("generate", "augment", "audit")),
        stage_of("explain", "generated"),
    ],
}
ON_GENERATED = ("generate", "augment", "audit")  # whose sentences name what is generated
SAID = ("by", "of", "why")  # entries of a scope that are words of ours
SAME_KEY = {"augment": "audit"}  # both concern the same generated images


def keep(
    folder: RunFolder,
    cited: str,
    verb: str,
    key: str,
    find: Find,
    shown: str = "",
    part: str = "",
    say: Say = str,
) -> list[Finding]:
    """The findings of a verb, which does its work unless it was done with this key.

    cited: credit line of the data. shown: a part of the key that later verbs don't depend on.
    part: one of `PARTS`, '' = the findings of the verb itself. say: puts a sentence on images into
    the words of what the run generates; that of other verbs is on the data, and stays.
    """
    stage = stage_of(verb, part)
    if folder.has(stage) and not folder.key(stage).startswith(key):
        discard_resting_on(folder, verb)
    if verb in SAME_KEY and folder.key(stage_of(SAME_KEY[verb])) not in ("", key):
        folder.discard(stage_of(SAME_KEY[verb]))

    with folder.making(stage, key + shown) as temporary:
        if temporary is not None:
            say = say if verb in ON_GENERATED else str
            exhibits = Exhibits(verb, temporary, stage, cited, say)
            findings = [_said(one, say) for one in find(exhibits)]
            write_lines(temporary / "findings.jsonl", [one.to_dict() for one in findings])
            shown_items = [one.to_dict() for one in exhibits.items]
            write_lines(temporary / "exhibits.jsonl", shown_items)
    collect(folder)
    return findings_of(folder.checked(stage))


def _said(one: Finding, say: Say) -> Finding:
    """A finding in the words of what is generated. Names of a user stay."""
    scope = {key: say(text) if key in SAID else text for key, text in one.scope.items()}
    other = say(one.comparator)
    return replace(one, scope=scope, comparator=other, note=say(one.note), verdict=say(one.verdict))


def findings_of(stage: Path) -> list[Finding]:
    """The findings in a finished stage."""
    return [Finding.from_dict(row) for row in read_lines(stage / "findings.jsonl")]


def collected(folder: RunFolder, verb: str | None = None) -> list[Finding]:
    """The findings that `collect` wrote, or those of one verb. Raises GobelinError for an unknown
    verb and for a damaged file."""
    if verb is not None and verb not in VERBS:
        raise GobelinError(f"findings: no verb {verb!r}.{nearest(verb, VERBS)}")
    path = folder.folder / "findings.jsonl"
    try:
        found = [Finding.from_dict(row) for row in read_lines(path)]
    except GobelinError as error:
        if str(path) in str(error):
            raise
        raise GobelinError(f"{path}: {error}") from error
    return [f for f in found if verb is None or f.source == verb]


def collect(folder: RunFolder) -> None:
    """Write findings.jsonl and exhibits.jsonl of the run: those of all verbs, in a fixed order."""
    for file in ("findings.jsonl", "exhibits.jsonl"):
        rows: list[dict[str, Any]] = []
        for stage in (stage for verb in VERBS for stage in stages_of(verb)):
            if folder.has(stage):
                rows += read_lines(folder.checked(stage) / file)
        if file.startswith("exhibits"):
            rows = [Exhibit.from_dict(row).to_dict() for row in rows]
        write_lines(folder.folder / file, rows)


def discard_resting_on(folder: RunFolder, what: str) -> None:
    """Remove the findings that depend on a verb, or on the generator, that was made again."""
    if stages := RESTING_ON.get(what):
        folder.discard(*stages)
