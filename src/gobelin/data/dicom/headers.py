"""What the headers of DICOM files say: where each slice lies, what it belongs to, and the few facts
that become columns.

What tells who a patient is serves to group files while they are read, and leaves this module in no
other way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.data.dicom.files import code, frames_of, number, numbers, quiet, read, value
from gobelin.data.files import BadCell
from gobelin.data.volume.slices import Plane

TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "ImageType"),
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyDate"),
    *("PatientSex", "PatientAge", "StudyTime", "SeriesNumber", "InstanceNumber", "Modality"),
    *("Manufacturer", "ManufacturerModelName", "KVP", "MagneticFieldStrength", "SliceThickness"),
    *("BodyPartExamined", "ViewPosition", "ImageLaterality", "Laterality", "BurnedInAnnotation"),
    *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "SamplesPerPixel", "PixelSpacing"),
    *("ImageOrientationPatient", "ImagePositionPatient", "SpacingBetweenSlices"),
    *("GridFrameOffsetVector", "SharedFunctionalGroupsSequence"),
    "PerFrameFunctionalGroupsSequence",
)
WITHOUT_PICTURE = ("SEG", "PR", "KO", "REG", "RTSTRUCT", "RTPLAN", "SR", "DOC", "AU", "ECG")
STACKED = ("CT", "MR", "PT", "NM", "RTDOSE")  # whose frames lie on each other, not in time
AGE = re.compile(r"(\d{1,3})([DWMY])")
YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
OLDEST = 90  # years; an older person would be known by the age
LETTERS = 64  # of a maker's or a model's name, at most
# elements of which only words of the standard are columns
CODED = ("Modality", "BodyPartExamined", "ViewPosition", "ImageLaterality", "Laterality")


@dataclass(frozen=True)
class Header:
    """What one file says.

    who: of the patient, for grouping alone: id, its issuer. person: name and date of birth. study,
    series, instance: unique ids. when: date and time of the study, and the number of the series.
    shape: rows, columns, samples a pixel, frames. plane: where a single slice lies; None where the
    file does not say. facts: what becomes columns.
    """

    path: Path
    who: tuple[str, str] = field(repr=False)
    person: tuple[str, str] = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    instance: str = field(repr=False)
    when: tuple[str, str, float] = field(repr=False)
    place: float  # number of the image in its series
    modality: str
    shape: tuple[int, int, int, int]
    plane: Plane | None
    stacked: bool  # whether its frames lie on each other
    localiser: bool
    burned_in: bool  # whether the file says that text is in the picture
    facts: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()  # elements whose text is no word of the standard


@quiet()
def header_of(path: Path) -> Header:
    """Raises BadCell for a file that is no DICOM, or can't be read."""
    data = read(path, TAGS)
    names = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    instance, series, study = (_text(data, name) for name in names)
    rows, columns = (int(number(data, name) or 0) for name in ("Rows", "Columns"))
    frames = frames_of(data) if rows else 1
    modality = code(data, "Modality")
    many = value(data, "PerFrameFunctionalGroupsSequence") or value(data, "GridFrameOffsetVector")
    return Header(
        path,
        (_text(data, "PatientID"), _text(data, "IssuerOfPatientID")),
        (_text(data, "PatientName").upper(), _text(data, "PatientBirthDate")),
        study,
        series or instance,
        instance,
        (_text(data, "StudyDate"), _text(data, "StudyTime"), number(data, "SeriesNumber") or 0.0),
        number(data, "InstanceNumber") or 0.0,
        modality,
        (rows, columns, int(number(data, "SamplesPerPixel") or 1), frames),
        plane_of(data) if frames == 1 else None,
        frames > 1 and (bool(many) or modality in STACKED),
        "LOCALIZER" in _words(data, "ImageType"),
        code(data, "BurnedInAnnotation") == "YES",
        _facts(data, modality),
        tuple(name for name in CODED if _text(data, name) and not code(data, name)),
    )


def _text(data: Any, name: str) -> str:  # noqa: ANN401 - of pydicom
    return str(value(data, name) or "").strip()


def _words(data: Any, name: str) -> list[str]:  # noqa: ANN401
    found = value(data, name) or ()
    return [str(v).upper() for v in ([found] if isinstance(found, str) else found)]


def plane_of(data: Any) -> Plane | None:  # noqa: ANN401
    """Where a slice lies; None where the file does not say so."""
    way = numbers(data, "ImageOrientationPatient")
    corner = numbers(data, "ImagePositionPatient")
    return plane(way, corner, numbers(data, "PixelSpacing"))


