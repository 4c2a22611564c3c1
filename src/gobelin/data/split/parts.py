"""Recorded parts: which part of the split a group is in, and which groups were trained on, by name.

A row is named by its group; without a group by its id; without an id by a hash of its content. Row
numbers name nothing, so that sorting a table moves nobody. Of n equal rows each has a name of its
own (a count is added): they are interchangeable, and many equal rows don't become one large group.

What this cannot show: that a row without group and id whose cells changed is the same row. It has
another name, and counts as new.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError, why_damaged
from gobelin.core.files import canonical_json, fingerprint, read_json, write_json
from gobelin.core.printable import counted
from gobelin.data.budget import refuse_names
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.data.split.part_names import SPLIT_PARTS

PARTS_FORMAT = 1  # of the file
ID_COLUMN = "gobelin_id"  # ids that a file came with
NAME_DIGITS = 20  # of the hash of a row's content
WHOLE = re.compile(r"-?(0|[1-9][0-9]*)\.0+")  # a whole number, written with places
MOST_DIGITS = 400  # of a number that is written out: floats have fewer
MIDNIGHT = " 00:00:00"


@dataclass(frozen=True)
class Naming:
    """How the rows of a data set are named.

    group, id: columns, '' for none. content: the columns whose cells name a row without both.
    """

    group: str = ""
    id: str = ""
    content: tuple[str, ...] = ()

    @staticmethod
    def of(dataset: Dataset, schema: Schema) -> Naming:
        """The naming of a data set that was just read: later it has a column of ids."""
        group, own = schema.role("group") or "", schema.role("id") or ""
        if not own and ID_COLUMN in dataset.table.column_names:
            own = ID_COLUMN
        named = bool(own) or (bool(group) and None not in dataset.values(group))
        return Naming(group, own, () if named else tuple(sorted(dataset.column_names)))

    def lacking(self, dataset: Dataset) -> list[str]:
        """The columns that these names need and the data set lacks."""
        needed = [name for name in (self.group, self.id, *self.content) if name]
        return [name for name in needed if name not in dataset.table.column_names]

    def names(self, dataset: Dataset) -> list[str]:
        """The names of the N rows. The data set must have all columns that they need."""
        own: Sequence[str] = [""] * len(dataset)
        if self.id == ID_COLUMN:
            own = dataset.ids
        elif self.id:
            own = [_name(v) for v in dataset.values(self.id)]
        elif self.content:
            own = _hashes(dataset, self.content)
        if not self.group:
            return list(own)
        prefix = "row " if self.id else ""  # a hash has it already
        values = dataset.values(self.group)
        pairs = zip(values, own, strict=True)
        names = [prefix + o if v is None else group_name(v) for v, o in pairs]
        refuse_names(str(dataset.source), names)
        return names


@dataclass(frozen=True, eq=False)
class NamedRows:
    """The names of N rows. dataset: as it was read, before ids were added to it."""

    dataset: Dataset
    naming: Naming
    names: tuple[str, ...]
    _by: dict[Naming, Sequence[str]] = field(default_factory=dict)  # by other namings

    @staticmethod
    def of(dataset: Dataset, schema: Schema) -> NamedRows:
        naming = Naming.of(dataset, schema)
        return NamedRows(dataset, naming, tuple(naming.names(dataset)))

    def by(self, naming: Naming) -> Sequence[str]:
        """The names of the N rows by the naming of another data set. Raises GobelinError where
        these rows lack a column of it.
        """
        if lacking := naming.lacking(self.dataset):
            raise GobelinError(
                f"{self.dataset.source}: lacks the column {lacking[0]!r}, by which rows were named."
                " Give a table that has it."
            )
        if naming == self.naming:
            return self.names
        if naming not in self._by:
            self._by[naming] = naming.names(self.dataset)
        return self._by[naming]


@dataclass(frozen=True)
class TrainedNames:
    """The names of groups that something was trained on."""

    naming: Naming
    names: frozenset[str]


@dataclass(frozen=True)
class RecordedParts:
    """The parts of a run.

    drawn: the settings that they were drawn with. part_of: {group: part}. earlier: groups that were
    trained on elsewhere, by what this run took over, or here before the parts were drawn anew.
    """

    naming: Naming
    drawn: Mapping[str, Any]
    part_of: Mapping[str, str]
    earlier: tuple[TrainedNames, ...] = ()
    source: str = field(default="", compare=False)  # the run folder, for messages

    @property
    def key(self) -> str:
        """Hash of the parts."""
        return fingerprint(asdict(self.naming), dict(self.part_of))

    @property
    def trained(self) -> tuple[TrainedNames, ...]:
        """All groups that the run or what it took over was trained on."""
        own = frozenset(name for name, part in self.part_of.items() if part == "train")
        return (TrainedNames(self.naming, own), *self.earlier)

    def of_rows(self, rows: NamedRows) -> list[str | None]:
        """The recorded part of each of N rows; 'train' for rows trained on elsewhere, None for new
        ones.
        """
        parts = [self.part_of.get(name) for name in rows.by(self.naming)]
        seen = trained_rows(self.earlier, rows)
        return ["train" if p is None and s else p for p, s in zip(parts, seen, strict=True)]

    def missing(self, rows: NamedRows) -> list[str]:
        """The groups that these rows lack."""
        if self.naming.lacking(rows.dataset):
            return list(self.part_of)
        names = set(rows.by(self.naming))
        return [name for name in self.part_of if name not in names]

    def with_earlier(self, more: Iterable[TrainedNames]) -> RecordedParts:
        """The same parts; these groups were trained on too."""
        known: dict[Naming, frozenset[str]] = {}
        for one in (*self.earlier, *more):
            known[one.naming] = known.get(one.naming, frozenset()) | one.names
        own = {name for name, part in self.part_of.items() if part == "train"}
        if self.naming in known:
            known[self.naming] -= own
        kept = tuple(TrainedNames(naming, names) for naming, names in known.items() if names)
        return RecordedParts(self.naming, self.drawn, self.part_of, kept, self.source)

    def save(self, path: Path) -> None:
        """Write the file, with a hash of its content."""
        content = {
            "naming": asdict(self.naming),
            "drawn": dict(self.drawn),
            "parts": dict(self.part_of),
            "earlier": [
                {"naming": asdict(e.naming), "names": sorted(e.names)} for e in self.earlier
            ],
        }
        write_json(path, {"format": PARTS_FORMAT, "hash": _hash(content), **content})

    @staticmethod
    def load(path: Path) -> RecordedParts:
        """Read the file. Raises GobelinError where it is missing, damaged or was changed."""
        try:
            stored = read_json(path)
            version, digest = stored.pop("format"), stored.pop("hash")
            if (version, digest) != (PARTS_FORMAT, _hash(stored)):
                raise ValueError("another format, or changed since it was written")
            earlier = tuple(
                TrainedNames(_naming(e["naming"]), frozenset(map(_renamed, _texts(e["names"]))))
                for e in stored["earlier"]
            )
            naming = _naming(stored["naming"])
            part_of = {_renamed(name): part for name, part in stored["parts"].items()}
            drawn = dict(stored["drawn"])
            if not set(_texts(part_of.values())) <= {*SPLIT_PARTS}:
                raise ValueError("a part has an unknown name")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise GobelinError(
                f"{path}: is missing or damaged ({why_damaged(error)}), and it says which rows"
                " were trained on. Restore it, or choose another --run."
            ) from error
        return RecordedParts(naming, drawn, part_of, earlier, str(path.parent))


def trained_rows(trained: Iterable[TrainedNames], rows: NamedRows) -> np.ndarray:
    """bool [N]: the rows that were trained on. Names that the rows have no columns for match none
    of them.
    """
    found = np.zeros(len(rows.names), bool)
    for one in trained:
        if not one.naming.lacking(rows.dataset):
            found |= [name in one.names for name in rows.by(one.naming)]
    return found


def torn_groups(rows: Sequence[str | None], groups: Sequence[str]) -> dict[str, str]:
    """{group: a part that is not its first row's} of the groups with rows of several parts. rows:
    the parts of N rows.
    """
    parts: dict[str, str] = {}
    torn: dict[str, str] = {}
    for group, part in zip(groups, rows, strict=True):
        if part is not None and parts.setdefault(group, part) != part:
            torn.setdefault(group, part)
    return torn


def parts_of_groups(
    rows: Sequence[str | None], groups: Sequence[str], where: str, way_out: str
) -> dict[str, str]:
    """{group: part} of the groups with a row whose part is known. rows: the parts of N rows.
    where: their run, and way_out: what to do, for messages. Raises GobelinError for a group with
    rows of several parts.
    """
    parts: dict[str, str] = {}
    for group, part in zip(groups, rows, strict=True):
        if part is not None:
            parts.setdefault(group, part)
    if torn := torn_groups(rows, groups):
        group, part = next(iter(torn.items()))
        raise GobelinError(
            f"{where}: has rows of {counted(len(torn), 'group', 'groups')} in several parts (first:"
            f" {group!r} in {parts[group]} and in {part}), and a group stays together. Use the"
            f" groups that it used, or {way_out}."
        )
    return parts


def _hashes(dataset: Dataset, columns: Sequence[str]) -> list[str]:
    """A name for each row from its cells in these columns; a count for the second of equal rows
    and those after it.
    """
    cells = [dataset.values(c) for c in columns]
    seen: Counter[str] = Counter()
    names = []
    for row in zip(*cells, strict=True):  # one at a time: texts take more than numbers
        name = "row " + _hash([_plain(v) for v in row])[:NAME_DIGITS]
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return names


def _hash(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell is any
    """The cell as text, the same in every kind of file and whatever stands in other rows."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return fingerprint(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, str | Decimal):
        value = str(value)
        for number in (int, float):
            try:
                return _text(number(value))
            except (ValueError, OverflowError):
                continue
    return _text(value)


def group_name(value: object) -> str:
    """The name of a group. Blanks around it, the way a letter with an accent is coded (Unicode NFC)
    and the type of a number or a date (`_name`) make no other group: a patient must not stand in
    two parts of the split for a blank, nor because a table was saved by another program.
    """
    return unicodedata.normalize("NFC", _name(value)).strip()


def groups_that_look_alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups whose names differ by letter case or by blanks within alone, each list sorted."""
    alike: dict[str, set[str]] = {}
    for name in names:
        alike.setdefault("".join(name.casefold().split()), set()).add(name)
    return sorted(tuple(sorted(written)) for written in alike.values() if len(written) > 1)


def _name(value: object) -> str:
    """The value as a name, the same whatever type a file has for it: 3, 3.0, 3.00 and the text
    "3.0" are 3; true and false are in small letters; a day at 0:00 is that day.
    """
    if isinstance(value, str):
        return _text_name(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < MOST_DIGITS:
        if value == value.to_integral_value():
            return str(int(value))
        near = str(float(value))
        return near if Decimal(near) == value else f"{value:f}".rstrip("0")
    return _text_name(str(value))


def _text_name(text: str) -> str:
    """The same of a text."""
    if WHOLE.fullmatch(text):
        return text.partition(".")[0]
    return text.lower() if text in ("True", "False") else text.removesuffix(MIDNIGHT)


def _text(value: object) -> str:
    """A cell as text, for a hash: 3.0 as 3, true and false in small letters."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _renamed(name: str) -> str:
    """A name of an earlier version as this one gives it."""
    kind, found, rest = name.rpartition("row ")
    return kind + found + _name(rest)


def _naming(stored: Mapping[str, Any]) -> Naming:
    group, own = _texts([stored["group"], stored["id"]])
    return Naming(group, own, tuple(_texts(stored["content"])))


def _texts(stored: Iterable[Any]) -> list[str]:
    """The values of a list. Raises ValueError where one is no text, and for a text in its place."""
    values = list(stored)
    if isinstance(stored, str | dict) or not all(isinstance(value, str) for value in values):
        raise ValueError("texts were expected")
    return values
