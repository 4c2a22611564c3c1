"""What people write into coded elements, names of folders and of files of DICOM is told nowhere.
The oracle is a search for planted names in all that the reader gives and says."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from dicom_files import DX, slices, uid, write
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.dicom.files import modality_pixels
from gobelin.data.dicom.files import read as read_file
from gobelin.data.dicom.terms import TERMS, term
from gobelin.data.files import BadCell
from gobelin.data.read import read
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import VolumeOpening

NAME = "QUORLENE"
PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def told(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    """All that the reader says of a folder: columns, units, notes, lines and errors."""
    with caplog.at_level(logging.DEBUG):
        data = read(folder)
        parts: list[object] = [data.table.schema, data.table.to_pylist()]
        for cell in (
            v for n in ("image", "volume") if n in data.column_names for v in data.values(n)
        ):
            try:
                volume, notes = open_volume(cell, data.root, VolumeOpening())
                parts += [volume.unit, notes]
            except (BadCell, TypeError) as error:
                parts.append(error)
    return "\n".join([*map(str, parts), *(r.getMessage() for r in caplog.records)])


@pytest.mark.parametrize(
    "element", ["BodyPartExamined", "ViewPosition", "ImageLaterality", "Laterality", "Modality"]
)
def test_a_name_in_a_coded_element_is_no_cell(
    element: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(3):
        tags = {"Modality": "DX", "SOPClassUID": DX, "PatientID": f"P{k}", element: f"{NAME}{k}"}
        write(tmp_path / f"{k}.dcm", PIXELS, **tags)
        write(tmp_path / f"{k}-plan.dcm", PIXELS, **{**tags, "Modality": "RTPLAN", element: NAME})
    said, rows = told(tmp_path, caplog), 6 if element == "Modality" else 3  # plans are no rows
    assert NAME not in said and f"standard are not read: {element} of {rows} rows." in said


@pytest.mark.parametrize("element", ["RescaleType", "Units"])
def test_a_name_is_no_unit(element: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tags = {"Modality": "PT", "PatientID": "P", element: NAME}
    slices(tmp_path, np.stack([PIXELS.astype(np.int16)] * 3), **tags)
    assert NAME not in told(tmp_path, caplog)


def test_a_transfer_syntax_is_not_quoted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for k, text in enumerate(
        (b"QUORLENE001^Xanth.\0", b"1.2.840.QUORLENE.1\0", b"\x1b[31mQUORLENE 12\0\0")
    ):
        path = write(tmp_path / f"{k}.dcm", PIXELS, Modality="DX", SOPClassUID=DX, PatientID="P")
        old = b"1.2.840.10008.1.2.1\0"
        path.write_bytes(path.read_bytes().replace(old, text.ljust(len(old), b"\0"), 1))
        with caplog.at_level(logging.DEBUG), pytest.raises(BadCell) as caught:
            modality_pixels(read_file(path))
        assert NAME not in str(caught.value) + caplog.text, k
    assert NAME not in told(tmp_path, caplog)


def patients(folder: Path, ids: tuple[str, str], name: str) -> Path:
    """Two studies of each of four patients, in a folder of each patient's name."""
    for k in range(4):
        for study in range(2):
            ids_of = {n: uid(n, k, study) for n in ("StudyInstanceUID", "SOPInstanceUID")}
            tags = {"Modality": "DX", "SOPClassUID": DX, "PatientID": ids[study].format(k)}
            place = folder / f"{NAME}{k}" / f"{study}.dcm"
            write(place, PIXELS + k, **tags, **ids_of, PatientName=name.format(k))
    return folder


@pytest.mark.parametrize(
    ("ids", "name"),
    [
        (("", ""), ""),  # each study counts as a patient
        (("A{0}", ""), ""),
        (("A{0}", "B{0}"), "Somebody^{0}"),  # two ids of one person
        (("ANON", "ANON"), "Somebody^{0}"),
    ],
)
def test_a_folder_of_one_patient_is_no_class(
    ids: tuple[str, str], name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert NAME not in told(patients(tmp_path, ids, name), caplog)


@pytest.mark.parametrize("ids", [("A{0}", "B{0}"), ("1{0}", "2{0}")])
def test_folders_of_several_people_are_classes(ids: tuple[str, str], tmp_path: Path) -> None:
    assert set(read(patients(tmp_path, ids, "")).values("class")) == {
        f"{NAME}{k}" for k in range(4)
    }


@pytest.mark.parametrize("suffix", ["", ".dcm", ".ima"])
def test_dicom_among_other_pictures_is_no_row(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(4):
        folder = tmp_path / "inside" / ("fern", "mug")[k % 2]
        write(
            folder / f"{NAME}{k}{suffix}", PIXELS, Modality="DX", SOPClassUID=DX, PatientID=f"{k}"
        )
        for n in range(2):
            Image.fromarray(PIXELS.astype(np.uint8)).save(folder / f"{k}-{n}.png")
    assert NAME not in told(tmp_path / "inside", caplog)
    assert "4 files of DICOM are left out" in caplog.text


def test_a_disc_of_a_hospital_is_dicom(tmp_path: Path) -> None:
    """Its programs come first."""
    for k in range(60):
        (tmp_path / "AUTORUN").mkdir(exist_ok=True)
        (tmp_path / "AUTORUN" / f"{k}.dll").write_bytes(b"MZ")
    tags = {"Modality": "DX", "SOPClassUID": DX, "PatientID": "P"}
    write(tmp_path / NAME / "1.dcm", PIXELS, **tags)
    with pytest.raises(GobelinError, match="holds no class folder"):
        read(tmp_path)
    write(tmp_path / "DICOMDIR", PIXELS, Modality="PLAN")
    assert len(read(tmp_path)) == 2 and read(tmp_path).values("image")[0].startswith("dicom:")


def test_words_of_the_standard_are_told() -> None:
    assert term("BodyPartExamined", " chest ") == "CHEST"
    assert term("BodyPartExamined", "Chest_Abdomen_Pelvis") == "CHEST_ABDOMEN_PELVIS"
    assert term("RescaleType", "HU_MOD") == "HU_MOD" and term("Modality", "ct") == "CT"
    for name in TERMS:
        assert term(name, "") == "" and term(name, f"{NAME}_R") == "" == term(name, "MRN 0017")
