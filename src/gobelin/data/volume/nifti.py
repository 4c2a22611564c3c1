"""NIfTI files, by nibabel. It installs with the `medical` extra.

A volume gets nibabel's canonical order (RAS+, `as_closest_canonical`) and its scaled values. What
the header promises is compared with the budget before a voxel is read. NIfTI-1 and NIfTI-2 are
read, each as one file, packed or not, or as a pair of .hdr and .img.
"""

from __future__ import annotations

import gzip
import io
import logging
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

import numpy as np

from gobelin.core.errors import MissingExtra, first_line
from gobelin.data.budget import decoding
from gobelin.data.files import BadCell, afford, cell_path
from gobelin.data.values.narrow import float32
from gobelin.data.volume.volumes import ARBITRARY, BYTE, MOST_CHANNELS, Volume

GZIP = b"\x1f\x8b"
HEADER_BYTES = 540  # of NIfTI-2, the longer one
TO_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
EXACT = 2**24  # whole numbers up to it are exact in float32
TIMES_READ = 3  # copies in float64 and float32 that nibabel makes of the voxels, beside their bytes


def nibabel() -> ModuleType:
    """The package that reads NIfTI. Raises MissingExtra."""
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtra(
            "nibabel, which reads NIfTI (or --set schema.COLUMN=ignore),", "medical"
        ) from error
    # it prints what it mends in a header, without the file's name, and again what `BadCell` says
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    return cast(ModuleType, nibabel)


def is_nifti(head: bytes) -> bool:
    """Whether a file with these first bytes is NIfTI, packed or not."""
    if head.startswith(GZIP):
        head = _unpacked(head)
    one = head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and head[344:348] in (b"n+1\0", b"ni1\0")
    return one or head[4:12] in (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")


def _unpacked(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEADER_BYTES)
    except zlib.error:
        return b""


@dataclass(frozen=True)
class Files:
    """An opened NIfTI image. image: a stream of the voxels. bytes_there: the length of the file
    with the voxels; None where it is packed.
    """

    header: BinaryIO
    image: BinaryIO
    bytes_there: int | None


def open_nifti(value: str | bytes, root: Path) -> tuple[Volume, list[str]]:
    """The volume and what was changed or is unusual. value: path below `root`, or the bytes of a
    file. Raises BadCell, and MissingExtra without nibabel.
    """
    with opened(value, root) as files:
        header = read_header(files.header)
        kind, needed = checked(header, files)
        with decoding(needed):
            try:
                return _volume(_image(kind, header, files))
            except BadCell:
                raise
            except (EOFError, zlib.error) as error:
                raise BadCell("is cut short") from error
            except Exception as error:  # nibabel raises many kinds of errors on damaged files
                raise BadCell(f"is damaged ({first_line(error, 60)})") from error


@contextmanager
def opened(value: str | bytes, root: Path) -> Iterator[Files]:
    """The streams of a file, or of a pair of files. Raises BadCell."""
    with ExitStack() as stack:
        if isinstance(value, bytes):
            stream: BinaryIO = io.BytesIO(value)
            pair, length = False, len(value)
        else:
            path = cell_path(value, root)
            stream, length = stack.enter_context(path.open("rb")), path.stat().st_size
            pair = path.suffix.lower() in (".hdr", ".img")
        if pair:
            parts = [partner(str(value), root, suffix) for suffix in (".hdr", ".img")]
            header, image = (stack.enter_context(part.open("rb")) for part in parts)
            yield Files(header, image, parts[1].stat().st_size)
            return
        packed = stream.read(2) == GZIP
        stream.seek(0)
        if packed:
            stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=stream)))
        yield Files(stream, stream, None if packed else length)


def partner(value: str, root: Path, suffix: str) -> Path:
    """The file of a pair with this suffix. Raises BadCell where it is missing."""
    for spelled in (suffix, suffix.upper()):
        try:
            return cell_path(value[:-4] + spelled, root)
        except BadCell as error:
            reason = str(error)
    raise BadCell(f"is half of a pair, of which the {suffix} file {reason}")


def read_header(stream: BinaryIO) -> Any:  # noqa: ANN401 - of nibabel
    """The header, without its extensions. Raises BadCell."""
    library = nibabel()
    try:
        block = stream.read(HEADER_BYTES)
    except (EOFError, OSError, zlib.error) as error:
        raise BadCell(f"is damaged ({first_line(error, 60)})") from error
    if not is_nifti(block):
        raise BadCell("is no NIfTI file")
    kind = library.Nifti2Header if block[4:7] in (b"n+2", b"ni2") else library.Nifti1Header
    size = kind.template_dtype.itemsize
    if len(block) < size:
        raise BadCell("is cut short within its header")
    return kind(block[:size], check=False)


