"""The verb `check`."""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.evidence.findings import Finding
from gobelin.quality.data import NearDuplicate
from gobelin.report.shelf import Shelf
from gobelin.workbench.evaluate import SHOWN_TWINS
from gobelin.workbench.generate import images
from gobelin.workbench.run.folder import Artefacts
from gobelin.workbench.thumbnails import thumbnail


def checked(
    made: Artefacts, found: Sequence[Finding], twins: Sequence[NearDuplicate], shelf: Shelf
) -> None:
    """What `check` shows: the classes, the missing cells, the schema, the look-alikes across
    splits."""
    classes = [f for f in found if f.name == "training_rows"]
    shelf.bars("classes", "Training rows of every class.", classes, "class")
    missing = [f for f in found if f.name == "missing_cells"]
    shelf.bars("missing", "Share of missing cells in every field.", missing, "field")
    shown = [(c.name, c.kind, c.role, f"{c.confidence:.2f}", c.reason) for c in made.schema.columns]
    shelf.table(
        "schema",
        "What every column was taken for, and why.",
        ("column", "kind", "role", "confidence", "reason"),
        shown,
    )
    field = images.image_field_or_none(made)
    if made.scan.bad:
        rows = [(i, c, why) for i, c, why in made.scan.bad[:200]]
        shelf.table(
            "set_aside",
            "Cells that can't be used; they count as missing.",
            ("row", "column", "reason"),
            rows,
        )
    pairs = []
    for twin in [t for t in twins if t.field == field][:SHOWN_TWINS]:
        left, right = (thumbnail(made, r) for r in (twin.left, twin.right))
        if left and right:
            names = made.ids((twin.left, twin.right))
            caption = f"{names[0]} / {names[1]} (distance {twin.closeness:.2f} of the median)"
            pairs.append({"left": left, "right": right, "caption": caption})
    if pairs:
        shelf.pairs(
            "look_alikes",
            "Look-alikes on both sides of the split.",
            "training",
            "validation or test",
            pairs,
        )
    others = [
        (t.field, *made.ids((t.left, t.right)), f"{t.closeness:.2f}")
        for t in twins
        if t.field != field
    ][:60]
    if others:
        titles = ("field", "training row", "other row", "distance, of the median")
        shelf.table("twins", "Look-alikes in the other fields.", titles, others)
