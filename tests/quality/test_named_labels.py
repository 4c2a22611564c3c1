"""A text that was written from the labels is found; one that holds their words by chance is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field, Schema, Target
from gobelin.quality.named_labels import named_labels, words

LABELS = ("Pleural Effusion", "nodules", "normal")
SCHEMA = Schema(
    (Column("y", "labels", "target"), Column("report", "text"), Column("reason", "text")),
    (
        Field("report", "words", ("report",), "text"),
        Field("reason", "words", ("reason",), "text"),
    ),
)


def planted(seed: int, named: float, others: float, n: int = 300) -> tuple[Dataset, Target]:
    """`report` names a label of its row with a chance of `named`, and another one of `others`."""
    rng = np.random.default_rng(seed)
    held = (rng.random((n, 3)) < 0.3).astype(np.int64)
    said = rng.random((n, 3)) < np.where(held == 1, named, others)
    written = np.array(["effusion, pleural", "a Nodule", "NORMAL"])
    texts = ["Seen: " + "; ".join(written[s]) for s in said]
    reasons = [str(rng.choice(["cough", "nodule?", "pain"])) for _ in range(n)]
    table = pa.table({"y": [""] * n, "report": texts, "reason": reasons})
    return Dataset(table, Path()), Target("y", "labels", held, LABELS, np.ones(3, bool))


def test_words_are_compared_without_case_and_plural() -> None:
    assert words("Nodules, pleural EFFUSION") == {"nodule", "pleural", "effusion"}
    assert words(["two texts", "s"]) == {"two", "text", "s"}


@pytest.mark.parametrize(
    ("named", "others", "found"), [(0.7, 0.01, True), (0.7, 0.4, False), (0.1, 0.01, False)]
)
def test_a_text_that_names_its_labels_is_found(named: float, others: float, found: bool) -> None:
    dataset, target = planted(0, named, others)
    findings = named_labels(dataset, SCHEMA, target, np.arange(200), ())
    assert [f.scope["column"] for f in findings] == ["report"] * found
    if found:
        texts = np.array(dataset.values("report"))[:200]
        parts = [texts[target.values[:200, c] == 1] for c in range(3)]
        stems = ("effusion", "nodule", "normal")
        best = max(
            np.mean([stem in text.lower() for text in part])
            for stem, part in zip(stems, parts, strict=True)
        )
        assert findings[0].value == pytest.approx(best) and "leave_out=report" in findings[0].note
        assert "3 of 3 labels" in findings[0].note and findings[0].low <= best <= findings[0].high


def test_a_column_that_is_left_out_is_told_and_no_remedy_is_given() -> None:
    dataset, target = planted(0, 0.7, 0.01)
    (finding,) = named_labels(dataset, SCHEMA, target, np.arange(200), ("report",))
    assert "left out of prediction" in finding.note and "--set" not in finding.note


def test_other_targets_and_too_few_rows_have_no_finding() -> None:
    dataset, target = planted(0, 0.7, 0.01)
    assert named_labels(dataset, SCHEMA, target, np.arange(9), ()) == []
    one = Target("y", "class", target.values[:, 0], ("no", "yes"), np.ones(2, bool))
    assert named_labels(dataset, SCHEMA, one, np.arange(200), ()) == []
