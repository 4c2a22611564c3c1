"""A folder of a hospital: whatever tells who a patient is reaches no file that is written."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from dicom_files import DX, slices, uid, write

from gobelin.workbench.bench import Workbench

PATIENTS = 44


def planted(k: int) -> dict[str, str]:
    """What must reach nothing, of a patient."""
    return {
        "PatientID": f"MRNQZ{k:03d}",
        "PatientName": f"Quorlene{k:03d}^Xanthippe",
        "PatientBirthDate": f"196111{k % 28 + 1:02d}",
        "InstitutionName": "Zwentibold Clinic",
        "ReferringPhysicianName": "Vexillar^Otto",
        "OperatorsName": "Brimblecombe^Ida",
        "AccessionNumber": f"ACCQZ{k:03d}",
        "StudyDescription": f"for Quorlene{k:03d}",
        "SeriesDescription": "at Kumquat Lane",
        "PatientComments": "has a Dachshund",
        "StudyDate": "20210304",
        "StudyTime": "111213",
        "StationName": "ROOMQ9",
        "StudyInstanceUID": uid("study", k),
    }


SECRETS = [
    *("MRNQZ", "Quorlene", "Xanthippe", "Zwentibold", "Vexillar", "Brimblecombe", "ACCQZ"),
    *("Kumquat", "Dachshund", "ROOMQ9", "20210304", "1961110", "1961111", "1961112"),
    *(uid("study", k) for k in range(PATIENTS)),
    *(uid("x-ray", k) for k in range(PATIENTS)),
    *(uid("ct", k) for k in range(PATIENTS)),
]


def hospital(folder: Path) -> Path:
    """An X-ray and a CT of each patient, in a folder of the patient's name."""
    rng = np.random.default_rng(0)
    upper = np.arange(24)[:, None] < 12
    for k in range(PATIENTS):
        facts = {"PatientSex": "FM"[k % 2], "PatientAge": f"{30 + k:03d}Y", "Manufacturer": "Maker"}
        tags = {**planted(k), **facts}
        place = folder / f"Quorlene{k:03d}"
        pixels = rng.integers(0, 500, (24, 24)) + upper * 2000 * (k % 2)
        ids = {"SeriesInstanceUID": uid("x-ray", k), "SOPInstanceUID": uid("x-ray", k)}
        write(
            place / f"{uid('x-ray', k)}.dcm",
            pixels.astype(np.uint16),
            Modality="DX",
            SOPClassUID=DX,
            **tags,
            **ids,
        )
        body = rng.integers(0, 900, (4, 8, 8)).astype(np.int16)
        slices(place / uid("ct", k), body, SeriesInstanceUID=uid("ct", k), **tags)
    return folder


def written(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, packed ones unpacked too."""
    out = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        out[f"name {path.relative_to(folder)}"] = str(path.relative_to(folder)).encode()
        out[str(path)] = path.read_bytes()
        if path.suffix == ".parquet":
            for column in pq.read_table(path).columns:
                cells = [
                    v if isinstance(v, bytes) else repr(v).encode() for v in column.to_pylist()
                ]
                out[f"{path} cells"] = out.get(f"{path} cells", b"") + b"\0".join(cells)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                out |= {f"{path} {n}": archive.read(n) for n in archive.namelist()}
    return out


def test_nothing_written_tells_who_a_patient_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = hospital(tmp_path / "in")
    out = tmp_path / "out"
    settings = {"encoders": {"image": {"name": "pixels"}}}
    with caplog.at_level(logging.DEBUG, "gobelin"):
        bench = Workbench(data, target="sex", run=out / "run", settings=settings)
        findings = [*bench.check(), *bench.fit(), *bench.curate(export=out / "curated")]
        bench.report()
        bench.save_pretrained(out / "saved", index=True)
    files = written(out)
    assert len(files) > 40 and any(b"patient" in text for text in files.values())
    told = "\n".join([*(r.getMessage() for r in caplog.records), *map(repr, findings)]).encode()
    for name, text in {**files, "lines and findings": told}.items():
        found = [s for s in SECRETS if s.encode() in text]
        assert not found, (name, found)


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    """The check of the check: the files of the hospital do hold all of it."""
    together = b"".join(written(hospital(tmp_path)).values())
    assert all(s.encode() in together for s in SECRETS)
