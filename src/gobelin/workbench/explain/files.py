"""Explanations as files: JSON, and pictures of waterfalls and pixels."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gobelin.core.files import atomic_file, disk_errors, save_arrays, write_json
from gobelin.data.files import file_values
from gobelin.data.image.headers import opened
from gobelin.data.provenance.marks import is_marked, marks_of
from gobelin.evidence.findings import finite
from gobelin.report import heat, waterfall
from gobelin.report.lettering import told as told_of
from gobelin.workbench.explain.answers import Explained, ExplainedAnswers, RowExplanation
from gobelin.workbench.explain.findings import Faithful, faithful_text, plural

MAPS = "maps.safetensors"  # the values of pixels


def write(
    folder: Path,
    answers: ExplainedAnswers,
    told: RowExplanation,
    faithful: Faithful,
    number_of_row: int,
) -> str:
    """Write one row's explanation; the letters that stand in its pictures as boxes, because no font
    here has them."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    stem = f"{number_of_row}-{_plain(told.row.id)}"
    pictures, maps, letters = [], {}, ""
    for one in told.all:
        name = f"{stem}-{_plain(one.field)}-{_plain(plural(one.unit))}.png".replace("--", "-")
        page, boxes = picture(answers, told, one, faithful)
        save_picture(folder / name, page, told, one)
        letters += boxes
        pictures.append(name)
        if one.attribution.shape:
            values = one.attribution.values.reshape(one.attribution.shape)
            maps[map_name(one)] = values.astype(np.float32)
    write_json(folder / f"{stem}.json", as_json(answers, told, faithful, pictures))
    if maps:
        save_arrays(folder / f"{stem}-{MAPS}", maps)
    return letters


def where(out: str | Path, letters: str) -> list[str]:
    """Where the files are, and what their pictures can't show. letters: those that `write` gave."""
    lines = [f"Pictures and JSON are in {out}."]
    if letters:
        unlike = "".join(sorted(set(letters)))
        lines.append(
            told_of("Pictures", unlike, "Install a font that has them, such as DejaVu or Noto CJK.")
        )
    return lines


def map_name(one: Explained) -> str:
    """The name of a map of values in `MAPS`: the field, and the way if it is not occlusion."""
    return one.field if one.unit == "pixel" else f"{one.field} by {plural(one.unit)}"


def _plain(text: str) -> str:
    """A text as part of a file's name."""
    return "-".join(re.findall(r"\w+", text))[:32]


def picture(
    answers: ExplainedAnswers, told: RowExplanation, one: Explained, faithful: Faithful
) -> tuple[Image.Image, str]:
    """A waterfall of parts, or an image under the colours of its pixels; and the letters that stand
    in it as boxes."""
    found, caption = one.attribution, ""
    if (how := faithful.get((one.explainer, one.field))) is not None:
        caption = faithful_text(how, answers.unit, told.asked_of)
    if found.shape:
        return overlay_of(one, ". ".join(filter(None, [told.answer, caption])))
    what = f"{plural(one.unit)} of {one.field}" if one.field else plural(one.unit)
    of = told.answer or answers.predictor.model.target
    title = f"{told.called}, {of}: {what}" + (f", in {answers.unit}" if answers.unit else "")
    parts = list(zip(found.parts, found.values.tolist(), strict=True))
    rows = waterfall.steps(parts, found.base, found.whole, f"without {plural(one.unit)}")
    return waterfall.drawn(rows, title, caption)


def overlay_of(one: Explained, caption: str = "") -> tuple[Image.Image, str]:
    """An image under the colours of its pixels, and the letters that stand in it as boxes."""
    values = one.attribution.values.reshape(one.attribution.shape)
    return heat.overlay(one.parts.image, values, caption)  # type: ignore[attr-defined]


def save_picture(path: Path, page: Image.Image, told: RowExplanation, one: Explained) -> None:
    """Write a PNG. What shows a generated image keeps its mark."""
    mark = None
    if one.attribution.shape:
        data = file_values(told.row.cells[one.field])[0]
        if isinstance(data, bytes) and is_marked(data):
            with opened(io.BytesIO(data)) as image:
                mark = marks_of(image)
    with atomic_file(path) as temporary:
        page.save(temporary, "PNG", pnginfo=mark)


def as_json(
    answers: ExplainedAnswers, told: RowExplanation, faithful: Faithful, pictures: list[str]
) -> dict[str, Any]:
    """One row's explanation as values."""
    return {
        "row": told.row.id,
        "target": answers.predictor.model.target,
        "class": told.answer,
        "probability": told.probability,
        "truth": told.row.truth,
        "unit": answers.unit,
        "explanations": [_one(one, faithful) for one in told.all],
        "pictures": pictures,
    }


def _one(one: Explained, faithful: Faithful) -> dict[str, Any]:
    found = one.attribution
    out: dict[str, Any] = {
        "explainer": one.explainer,
        "field": one.field,
        "parts": plural(one.unit),
        "method": found.method,
        "base": found.base,
        "answer": found.whole,
    }
    if found.shape:
        out["places"] = heat.by_place(found.values.reshape(found.shape))
        out["full_colour"] = heat.strongest(found.values.reshape(found.shape))
    else:
        errors = found.error if len(found.error) else np.zeros(len(found.values))
        main = found.main
        out["values"] = [
            {"part": part, "value": float(v), "error": float(e), "alone": float(m)}
            for part, v, e, m in zip(found.parts, found.values, errors, main, strict=True)
        ]
        if found.pairs is not None:
            out["interactions"] = found.pairs.tolist()
    if (how := faithful.get((one.explainer, one.field))) is not None:
        interval, verdict = how
        out["faithfulness"] = {
            "gain_over_random_orders": interval.value,
            "low": interval.low if finite(interval.low) else None,
            "high": interval.high if finite(interval.high) else None,
            "rows": interval.n,
            "verdict": verdict,
        }
    return out
