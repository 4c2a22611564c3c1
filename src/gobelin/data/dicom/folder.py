"""A folder of DICOM files: what is read of it, what is left out and told, and opaque codes for its
series and patients.

A code is a hash of unique ids and of some pixels. It can't be found by trying all ids of patients;
who holds the files can compute it.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from gobelin.core.printable import counted
from gobelin.data.budget import refuse
from gobelin.data.dicom.aliases import ALIAS
from gobelin.data.dicom.headers import OLDEST, Header, has_pixels
from gobelin.data.dicom.series import DicomSeries
from gobelin.data.split.part_names import part_of
from gobelin.data.walk import Walk

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
SAMPLED = 4096  # bytes from the middle of a file, where its pixels are, that go into a code
CODE_LETTERS = 16
LEAST_PATIENTS = 2  # of each folder, where names of folders are classes


def found_files(folder: Path, most: int | None = None) -> list[Path]:
    """The files below a folder, sorted, without hidden ones; the first `most` that are found. A
    warning counts the folders that can't be opened; their names may be those of patients."""
    walk = Walk(folder)
    found = (
        place / name
        for place, folders, names in walk.places()
        for name in (*sorted(names), *_links(place, folders))
        if not name.startswith(".") and walk.is_file(place / name, inside=True)
    )
    files = list(islice(found, most))
    if most is None:
        walk.tell(named=False)
    refuse(str(folder), "rows", len(files))
    return sorted(files)


def _links(place: Path, folders: list[str]) -> list[str]:
    """Those of the folders that are links, which are not followed. Has the walk go into visible
    folders alone, in their order."""
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    return [name for name in folders if (place / name).is_symlink()]


def told(path: Path, headers: Sequence[Header], bad: Mapping[str, Sequence[Path]]) -> list[Header]:
    """The headers of files with a picture that is read, each file once. A warning for each reason
    to leave others out. bad: files that could not be opened, by the reason.
    """
    for reason, files in sorted(bad.items()):
        LOG.warning(
            "%s: %s (first: %s).",
            path,
            counted(
                len(files),
                f"file {reason}, and is left out",
                f"files are left out, as each {reason}",
            ),
            files[0].name,  # without its folders, which may be named by patients
        )
    without = Counter(h.modality or "no modality" for h in headers if not has_pixels(h))
    if without:
        LOG.warning(
            "%s: %s left out: %s.",
            path,
            counted(without.total(), "file without a picture is", "files without a picture are"),
            ", ".join(f"{name} {count}" for name, count in sorted(without.items())),
        )
    pictures = [h for h in headers if has_pixels(h)]
    seen: set[str] = set()
    once: list[Header] = []
    for header in pictures:
        if not header.instance or header.instance not in seen:
            once.append(header)
        seen.add(header.instance)
    _warn(path, len(pictures) - len(once), "copy of another file", "copies of other files")
    kept = [h for h in once if not h.localiser]
    if kept:
        _warn(path, len(once) - len(kept), "localiser", "localisers")
    return kept or once


def _warn(path: Path, count: int, one: str, several: str) -> None:
    """Warn of files that are left out."""
    if count:
        LOG.warning("%s: %s left out.", path, counted(count, f"{one} is", f"{several} are"))


def named_series(path: Path, series: Sequence[DicomSeries]) -> list[str]:
    """The name of each series in its cell. A warning for each thing that is odd about some."""
    stacks = [s.stack for s in series if s.stack]
    volumes = Counter(s.first.series for s in series if s.kind == "volume")
    split = sum(n > 1 for n in volumes.values())
    gaps = [s.missing for s in stacks if s.missing and not s.uneven]
    uneven, sheared = sum(s.uneven for s in stacks), sum(s.sheared for s in stacks)
    doubled = [s.doubled for s in stacks if s.doubled]
    films = sum(s.kind == "image" and s.first.shape[3] > 1 for s in series)
    written_in = sum(s.first.burned_in for s in series)
    old = sum(s.first.facts.get("age") == OLDEST for s in series)
    unread = Counter(name for s in series for name in s.first.unread)
    told = ", ".join(f"{name} of {counted(n, 'row', 'rows')}" for name, n in unread.items())
    for count, line in (
        (split, f"in {split} series slices have several orientations or sizes, each of them a row"),
        (gaps, f"in {len(gaps)} series slices are missing ({sum(gaps)}); their places stay empty"),
        (uneven, f"in {uneven} series slices have uneven distances; their mean is used"),
        (
            doubled,
            f"in {len(doubled)} series slices ({sum(doubled)}) lie at the place of others, such as"
            " further times or echoes; the first of each place is read",
        ),
        (sheared, f"in {sheared} series slices are shifted sideways, as by a tilted gantry"),
        (films, f"films, of which the first frame is read: {films}"),
        (
            written_in,
            "rows with text in the picture (BurnedInAnnotation), which may be a name:"
            f" {written_in}",
        ),
        (unread, f"texts that are no words of the DICOM standard are not read: {told}"),
        (old, f"rows with an age of {OLDEST} or more, read as {OLDEST}: {old}"),
    ):
        if count:
            LOG.warning("%s: %s.", path, line)
    return [ALIAS + code(_parts(s)) for s in series]


