"""The verb `fit`."""

from __future__ import annotations

from gobelin.evidence.findings import Finding
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.run.folder import Artefacts


def fitted(made: Artefacts, exhibits: Exhibits) -> list[Finding]:
    """What was fitted, in figures that need no other rows."""
    model, left = made.model, [f for f in made.schema.field_names if f not in made.predict_fields]
    note = (
        f"fusion {model.fusion}, weight decay {model.decay:g}, temperature {model.temperature:.2f}"
    )
    found = [
        Finding(
            name="fields_used",
            scope={"fields": " + ".join(made.predict_fields)},
            value=float(len(made.predict_fields)),
            note=note,
            source="fit",
        )
    ]
    there = made.embeddings.present.mean(0)
    found += [
        Finding(
            name="field_left_out",
            scope={"field": f},
            value=float(there[made.embeddings.fields.index(f)]),
            unit="share",
            source="fit",
            note="of the rows have it; named in leave_out, or gives the label away",
        )
        for f in left
    ]
    if contested := made.contested():
        found += contested
        own = [f for f in contested if not f.comparator]
        exhibits.bars(
            "fusions", "Every fusion on training rows that it had not seen.", own, "fusion"
        )
    found += made.tuning()
    kept = made.alignment.kept
    found.append(
        Finding(
            name="shared_space",
            value=float(made.alignment.settings.width),
            unit="dimensions",
            source="fit",
            note=f"{kept} projections were kept: they retrieve best among held-back training rows",
        )
    )
    if curves := made.quality():
        steps = sorted({step for curve in curves.values() for step in curve})
        series = {
            f"seed {seed}": [curve.get(step) for step in steps] for seed, curve in curves.items()
        }
        name = made.settings.generator.name
        caption = (
            f"How good {name} was on validation rows while it trained; lower is better, the best"
            " weights were kept."
        )
        exhibits.curve("generator", caption, steps, series, "training steps", "held-out score")
    return found