def plane(way: list[float], corner: list[float], pixel: list[float]) -> Plane | None:
    """The plane of these six, three and two numbers; None where they are none."""
    if len(way) != 6 or len(corner) != 3:
        return None
    across, down = np.array(way[:3]), np.array(way[3:])
    lengths = np.linalg.norm(across), np.linalg.norm(down)
    if min(lengths) < 0.5 or abs(float(across @ down)) > 0.1:
        return None
    across, down = across / lengths[0], down / lengths[1]
    sides = (pixel[0], pixel[1]) if len(pixel) == 2 and min(pixel) > 0 else None
    return Plane(_three(across), _three(down), _three(np.array(corner)), sides)


def _three(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in vector)
    return x, y, z


def _facts(data: Any, modality: str) -> dict[str, Any]:  # noqa: ANN401
    """The columns of a file: codes and numbers, and the names of the scanner's maker and model."""
    facts = {
        "modality": modality,
        "body_part": code(data, "BodyPartExamined"),
        "view": code(data, "ViewPosition"),
        "side": code(data, "ImageLaterality") or code(data, "Laterality"),
        "manufacturer": _name(data, "Manufacturer"),
        "model": _name(data, "ManufacturerModelName"),
        "kvp": number(data, "KVP"),
        "field_strength": number(data, "MagneticFieldStrength"),
        "slice_thickness": number(data, "SliceThickness"),
        "sex": code(data, "PatientSex"),
        "age": age(_text(data, "PatientAge"), _text(data, "PatientBirthDate"), _when(data)),
    }
    return {name: fact for name, fact in facts.items() if fact not in ("", None)}


def _name(data: Any, name: str) -> str:  # noqa: ANN401
    text = " ".join(_text(data, name).split())
    return text[:LETTERS] if text.isprintable() else ""


def _when(data: Any) -> str:  # noqa: ANN401
    return _text(data, "StudyDate")


def age(text: str, born: str, studied: str) -> float | None:
    """Whole years from 2 on, at most OLDEST; None where the file does not say. text: as in DICOM,
    '034Y'; without it by the dates of birth and of the study.
    """
    years: float | None = None
    if found := AGE.fullmatch(text.upper()):
        years = int(found[1]) * YEARS[found[2]]
    elif len(born) == len(studied) == 8 and (born + studied).isdecimal():
        years = int(studied[:4]) - int(born[:4]) - (studied[4:] < born[4:])
    if years is None or not 0 <= years < 150:
        return None
    return round(years, 2) if years < 2 else float(min(int(years), OLDEST))


def has_pixels(header: Header) -> bool:
    """Whether a file holds a picture that is read."""
    return min(header.shape[:2]) > 0 and header.modality not in WITHOUT_PICTURE


def frame_planes(data: Any) -> list[Plane] | None:  # noqa: ANN401
    """The planes of the frames of one file; None where the file does not say where they lie."""
    offsets = numbers(data, "GridFrameOffsetVector")
    if (first := plane_of(data)) and len(offsets) == frames_of(data):
        moved = [np.array(first.corner) + (o - offsets[0]) * first.normal for o in offsets]
        return [Plane(first.across, first.down, _three(m), first.pixel) for m in moved]
    shared = list(value(data, "SharedFunctionalGroupsSequence") or ())
    planes = []
    for frame in value(data, "PerFrameFunctionalGroupsSequence") or ():
        groups = [frame, *shared]
        way = _of_group(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
        corner = _of_group(groups, "PlanePositionSequence", "ImagePositionPatient")
        pixel = _of_group(groups, "PixelMeasuresSequence", "PixelSpacing")
        planes.append(plane(way, corner, pixel))
    return [p for p in planes if p] if planes and all(planes) else None


def _of_group(groups: list[Any], sequence: str, name: str) -> list[float]:
    """The numbers in the first functional group that has them."""
    found = (numbers(item, name) for g in groups for item in value(g, sequence) or ())
    return next((f for f in found if f), [])


def single_spacing(data: Any) -> tuple[float, float, float] | None:  # noqa: ANN401
    """mm along frames, rows and columns of a file that says where no frame lies."""
    pixel = numbers(data, "PixelSpacing")
    distance = number(data, "SpacingBetweenSlices") or number(data, "SliceThickness")
    if len(pixel) != 2 or min(pixel) <= 0 or not distance or distance <= 0:
        return None
    return distance, pixel[0], pixel[1]


def opened_headers(paths: list[Path]) -> tuple[list[Header], dict[str, list[Path]]]:
    """The headers of files, and the others by the reason why they are none."""
    headers: list[Header] = []
    bad: dict[str, list[Path]] = {}
    for path in paths:
        try:
            headers.append(header_of(path))
        except BadCell as error:
            bad.setdefault(str(error), []).append(path)
    return headers, bad
