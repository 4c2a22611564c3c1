"""DICOM: a folder, or one file, as a table with one row a series.

A series of slices is a volume; a picture alone, as of an X-ray, is an image. Rows of one patient
are one group. Names, ids, dates and free texts reach no column, and neither do the names of files,
which often hold them: cells and patients have opaque codes.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError
from gobelin.data.dataset import declared
from gobelin.data.dicom.aliases import name_files
from gobelin.data.dicom.files import is_dicom
from gobelin.data.dicom.folder import classes, found_files, named_series, patients, told
from gobelin.data.dicom.headers import opened_headers
from gobelin.data.dicom.series import series_of
from gobelin.data.files import HEAD

INDEX = "DICOMDIR"  # the list of the files of a disc
LOOKED_AT = 50  # files of a folder that tell whether it is one of DICOM
FACTS = {
    **dict.fromkeys(("modality", "body_part", "view", "side"), pa.string()),
    **dict.fromkeys(("manufacturer", "model"), pa.string()),
    **dict.fromkeys(("kvp", "field_strength", "slice_thickness", "age"), pa.float64()),
    "sex": pa.string(),
}


@settings_class
class Dicom:
    """No settings. Columns: `volume` and `image` (names of files), `modality`, `body_part`, `view`,
    `side`, `manufacturer`, `model`, `kvp`, `field_strength` (tesla), `slice_thickness` (mm), `age`
    (years, at most 90), `sex`, `patient` (a code, the group), and `class` and `split` where folders
    with several patients each name them. A column that no file fills is left out.
    """

    def claims(self, path: Path) -> bool:
        if path.is_file():
            return _begins(path)
        if _begins(path / INDEX):
            return True  # a disc of a hospital, with programs that show it
        files = found_files(path, LOOKED_AT)
        return 2 * sum(map(_begins, files)) > len(files)

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        folder = path if path.is_dir() else path.parent
        headers, bad = opened_headers(found_files(path) if path.is_dir() else [path])
        series = series_of(told(path, headers, bad))
        if not series:
            raise GobelinError(
                f"{path}: holds no DICOM file with a picture. Give a folder of CT, MR, X-ray or"
                " other images."
            )
        names, groups = named_series(path, series), patients(path, series)
        named = zip(names, series, strict=True)
        name_files({n: tuple(h.path.resolve() for h in s.headers) for n, s in named})
        rows = sorted(range(len(series)), key=lambda k: (groups[k], names[k]))
        fields: list[pa.Field] = []
        columns: list[pa.Array] = []
        for kind in ("volume", "image"):
            cells = [names[k] if series[k].kind == kind else None for k in rows]
            if any(cells):
                fields.append(declared(kind, pa.string(), kind))
                columns.append(pa.array(cells, pa.string()))
        for name, kind in FACTS.items():
            facts = [series[k].first.facts.get(name) for k in rows]
            if any(fact is not None for fact in facts):
                fields.append(pa.field(name, kind))
                columns.append(pa.array(facts, kind))
        for name, values in (classes(path, series, groups) if path.is_dir() else {}).items():
            fields.append(pa.field(name, pa.string()))
            columns.append(pa.array([values[k] for k in rows], pa.string()))
        fields.append(declared("patient", pa.string(), "group"))
        columns.append(pa.array([groups[k] for k in rows], pa.string()))
        return pa.table(columns, schema=pa.schema(fields)), folder


def _begins(path: Path) -> bool:
    """Whether a file begins as DICOM does."""
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(HEAD))
    except OSError:
        return False
