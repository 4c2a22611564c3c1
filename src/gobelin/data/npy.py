"""Arrays as numpy writes them. The header is checked before a number is read, and nothing is ever
unpickled.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from tokenize import TokenError  # numpy takes a header apart with it
from typing import Any, BinaryIO

import numpy as np

from gobelin.data.files import BadCell

NPY_SIGNATURE = b"\x93NUMPY"
# what zipfile raises of an .npz file that is damaged
DAMAGED_ZIP = (
    *(zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, NotImplementedError),
    *(ValueError, KeyError, EOFError, OverflowError, OSError),
)
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


def npy_header(file: BinaryIO) -> NpyHeader:
    """The header of a .npy file, after which the file stands at its first number. Raises BadCell
    for a damaged one and for values that are no numbers.
    """
    try:
        version = np.lib.format.read_magic(file)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if reader is None:
            raise ValueError(f"version {version} is not read")
        shape, by_column, kind = reader(file)
        if any(side < 0 for side in shape) or kind.hasobject:
            raise ValueError(f"{kind} {shape}")
    except (ValueError, OSError, EOFError, SyntaxError, TokenError) as error:
        raise _damaged(error) from error
    if kind.kind not in "biuf":
        raise BadCell(f"holds {kind}; numbers were expected")
    return NpyHeader(shape, by_column, kind)


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
