"""The contract of a medium: one kind of thing that is looked at and generated, held as an array.

A medium says how a cell is opened and fitted to a size, how an array is written as a file with its
mark, and how it is drawn as one picture. Generators, screens, audits, metrics, contact sheets and
reports ask the medium of a field and name no pixels themselves. A new medium is one file here, with
encoders and generators that take its arrays.

An array without its rows has one axis for each dimension and a last one for channels: an image is
uint8 [H, W, C], a volume is uint8 [D, H, W, C].
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from gobelin.core import catalog
from gobelin.data.fields import Cell
from gobelin.data.image.images import Opening
from gobelin.data.volume.volumes import VolumeOpening

AnyOpening = Opening | VolumeOpening
# The words for images and pixels in sentences. Names in quotes and parts of paths are a user's, and
# stay.
IMAGE_WORDS = re.compile(
    r"'[^']*'|(?<![\w/.-])(?P<a>an )?(?P<word>images?|pixels?)(?![\w/-]|\.\w)", re.IGNORECASE
)


@runtime_checkable
class Medium(Protocol):
    """One kind of thing: its class has no settings. The name of its file is the kind of its
    columns."""

    kind: ClassVar[str]  # of its columns
    plural: ClassVar[str]  # 'images', for messages
    unit: ClassVar[str]  # 'pixels', of a side
    dimensions: ClassVar[int]  # of its arrays, without channels
    suffix: ClassVar[str]  # of the files that `marked` writes

    def shape(self, size: int) -> tuple[int, ...]:
        """The shape of an array of this side, channels last."""
        ...

    def opened(self, value: str | bytes, root: Path, opening: AnyOpening, size: int) -> np.ndarray:
        """uint8 of `shape`: one file of a cell, fitted to the size. value: a path below `root`, or
        the bytes of a file. Raises BadCell."""
        ...

    def decoded(self, cell: Cell, root: Path, opening: AnyOpening, size: int) -> np.ndarray:
        """uint8 [k, *shape]: the k files of a cell. Raises BadCell."""
        ...

    def source(
        self,
        data: bytes,
        shape: tuple[int, ...],
        opening: AnyOpening | None = None,
        name: str = "",
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """The bytes of a file as uint8 of this shape, padded and resized as training rows are, and
        the sides of the file. opening: that of the rows of its column. name: of the file. Raises
        BadCell."""
        ...

    def cell(
        self,
        array: np.ndarray,
        lineage: Mapping[str, Any] | None = None,
        extent: float | None = None,
    ) -> bytes:
        """The array as the bytes of a file that loses nothing: a cell that the encoders of this
        medium open. lineage: of a generated row; the file then bears the mark if its format can.
        extent: as `extent` gives it."""
        ...

    def marked(
        self,
        array: np.ndarray,
        lineage: Mapping[str, Any] | None,
        trained: bool = True,
        extent: float | None = None,
    ) -> bytes:
        """The array as the bytes of a file with the mark of generated data and its lineage."""
        ...

    def extent(self, cells: Sequence[Cell], root: Path, opening: AnyOpening) -> float | None:
        """The length in mm of the longest side of these rows, a rounded median; None where hardly
        any tells one."""
        ...

    def array(self, data: bytes) -> np.ndarray:
        """The array in a file that `cell` or `marked` wrote."""
        ...

    def picture(self, array: np.ndarray) -> np.ndarray:
        """uint8 [h, w, 3]: the array drawn as one picture."""
        ...

    def views(self, array: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """{name: (uint8 [h, k w, 3], k)}: strips of k views side by side, which a page shows one at
        a time with a slider. {} where the picture shows all."""
        ...


def medium(kind: str) -> Medium:
    """The medium of columns of this kind. GobelinError for a kind that is none."""
    found: Medium = catalog.find("media", kind)()
    return found


def kinds() -> list[str]:
    """The kinds of columns that have a medium."""
    return catalog.names("media")


def in_words_of(of_kind: Medium, text: str) -> str:
    """A sentence on images as one on this medium: "3 of 9 images" becomes "3 of 9 volumes"."""
    if of_kind.kind == "image":
        return text
    many, dots = of_kind.plural, of_kind.unit
    spoken = {
        "image": of_kind.kind,
        "images": many,
        "pixel": dots.removesuffix("s"),
        "pixels": dots,
    }

    def other(found: re.Match[str]) -> str:
        if not (word := found["word"]):
            return found[0]
        new = spoken[word.lower()]
        new = new.capitalize() if word[0].isupper() else new
        return f"{'A ' if found['a'] == 'An ' else 'a '}{new}" if found["a"] else new

    return IMAGE_WORDS.sub(other, text)


def medium_of_file(path: Path) -> Medium:
    """The medium of a file that `Medium.marked` wrote, by its name."""
    found = (medium(kind) for kind in kinds())
    return next((m for m in found if path.name.endswith(m.suffix)), medium("image"))


def stem_of(path: Path) -> str:
    """The name of such a file without its suffix."""
    return path.name.removesuffix(medium_of_file(path).suffix)


def medium_of(arrays: np.ndarray) -> Medium:
    """The medium whose arrays have so many dimensions. arrays: uint8 [n, ..., C]."""
    return medium("volume" if arrays.ndim == 5 else "image")
