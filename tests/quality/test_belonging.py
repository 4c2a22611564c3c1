"""Columns that may be the group. Oracle: the patients that were planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.data.read import read
from gobelin.data.targets import target_of
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.evidence.findings import Finding
from gobelin.quality.belonging import belonging

PATIENTS, SCANS = 40, 3


def found(tmp_path: Path, target: str, chosen: dict[str, str], **columns: list[object]) -> Finding:
    """The one finding about rows of 40 patients with three scans each; the last two fifths of the
    rows, in a drawn order, are judged."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(PATIENTS), SCANS)
    data = {
        "size": rng.normal(size=len(patient)),
        "ward": rng.choice(["a", "b", "c"], len(patient)).tolist(),
        "disease": [("yes", "no")[p % 2] for p in patient],
        "score": (10 * (patient * 7 % 13) + rng.normal(0, 0.5, len(patient))).tolist(),
        **columns,
    }
    order = rng.permutation(len(patient))
    table = pa.table(data).take(pa.array(order))
    pq.write_table(table, tmp_path / "rows.parquet")
    dataset = read(tmp_path / "rows.parquet")
    known = schema.infer(dataset, target, Choices(schema=chosen))
    parts = np.where(np.arange(len(order)) < 0.6 * len(order), "train", "valid")
    findings = belonging(dataset, known, target_of(dataset, known), parts)
    train = set(patient[order][parts == "train"])
    shared = sum(p in train for p in patient[order][parts == "valid"])
    assert len(findings) <= 1 and all(f.value == shared for f in findings)
    return findings[0] if findings else Finding(name="none", source="check")


def codes(text: str) -> list[object]:
    return [text.format(k) for k in range(PATIENTS) for _ in range(SCANS)]


@pytest.mark.parametrize("target", ["disease", "score"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("patient", codes("P{:02d}")),
        ("PatientID", [1000 + 7 * int(str(k)) for k in codes("{}")]),
        ("subject_id", codes("sub-{}")),
        ("id", [1000 + 7 * int(str(k)) for k in codes("{}")]),
        ("Record_ID", codes("r{}")),
        ("who", codes("N{}x")),  # by the answers
    ],
)
def test_rows_of_a_patient_in_two_parts_are_told(
    tmp_path: Path, target: str, name: str, values: list[object]
) -> None:
    one = found(tmp_path, target, {}, **{name: values})
    assert one.scope == {"column": name} and f"--set schema.{name}=group" in one.note


@pytest.mark.parametrize("target", ["disease", "score"])
@pytest.mark.parametrize("role", ["group", "ignore"])
def test_a_column_with_a_role_is_not_told(tmp_path: Path, target: str, role: str) -> None:
    assert found(tmp_path, target, {"who": role}, who=codes("N{}x")).name == "none"


@pytest.mark.parametrize("target", ["disease", "score"])
def test_a_category_whose_rows_differ_is_not_told(tmp_path: Path, target: str) -> None:
    towns = np.random.default_rng(5).integers(0, 25, PATIENTS * SCANS)
    assert found(tmp_path, target, {}, town=[f"town {k}" for k in towns]).name == "none"
