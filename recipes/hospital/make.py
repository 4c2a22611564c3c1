"""A hospital's folder of CT scans, made from phantoms: nothing in it is of a person.

python recipes/hospital/make.py FOLDER [--patients 40] [--seed 0] [--shortcut 0.9]

FOLDER gets the folders `bleeding/` and `clear/`, one for each diagnosis, with DICOM files as a
hospital exports them. A phantom is a head of ellipsoids: skin, skull, brain and ventricles, in half
of the patients with a bleeding. What is wrong on purpose, as in real exports:
- every patient has a localiser beside the scan, a series of one image in another orientation;
- every fifth patient has a second series, of thicker slices;
- the scans of three patients lack slices, one has a slice twice, and one file is empty;
- file names say nothing, and the files of a patient lie in any order;
- two scanners: the second is noisier, and its values are 15 HU too high. Most patients with a
  bleeding were scanned by the first one. That is the planted shortcut: a model that reads the
  scanner looks good here, and fails in another hospital.
Names, dates and numbers of patients are invented. They are there so that a test can look for them
in what is made of this folder."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SIDE, SLICES = 64, 20  # pixels of a slice, slices of a scan
SPACING, STEP = 3.0, 7.0  # mm of a pixel, mm from slice to slice
AIR, SKIN, BONE, BRAIN, FLUID, BLOOD = -1000.0, 40.0, 900.0, 35.0, 8.0, 65.0  # HU
CT_RESCALE = -1024  # the stored value 0 in HU
LACKING = {2: (8,), 11: (4, 5), 23: (15,)}  # patient: slices that are missing
DOUBLED, EMPTY = 7, 30  # patients with a slice twice, and with an empty file


@dataclass(frozen=True)
class Scanner:
    """maker, model: as the DICOM header has them. noise: HU, standard deviation of a voxel. offset:
    HU, added to all voxels."""

    maker: str
    model: str
    noise: float
    offset: float


SCANNERS = (Scanner("Northlight", "N-64", 6.0, 0.0), Scanner("Westfield", "Helix 2", 18.0, 15.0))


@dataclass(frozen=True)
class Patient:
    number: int
    bleeding: bool
    scanner: Scanner
    age: int
    sex: str

    @property
    def identity(self) -> dict[str, str]:
        """What may reach nothing that is made of the folder."""
        return {
            "PatientID": f"HOSP-{7301 + 17 * self.number}",
            "PatientName": f"Invented^Person{self.number:02d}",
            "PatientBirthDate": f"{2024 - self.age}0{1 + self.number % 9}17",
            "InstitutionName": "Invented General Hospital",
            "ReferringPhysicianName": "Invented^Doctor",
            "AccessionNumber": f"ACC{90_000 + self.number}",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--shortcut",
        type=float,
        default=0.9,
        help="share of the patients with a bleeding on the first scanner, and of the others on the"
        " second; 0.5 = none",
    )
    given = parser.parse_args()
    write(given.folder, given.patients, given.seed, given.shortcut)
    sys.stdout.write(f"{given.folder}: {given.patients} patients\n")


def write(folder: Path, patients: int = 40, seed: int = 0, shortcut: float = 0.9) -> None:
    """Write the folders `bleeding` and `clear` below `folder`. The same arguments give the same
    files."""
    rng = np.random.default_rng(seed)
    files: list[tuple[str, FileDataset | None]] = []
    for number in range(patients):
        patient = person(number, shortcut, rng)
        diagnosis = "bleeding" if patient.bleeding else "clear"
        files += [(diagnosis, file) for file in studies(patient, rng)]
    for k, place in enumerate(rng.permutation(len(files)).tolist()):
        diagnosis, file = files[place]
        path = folder / diagnosis / f"IM{k:05d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if file is None:
            path.touch()
        else:
            file.save_as(path, enforce_file_format=True)


def person(number: int, shortcut: float, rng: np.random.Generator) -> Patient:
    """Every second patient has a bleeding."""
    bleeding = number % 2 == 0
    first = rng.random() < (shortcut if bleeding else 1 - shortcut)
    age = int(rng.integers(25, 90))
    return Patient(number, bleeding, SCANNERS[0 if first else 1], age, "MF"[int(rng.integers(2))])


def studies(patient: Patient, rng: np.random.Generator) -> list[FileDataset | None]:
    """The files of a patient: the scan, the localiser, and what is wrong."""
    head = phantom(patient, rng)
    study, frame = (new_uid(patient, what) for what in ("study", "frame"))
    missing = LACKING.get(patient.number, ())
    kept = [z for z in range(SLICES) if z not in missing]
    kept += [kept[3]] * (patient.number == DOUBLED)
    uid = new_uid(patient, "scan")
    out: list[FileDataset | None] = [
        image(patient, head[z], (study, frame, uid, 2), z * STEP, z + 1, STEP) for z in kept
    ]
    if patient.number % 5 == 0:
        thick = head.reshape(SLICES // 2, 2, SIDE, SIDE).mean(1)
        uid = new_uid(patient, "thick")
        out += [
            image(patient, cut, (study, frame, uid, 3), (2 * z + 0.5) * STEP, z + 1, 2 * STEP)
            for z, cut in enumerate(thick)
        ]
    side = np.repeat(head[:, :, SIDE // 2], 3, 0)[::-1]
    scout = np.full((SIDE, SIDE), AIR)
    scout[2 : 2 + len(side)] = side
    out.append(
        image(
            patient, scout, (study, frame, new_uid(patient, "scout"), 1), 0.0, 1, STEP, scout=True
        )
    )
    return out + [None] * (patient.number == EMPTY)


def new_uid(patient: Patient, *names: object) -> str:
    """The same UID each time for the same names."""
    return generate_uid(entropy_srcs=["phantom", str(patient.number), *map(str, names)])


def phantom(patient: Patient, rng: np.random.Generator) -> np.ndarray:
    """float64 [SLICES, SIDE, SIDE] in HU, from the neck up, as the scanner measures it."""
    z, y, x = np.meshgrid(
        np.linspace(-1, 1, SLICES),
        np.linspace(-1, 1, SIDE),
        np.linspace(-1, 1, SIDE),
        indexing="ij",
    )
    scale = 1 + 0.06 * rng.standard_normal(3)
    tilt = 0.08 * rng.standard_normal()
    x, y = x + tilt * y, y - tilt * x

    def ellipsoid(size: tuple[float, float, float], centre: tuple[float, ...] = (0, 0, 0)):  # noqa: ANN202
        parts = [
            ((axis - c) / (s * f)) ** 2
            for axis, c, s, f in zip((z, y, x), centre, size, scale, strict=True)
        ]
        return sum(parts) < 1

    head = np.full(z.shape, AIR)
    for value, size in (
        (SKIN, (0.9, 0.8, 0.65)),
        (BONE, (0.86, 0.76, 0.61)),
        (BRAIN, (0.78, 0.69, 0.54)),
    ):
        head[ellipsoid(size)] = value
    ventricle = 0.7 + 0.006 * patient.age
    for side in (-1, 1):
        size = (0.3 * ventricle, 0.28 * ventricle, 0.07 * ventricle)
        head[ellipsoid(size, (0.05, 0.0, 0.13 * side))] = FLUID
    if patient.bleeding:
        radius = 0.12 + 0.06 * rng.random()
        centre = (0.3 * rng.uniform(-1, 1), 0.35 * rng.uniform(-1, 1), 0.3 * rng.choice([-1, 1]))
        head[ellipsoid((1.4 * radius, radius, radius), centre)] = BLOOD
    noise = patient.scanner.noise * rng.standard_normal(head.shape)
    return np.clip(head + patient.scanner.offset + noise, -1024, 3000)


def image(
    patient: Patient,
    pixels: np.ndarray,
    series: tuple[str, str, str, int],
    height: float,
    number: int,
    thickness: float,
    scout: bool = False,
) -> FileDataset:
    """A DICOM file. pixels: HU [SIDE, SIDE]. series: UIDs of study, frame of reference and series,
    and the number of the series. height: mm of the slice. scout: a localiser, seen from the
    side."""
    study, frame, uid, place = series
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = new_uid(patient, uid, number)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    values = {
        **patient.identity,
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": study,
        "FrameOfReferenceUID": frame,
        "SeriesInstanceUID": uid,
        "SeriesNumber": place,
        "InstanceNumber": number,
        "Modality": "CT",
        "BodyPartExamined": "HEAD",
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER" if scout else "AXIAL"],
        "Manufacturer": patient.scanner.maker,
        "ManufacturerModelName": patient.scanner.model,
        "PatientAge": f"{patient.age:03d}Y",
        "PatientSex": patient.sex,
        "StudyDate": "20240501",
        "KVP": 120,
        "SliceThickness": thickness,
        "PixelSpacing": [SPACING, SPACING],
        "ImageOrientationPatient": [0, 1, 0, 0, 0, -1] if scout else [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, -SPACING * SIDE / 2, 200] if scout else [-96, -96, height],
        "Rows": SIDE,
        "Columns": SIDE,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleIntercept": CT_RESCALE,
        "RescaleSlope": 1,
        "RescaleType": "HU",
    }
    for name, value in values.items():
        setattr(file, name, value)
    stored = np.round(pixels - CT_RESCALE).clip(0, 65535).astype("<u2")
    file.PixelData = stored.tobytes()
    return file


if __name__ == "__main__":
    assert int(pydicom.__version__.split(".")[0]) >= 3, "needs pydicom 3 or newer"
    main()
