"""Arrays as numpy writes them. The header is checked before a number is read, and nothing is ever
unpickled.
"""

from __future__ import annotations

import ast
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np

from gobelin.data.files import BadCell

NPY_SIGNATURE = b"\x93NUMPY"
# what zipfile raises of an .npz file that is damaged
DAMAGED_ZIP = (
    *(zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, NotImplementedError),
    *(ValueError, KeyError, EOFError, OverflowError, OSError),
)
# what Python and numpy raise of a header that is damaged
DAMAGED = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, struct.error)
LENGTHS = {(1, 0): "<H", (2, 0): "<I"}  # {version: how the length of the header is written}
LONGEST_HEADER = 10_000  # bytes; numpy's own limit
PYTHON_2_NUMBER = re.compile(r"(\b\d+)L\b")
WIDEST = 16  # bytes of a number that is computed with, at most
# How numpy packs. The others give a piece whole, however much is packed in it.
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
PIECE = 2**24  # bytes that are read at once; a packed file may hold less than its header promises


@dataclass(frozen=True)
class NpyHeader:
    """Of a .npy file. by_column: whether the first axis runs fastest."""

    shape: tuple[int, ...]
    by_column: bool
    kind: np.dtype[Any]

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def npz_member(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    """An array of an .npz file, opened to be read in pieces. Raises BadCell for one that numpy did
    not pack: 2 kB of bzip2 become gigabytes before its header is read."""
    if archive.getinfo(name).compress_type not in PACKED:
        raise BadCell(f"has {name[:40]} packed as numpy packs nothing (bzip2, LZMA)")
    return cast(BinaryIO, archive.open(name))


def npy_header(file: BinaryIO) -> NpyHeader:
    """The header of a .npy file, after which the file stands at its first number. Raises BadCell
    for a damaged one and for values that are no numbers.
    """
    try:
        header = _header(file)
        shape, kind = header["shape"], np.lib.format.descr_to_dtype(header["descr"])
        by_column = header["fortran_order"]
        if type(shape) is not tuple or {type(side) for side in shape} - {int}:
            raise ValueError(f"shape {shape}")
        # numpy refuses such a shape even if one of its axes has the length 0.
        longest = math.prod(max(side, 1) for side in shape) * max(kind.itemsize, WIDEST)
        if any(side < 0 for side in shape) or kind.hasobject or longest >= 2**63:
            raise ValueError(f"{kind} {shape}")
    except (*DAMAGED, OSError) as error:
        raise _damaged(error) from error
    if kind.kind not in "biuf":
        raise BadCell(f"holds {kind}; numbers were expected")
    return NpyHeader(shape, by_column is True, kind)


def _header(file: BinaryIO) -> dict[str, Any]:
    """The Python literal of the header, as numpy describes it in `numpy.lib.format`. numpy's own
    function warns of files that Python 2 wrote."""
    version = np.lib.format.read_magic(file)
    if version not in LENGTHS:
        raise ValueError(f"version {version} is not read")
    (length,) = struct.unpack(LENGTHS[version], file.read(struct.calcsize(LENGTHS[version])))
    if length > LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes")
    text = file.read(length).decode("latin1")
    if len(text) < length:
        raise ValueError("its header is cut off")
    found = ast.literal_eval(PYTHON_2_NUMBER.sub(r"\1", text).strip())
    if not isinstance(found, dict) or set(found) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header names other things")
    return found


def npy_array(file: BinaryIO, check: Callable[[NpyHeader], None]) -> np.ndarray:
    """The array of a .npy file, in its own type. check: raises BadCell for a header that promises
    too much. Raises BadCell.
    """
    header = npy_header(file)
    check(header)
    needed, data = header.count * header.kind.itemsize, bytearray()
    try:
        while len(data) < needed and (piece := file.read(min(PIECE, needed - len(data)))):
            data += piece
        if len(data) < needed:
            raise ValueError(f"{header.count} numbers were promised")
        return np.frombuffer(data, header.kind).reshape(
            header.shape, order="F" if header.by_column else "C"
        )
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> BadCell:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:60]
    return BadCell(f"is no .npy file, or is cut short ({reason})")