def checked(header: Any, files: Files) -> tuple[Any, int]:  # noqa: ANN401
    """nibabel's class for the image, and the bytes that reading it takes. Raises BadCell where the
    header promises what can't be read, or more than the budget allows.
    """
    library = nibabel()
    try:
        stored, shape = header.get_data_dtype(), tuple(map(int, header.get_data_shape()))
        start = int(header["vox_offset"])
    except Exception as error:  # nibabel raises many kinds of errors on damaged headers
        raise BadCell(f"has a damaged header ({first_line(error, 60)})") from error
    if not shape or min(shape) < 1:
        raise BadCell(f"has no voxels ({' x '.join(map(str, shape)) or 'no axes'})")
    axes = len(shape)
    while axes > 3 and shape[axes - 1] == 1:
        axes -= 1
    if axes > 5 or (axes == 5 and shape[3] > 1):
        raise BadCell(
            f"has {axes} dimensions ({' x '.join(map(str, shape))}); four at most are read. Split"
            " it into volumes"
        )
    count = 1
    for length in shape:  # a product of Python's numbers, which don't overflow
        count *= length
    voxels = count * stored.itemsize
    needed = start + voxels + TIMES_READ * 8 * count
    afford("cell_mb", max(0, start) + needed)
    if files.bytes_there is not None and start + voxels > files.bytes_there:
        raise BadCell(
            f"is cut short: its header promises {start + voxels} bytes, found {files.bytes_there}"
        )
    pair, two = files.header is not files.image, isinstance(header, library.Nifti2Header)
    one_file, two_files = (
        (library.Nifti2Image, library.Nifti2Pair)
        if two
        else (library.Nifti1Image, library.Nifti1Pair)
    )
    return two_files if pair else one_file, needed


def _image(kind: Any, header: Any, files: Files) -> Any:  # noqa: ANN401 - of nibabel
    """The image of a header. nibabel's own opener also reads every extension of the header, of
    which a packed file can hold millions."""
    header.check_fix()
    return kind(kind.ImageArrayProxy(files.image, header), header.get_best_affine(), header)


def _volume(image: Any) -> tuple[Volume, list[str]]:  # noqa: ANN401 - of nibabel
    """The volume of an image, and its notes."""
    library = nibabel()
    notes: list[str] = []
    values, unit = _values(image, notes)
    oriented = bool(image.header["sform_code"] > 0 or image.header["qform_code"] > 0)
    if not oriented:
        notes.append("no orientation in the header, nibabel's default is used")
    order = library.io_orientation(image.affine)
    if not np.isfinite(order).all():
        oriented, order = False, np.array([[0, 1], [1, 1], [2, 1]])
        notes.append("an orientation that lacks an axis, the axes stay as they are")
    values = library.apply_orientation(values, order)
    places = np.argsort(order[:, 0])  # of each canonical axis, the stored one
    sizes = library.affines.voxel_sizes(image.affine) if oriented else _zooms(image)
    spacing = _spacing(sizes[places], image, notes)
    values = np.ascontiguousarray(float32(np.transpose(values, (2, 1, 0, 3))))
    missing = int(np.count_nonzero(~np.isfinite(values)))
    if missing == values.size:
        raise BadCell("holds no number in any voxel")
    if missing:
        notes.append("voxels that are no numbers")
    return Volume(values, spacing, unit, oriented), notes


def _zooms(image: Any) -> np.ndarray:  # noqa: ANN401
    """float64 [3]: the sizes of voxels in the header, in the order of the file."""
    zooms = [float(z) for z in image.header.get_zooms()[:3]]
    return np.array(zooms + [1.0] * (3 - len(zooms)))


def _values(image: Any, notes: list[str]) -> tuple[np.ndarray, str]:  # noqa: ANN401
    """float32 [X, Y, Z, C] in the order of the file, and the unit. `notes` gains lines."""
    stored, proxy = image.get_data_dtype(), image.dataobj
    unit = ARBITRARY
    if stored.names:  # colours: red, green, blue and perhaps alpha
        raw = np.asanyarray(proxy)
        values = np.stack([raw[name] for name in stored.names], axis=-1).astype(np.float32)
        unit = BYTE
        values = values.reshape(*_three(values.shape[:-1]), -1, values.shape[-1])
        if values.shape[3] > 1:
            raise BadCell(f"holds {values.shape[3]} volumes of colours; one was expected")
        return values[:, :, :, 0], unit
    if stored.kind == "c":
        notes.append("complex numbers, of which the magnitude is read")
        values = float32(np.abs(np.asanyarray(proxy)))
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            values = image.get_fdata(dtype=np.float32, caching="unchanged")
        if stored == np.uint8 and proxy.slope == 1 and proxy.inter == 0:
            unit = BYTE
        if stored.kind in "iu" and stored.itemsize > 2 and np.abs(values).max() > EXACT:
            notes.append("whole numbers that float32 rounds")
    values = values.reshape(*_three(values.shape), -1)
    return _few_channels(values, notes), unit


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The first three sides, 1 for a missing one."""
    return (*shape, 1, 1, 1)[:3] if len(shape) < 3 else shape[:3]


def _few_channels(values: np.ndarray, notes: list[str]) -> np.ndarray:
    """[X, Y, Z, C] with MOST_CHANNELS at most: the mean of more."""
    count = values.shape[3]
    if count > MOST_CHANNELS:
        notes.append("four dimensions: the mean along the fourth")
        return float32(values.mean(3, dtype=np.float64, keepdims=True))
    if count > 1:
        notes.append(f"four dimensions: {count} volumes as channels")
    return values


def _spacing(
    sizes: np.ndarray,
    image: Any,  # noqa: ANN401
    notes: list[str],
) -> tuple[float, float, float] | None:
    """mm along D, H and W, of the sizes along W, H and D; None where they can't be meant."""
    unit = image.header.get_xyzt_units()[0]
    if unit not in TO_MM:
        notes.append("no unit of length in the header, mm is assumed")
    width, height, depth = (float(size) * TO_MM.get(unit, 1.0) for size in sizes)
    if not all(np.isfinite(v) and v > 0 for v in (width, height, depth)):
        notes.append("no spacing in the header, equal sides are assumed")
        return None
    return depth, height, width
