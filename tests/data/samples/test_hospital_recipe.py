"""The phantom hospital: the reader of DICOM sorts it out, and the planted scanner is found."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("pydicom")

from gobelin.data.fields import Target  # noqa: E402
from gobelin.data.read import read  # noqa: E402
from gobelin.embedding.columns.schema import Choices, infer  # noqa: E402
from gobelin.quality import shortcuts  # noqa: E402

PATIENTS = 24
MAKE = Path(__file__).parents[3] / "recipes/hospital/make.py"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("phantom_hospital", MAKE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["phantom_hospital"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_the_reader_sorts_it_out_and_the_scanner_is_found(make: ModuleType, tmp_path: Path) -> None:
    make.write(tmp_path / "scans", PATIENTS)
    data = read(tmp_path / "scans")
    assert len(data) == PATIENTS + 5  # every fifth patient has a second series
    assert len(set(data.values("patient"))) == PATIENTS
    rng = np.random.default_rng(0)
    people = []
    for number in range(PATIENTS):  # as `write` draws them: a phantom follows each person
        people.append(make.person(number, 0.9, rng))
        make.studies(people[-1], rng)
    makers = {True: {}, False: {}}
    for person in people:
        count = makers[person.bleeding]
        count[person.scanner.maker] = count.get(person.scanner.maker, 0) + 1
    rows = list(
        zip(data.values("class"), data.values("manufacturer"), data.values("patient"), strict=True)
    )
    for bleeding, name in ((True, "bleeding"), (False, "clear")):
        found = {}
        for _, maker, _ in {row for row in rows if row[0] == name}:
            found[maker] = found.get(maker, 0) + 1
        assert found == makers[bleeding]
    text = str(data.table.to_pydict())
    assert not any(value in text for person in people for value in person.identity.values())

    label = np.array([["bleeding", "clear"].index(v) for v in data.values("class")])
    target = Target("class", "class", label, ("bleeding", "clear"), np.ones(2, bool))
    groups = [str(v) for v in data.values("patient")]
    schema = infer(data, "class", Choices())
    columns = shortcuts.recordings(data, schema, target, groups, np.arange(len(data)))
    assert [(one.column, one.alike) for one in columns] == [("manufacturer", ("model",))]
    ((one, finding),) = shortcuts.associations(columns, target)
    assert finding.value > 0.5 and one.counts.sum() == PATIENTS


def test_without_a_shortcut_nothing_is_found(make: ModuleType) -> None:
    rng = np.random.default_rng(0)
    people = [make.person(number, 0.5, rng) for number in range(400)]
    first = np.mean([p.scanner is make.SCANNERS[0] for p in people if p.bleeding])
    assert abs(first - 0.5) < 0.15