def _parts(series: DicomSeries) -> list[object]:
    first = series.first
    plane = first.plane if series.stack else None
    way = (plane.across, plane.down) if plane else first.instance
    return [first.series, repr(way), first.shape, sample(first.path)]


def code(parts: Iterable[object]) -> str:
    """Letters and digits that stand for these parts."""
    return hashlib.sha256(repr(list(parts)).encode()).hexdigest()[:CODE_LETTERS]


def sample(path: Path) -> bytes:
    """Some bytes from the middle of a file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size // 2 - SAMPLED // 2))
        return file.read(SAMPLED)


def patients(path: Path, series: Sequence[DicomSeries]) -> list[str]:
    """The code of each series' patient. A warning where it is doubtful who is who."""
    headers = [s.first for s in series]
    ids = {h.who for h in headers if h.who[0]}
    studies = {h.study for h in headers}
    one = len(ids) == 1 and len(studies) > 1 and all(h.who[0] for h in headers)
    alone = one and len({(h.person, h.facts.get("sex")) for h in headers}) > 1
    without = sum(not h.who[0] for h in headers)
    names, persons = _shared(headers)
    for true, line in (
        (
            without,
            f"{counted(without, 'row has', 'rows have')} no PatientID; each study counts as a"
            " patient",
        ),
        (
            alone,
            f"all {len(studies)} studies have one PatientID and are of several people; each study"
            " counts as a patient",
        ),
        (
            one and not alone,
            f"all {len(studies)} studies have one PatientID and count as one patient. If it stands"
            " for many, leave the group out: --set schema.patient=ignore",
        ),
        (
            names,
            f"{counted(names, 'name belongs', 'names belong')} to several PatientIDs; patients are"
            " told apart by PatientID",
        ),
        (
            persons and not alone,
            f"{counted(persons, 'PatientID has', 'PatientIDs have')} several names or dates of"
            " birth; each PatientID counts as one patient",
        ),
    ):
        if true:
            LOG.warning("%s: %s.", path, line)
    keys = [("study", h.study) if alone or not h.who[0] else ("patient", *h.who) for h in headers]
    first: dict[tuple[str, ...], Header] = {}
    for key, header in sorted(zip(keys, headers, strict=True), key=lambda p: _age_of(p[1])):
        first.setdefault(key, header)
    codes = {k: "p" + code(["patient", h.instance, sample(h.path)]) for k, h in first.items()}
    return [codes[key] for key in keys]


def _age_of(header: Header) -> tuple[object, ...]:
    """Sorts the oldest file first, so that a patient's code stays when later studies are added."""
    return (*header.when, header.instance, str(header.path))


def _shared(headers: Sequence[Header]) -> tuple[int, int]:
    """How many names several ids have, and how many ids have several names or dates of birth."""
    of_name: dict[str, set[tuple[str, str]]] = {}
    of_id: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for header in headers:
        if header.who[0]:
            of_name.setdefault(header.person[0], set()).add(header.who)
            of_id.setdefault(header.who, set()).add(header.person)
    several = sum(len(ids) > 1 for name, ids in of_name.items() if name)
    return several, sum(len(persons) > 1 for persons in of_id.values())


def _people(series: Sequence[DicomSeries]) -> int:
    """How many patients these series surely are of: by their ids, and by their names where all have
    one."""
    ids = {s.first.who for s in series if s.first.who[0]}
    names = {s.first.person[0] for s in series}
    return len(ids) if "" in names else min(len(ids), len(names))


def classes(
    path: Path, series: Sequence[DicomSeries], codes: Sequence[str]
) -> dict[str, list[str]]:
    """{'class': names of folders, 'split': parts} of each series, where the folders directly in
    `path`, or those in folders that name parts, hold several patients each; else nothing.

    A folder of one patient is often named by that patient, so its name is not used. Only patients
    that files tell apart by their ids count, as several studies may be of one person. codes: of the
    patients.
    """
    places = [s.first.path.relative_to(path).parts[:-1] for s in series]
    if not all(places):
        return {}
    parts = [part_of(place[0]) for place in places]
    columns = {}
    if all(parts) and "train" in parts and len(set(parts)) > 1:
        columns["split"] = [place[0] for place in places]
        places = [place[1:] for place in places]
    tops = [place[0] if place else "" for place in places]
    held: dict[str, list[DicomSeries]] = {}
    for top, one in zip(tops, series, strict=True):
        held.setdefault(top, []).append(one)
    several = len(held) > 1 and "" not in held
    if several and min(map(_people, held.values())) >= LEAST_PATIENTS:
        columns["class"] = tops
    elif several and all(
        len({c for c, t in zip(codes, tops, strict=True) if t == top}) > 1 for top in held
    ):
        LOG.warning(
            "%s: names of folders are not read: their files have no PatientID or one name in each,"
            " so a folder may be of one patient. If they are classes, write a table of them.",
            path,
        )
    if columns:
        LOG.warning(
            "%s: names of folders are the columns %s. Other names of folders and files are not"
            " read, as they may name patients.",
            path,
            ", ".join(columns),
        )
    return columns
