"""A folder of DICOM files: series by place, patients as groups, and each odd thing in one line."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import DX, slices, uid, write

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.dicom.headers import age
from gobelin.data.image.images import Opening, open_image
from gobelin.data.read import read
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import VolumeOpening
from gobelin.embedding.columns.schema import Choices, infer

PLANTED = {
    "PatientID": "MRN-7788123",
    "PatientName": "Xanthippe^Quorlene",
    "PatientBirthDate": "19611117",
    "InstitutionName": "Zwentibold Clinic",
    "ReferringPhysicianName": "Vexillar^Otto",
    "AccessionNumber": "ACC9911447",
    "StudyDescription": "for Xanthippe Quorlene",
    "PatientComments": "lives at Kumquat Lane",
    "StudyDate": "20210304",
    "StudyTime": "111213",
    "StationName": "ROOMQ9",
    "OtherPatientIDs": "SSN-31415926",
}


def cube(seed: int, depth: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 999, (depth, 6, 8)).astype(np.int16)


def hospital(folder: Path, patients: int = 3) -> Path:
    """A CT series and an X-ray of each patient, in folders that have their names."""
    for k in range(patients):
        tags: dict[str, Any] = {
            **PLANTED,
            "PatientID": f"MRN-{k}",
            "PatientName": f"Name{k}^Given",
            "PatientSex": "FM"[k % 2],
            "PatientAge": f"{40 + k:03d}Y",
            "Manufacturer": "Maker",
            "ManufacturerModelName": f"Model {k % 2}",
            "KVP": 120,
            "BodyPartExamined": "HEAD",
            "StudyInstanceUID": uid("study", k),
        }
        slices(folder / f"Name{k}" / "ct", cube(k), SeriesInstanceUID=uid("ct", k), **tags)
        xray = {**tags, "Modality": "DX", "SOPClassUID": DX, "SOPInstanceUID": uid("dx", k)}
        pixels = (cube(k)[0] * 4).astype(np.uint16)
        write(folder / f"Name{k}" / "x.dcm", pixels, **xray, SeriesInstanceUID=uid("dx-series", k))
    return folder


def lines(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def readable(folder: Path) -> Dataset:
    dataset = read(folder)
    for value in dataset.values("volume") if "volume" in dataset.column_names else []:
        if value:
            open_volume(value, dataset.root, VolumeOpening())
    for value in dataset.values("image") if "image" in dataset.column_names else []:
        if value:
            open_image(value, dataset.root, Opening())
    return dataset


def test_a_row_is_a_series(tmp_path: Path) -> None:
    dataset = readable(hospital(tmp_path / "h"))
    assert len(dataset) == 6 and dataset.root == tmp_path / "h"
    rows = dataset.table.to_pylist()
    assert sorted(r["modality"] for r in rows) == ["CT"] * 3 + ["DX"] * 3
    assert {bool(r["volume"]) for r in rows if r["modality"] == "CT"} == {True}
    assert {bool(r["image"]) for r in rows if r["modality"] == "DX"} == {True}
    assert {(r["sex"], r["age"]) for r in rows} == {("F", 40), ("M", 41), ("F", 42)}
    assert {r["model"] for r in rows} == {"Model 0", "Model 1"}
    assert {(r["kvp"], r["body_part"], r["manufacturer"]) for r in rows} == {(120, "HEAD", "Maker")}
    by_age = {r["age"]: r for r in rows if r["volume"]}
    for k in range(3):
        volume, _ = open_volume(by_age[40 + k]["volume"], dataset.root, VolumeOpening())
        assert np.array_equal(volume.values[..., 0], (cube(k) * 2.0 - 1000)[:, ::-1, ::-1])


def test_a_patient_is_a_group_with_an_opaque_code(tmp_path: Path) -> None:
    dataset = read(hospital(tmp_path / "h"))
    rows = dataset.table.to_pylist()
    assert len({r["patient"] for r in rows}) == 3
    assert len({(r["patient"], r["age"]) for r in rows}) == 3
    schema = infer(dataset, "modality", Choices())
    assert schema.role("group") == "patient" and schema.kind("image") == "image"
    assert schema.kind("volume") == "volume"
    other = infer(dataset, "modality", Choices(schema={"sex": "group"}))
    assert other.role("group") == "sex" and other.column("patient").role == "ignore"
    everything = repr(rows) + repr(dataset.table.schema)
    for text in (*PLANTED.values(), "Name1", "MRN-1", "ct", uid("ct", 1), uid("study", 1)):
        assert text not in everything or text == "ct"


def test_codes_stay_when_later_studies_are_added(tmp_path: Path) -> None:
    before = read(hospital(tmp_path / "h")).table.to_pylist()
    again = {**PLANTED, "PatientID": "MRN-0", "StudyDate": "20230101", "PatientAge": "042Y"}
    slices(tmp_path / "h" / "Aaa", cube(9), SeriesInstanceUID=uid("later"), **again)
    after = read(tmp_path / "h").table.to_pylist()
    assert len(after) == 7 and all(row in after for row in before)
    assert len({r["patient"] for r in after}) == 3


def test_one_file_is_one_row(tmp_path: Path) -> None:
    hospital(tmp_path / "h")
    dataset = readable(tmp_path / "h" / "Name1" / "x.dcm")
    assert len(dataset) == 1 and dataset.values("modality") == ["DX"]


def test_two_patients_of_one_name_stay_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(3):
        tags = {**PLANTED, "PatientID": f"ID{k % 2}", "StudyInstanceUID": uid("study", k)}
        tags["PatientBirthDate"] = f"195{k}0101"
        slices(tmp_path / f"s{k}", cube(k), SeriesInstanceUID=uid("one name", k), **tags)
    assert len(set(read(tmp_path).values("patient"))) == 2
    assert "1 name belongs to several PatientIDs; patients are told apart" in lines(caplog)
    assert "1 PatientID has several names or dates of birth" in lines(caplog)
    assert "Xanthippe" not in lines(caplog) and "ID0" not in lines(caplog)


def test_without_ids_a_study_is_a_patient(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for k in range(4):
        tags = {"PatientID": "", "StudyInstanceUID": uid("study", k // 2)}
        slices(tmp_path / f"s{k}", cube(k), SeriesInstanceUID=uid("no id", k), **tags)
    assert len(set(read(tmp_path).values("patient"))) == 2
    assert "4 rows have no PatientID; each study counts as a patient" in lines(caplog)


def test_one_id_for_all_is_a_placeholder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for k in range(3):
        tags = {"SeriesInstanceUID": uid("anon", k), "PatientID": "ANON"}
        slices(tmp_path / "a" / f"s{k}", cube(k), **tags, PatientSex="MFM"[k])
        slices(tmp_path / "b" / f"s{k}", cube(k), **tags)
    assert len(set(read(tmp_path / "a").values("patient"))) == 3
    assert "all 3 studies have one PatientID and are of several people" in lines(caplog)
    assert len(set(read(tmp_path / "b").values("patient"))) == 1
    assert "all 3 studies have one PatientID and count as one patient" in lines(caplog)


def test_a_code_depends_on_the_patient_alone(tmp_path: Path) -> None:
    together = read(hospital(tmp_path / "h")).table.to_pylist()
    alone = read(tmp_path / "h" / "Name1").table.to_pylist()
    assert len(alone) == 2 and all(row in together for row in alone)


def test_each_odd_thing_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tags = {"PatientID": "A", "StudyInstanceUID": uid("s")}
    gaps = slices(tmp_path / "gaps", cube(0, 8), **tags)
    gaps[3].unlink()
    gaps[4].unlink()
    doubled = slices(tmp_path / "doubled", cube(1, 5), **tags)
    again = {**tags, "SeriesInstanceUID": uid(str(tmp_path / "doubled")), "first": -28.0}
    slices(tmp_path / "doubled" / "again", cube(2, 2), **again)
    tilted = {**tags, "SeriesInstanceUID": uid("two ways"), "Modality": "MR"}
    slices(tmp_path / "way", cube(3), **tilted)
    way = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}
    for k in range(3):
        corner = {"ImagePositionPatient": [3.0 * k, 0, 0]}
        write(tmp_path / "way" / f"b{k}.dcm", cube(3)[k], **tilted, **way, **corner)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], **way}
    slices(tmp_path / "scout", cube(4, 1), **tags, **scout)
    write(tmp_path / "rt.dcm", cube(5)[0], **tags, Modality="RTSTRUCT")
    write(tmp_path / "seg.dcm", cube(6)[0].astype(np.uint16), **tags, Modality="SEG")
    (tmp_path / "copy.dcm").write_bytes(doubled[0].read_bytes())
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / ".hidden.dcm").write_bytes(doubled[0].read_bytes())
    dataset = readable(tmp_path)
    told = lines(caplog)
    assert len(dataset) == 4 and not any(dataset.table.column("volume").is_null().to_pylist())
    for expected in (
        "in 1 series slices are missing (2); their places stay empty",
        "in 1 series slices (2) lie at the place of others",
        "in 1 series slices have several orientations or sizes, each of them a row",
        "1 localiser is left out",
        "2 files without a picture are left out: RTSTRUCT 1, SEG 1",
        "1 copy of another file is left out",
        "1 file is empty, and is left out (first: empty.dcm)",
        "1 file is no DICOM file, and is left out (first: notes.txt)",
    ):
        assert told.count(expected) == 1, told


def test_slices_in_several_folders_are_one_series(tmp_path: Path) -> None:
    files = slices(tmp_path / "a", cube(0), PatientID="A")
    (tmp_path / "b").mkdir()
    files[1].rename(tmp_path / "b" / "x")
    dataset = read(tmp_path)
    volume, note = open_volume(dataset.values("volume")[0], dataset.root, VolumeOpening())
    assert len(dataset) == 1 and not note
    assert np.array_equal(volume.values[..., 0], (cube(0) * 2.0 - 1000)[:, ::-1, ::-1])


def test_names_of_folders_with_several_patients_are_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(4):
        name = ("healthy", "ill")[k % 2]
        write(tmp_path / name / f"{k}.dcm", cube(k)[0], PatientID=f"P{k}", SOPInstanceUID=uid(k))
    dataset = read(tmp_path)
    assert sorted(dataset.values("class")) == ["healthy", "healthy", "ill", "ill"]
    assert "names of folders are the columns class" in lines(caplog)
    assert "class" not in read(hospital(tmp_path / "h")).column_names


def test_ages_are_years() -> None:
    assert age("034Y", "", "") == 34 and age("006M", "", "") == 0.5 and age("093Y", "", "") == 90
    assert age("", "19610705", "20210704") == 59 and age("", "19610704", "20210704") == 60
    assert age("", "1961", "20210704") is None and age("abc", "", "") is None


def test_a_folder_without_pictures_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", cube(0)[0], Modality="RTPLAN")
    with pytest.raises(GobelinError, match="holds no DICOM file with a picture") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_of_files_is_a_bad_cell(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Exception, match="names DICOM files"):
        open_volume("dicom:0000", Path(), VolumeOpening())
