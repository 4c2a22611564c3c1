"""DICOM files, by pydicom. It installs with the `medical` extra.

The values of pixels follow the order of the standard (PS3.3 C.11): the modality LUT or rescaling
gives values of the modality (Hounsfield units of a CT); for a picture the VOI LUT or window of the
file, or the user's window, gives shades; MONOCHROME1 is inverted last.

No text of a file but a few words of the standard leaves this module, and no message of pydicom:
either may hold a name of a patient.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from gobelin.core.errors import MissingExtra
from gobelin.data.dicom.budget import (
    Counted,
    Packed,
    check_elements,
    check_frames,
    too_long,
    unpacked,
)
from gobelin.data.dicom.terms import term
from gobelin.data.files import BadCell, afford
from gobelin.data.values.narrow import float32
from gobelin.data.volume.volumes import ARBITRARY, BYTE, HOUNSFIELD

GREY = ("MONOCHROME1", "MONOCHROME2")
# of a transfer syntax, by the beginning of its name: the package that decodes it
PACKAGES = {
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "High-Throughput JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG": "pylibjpeg pylibjpeg-libjpeg",  # of its older forms and of JPEG-LS; python-gdcm too
}
# all elements that pixels need
PIXELS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored"),
    *("HighBit", "PixelRepresentation", "PlanarConfiguration", "PhotometricInterpretation"),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "SmallestImagePixelValue", "LargestImagePixelValue"),
    *("Modality", "ImageType", "Units", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
    *("PaletteColorLookupTableUID", "AlphaPaletteColorLookupTableData"),
    *(
        f"{segmented}{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for segmented, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
    ),
    *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "GridFrameOffsetVector", "SharedFunctionalGroupsSequence"),
    "PerFrameFunctionalGroupsSequence",
)
DECODED = 24  # bytes of a pixel in the arrays of 64 bits that pydicom makes


@dataclass(frozen=True)
class DicomPixels:
    """The pixels of a file as values of the modality.

    values: float32 [F, H, W, C]. unit: BYTE, HOUNSFIELD, ARBITRARY or a code of the standard.
    A pixel that the scanner did not measure (padding) is nan.
    """

    values: np.ndarray
    unit: str
    notes: tuple[str, ...] = ()


def pydicom() -> ModuleType:
    """The package that reads DICOM. Raises MissingExtra."""
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise MissingExtra(
            "pydicom, which reads DICOM (or --set schema.COLUMN=ignore),", "medical"
        ) from error
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages quote values of files
    return cast(ModuleType, pydicom)


def is_dicom(head: bytes) -> bool:
    """Whether a file with these first bytes is DICOM. A file without the usual preamble begins with
    an element of the group 0002 or 0008.
    """
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8 or head[:2] not in (b"\x08\0", b"\x02\0", b"\0\x08"):
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    implicit = head[0] != 0 and int.from_bytes(head[4:8], "little") <= 64
    return (head[2] if head[0] == 0 else head[3]) == 0 and (explicit or implicit)


@contextmanager
def quiet() -> Iterator[None]:
    """pydicom warns of odd values and quotes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read(source: Path | bytes, tags: Sequence[str] | None = None) -> Any:  # noqa: ANN401
    """pydicom's data set of a file. Raises BadCell.

    tags: read these elements alone, and no pixels; None reads those that pixels need.
    """
    library = pydicom()
    counted = None
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            head = file.read(4096)
            if not head:
                raise BadCell("is empty")
            if not is_dicom(head):
                raise BadCell("is no DICOM file")
            if tags is None:
                afford("cell_mb", size_of(source))
            file.seek(0)
            counted = Counted(file)
            try:
                with quiet():
                    data = library.dcmread(
                        counted,
                        force=True,
                        stop_before_pixels=tags is not None,
                        specific_tags=list(PIXELS if tags is None else tags),
                    )
            except Packed as packed:
                return read(unpacked(file, packed.place), tags)
        check_elements(data)
    except BadCell:
        raise
    except OSError as error:
        reason = counted.reason if counted else ""
        raise BadCell(
            reason or f"can't be opened ({error.strerror or type(error).__name__})"
        ) from error
    except Exception as error:  # pydicom raises many kinds of errors on damaged files
        raise BadCell(f"is a damaged DICOM file ({type(error).__name__})") from error
    return data


def size_of(source: Path | bytes) -> int:
    """Bytes of a file."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def value(data: Any, name: str) -> Any:  # noqa: ANN401 - of pydicom
    """The value of an element; None where it is missing, empty or can't be read."""
    try:
        found = None if too_long(data, name) else data.get(name)
    except Exception:  # pydicom reads a value when it is asked for, and may stumble over it
        return None
    return None if found is None or found == "" else found


def number(data: Any, name: str) -> float | None:  # noqa: ANN401
    """The element as a finite number; None for none."""
    found = numbers(data, name)
    return found[0] if found else None


def numbers(data: Any, name: str) -> list[float]:  # noqa: ANN401
    """The values of the element as finite numbers; [] where one is none."""
    found = value(data, name)
    parts = found if isinstance(found, list | tuple) or hasattr(found, "append") else [found]
    try:
        out = [float(part) for part in parts]
    except (TypeError, ValueError):
        return []
    return out if all(map(np.isfinite, out)) else []


def code(data: Any, name: str) -> str:  # noqa: ANN401
    """The element as a word that the standard has for it; '' for any other text, which may hold
    something about a person.
    """
    return term(name, str(value(data, name) or ""))


def frames_of(data: Any) -> int:  # noqa: ANN401
    """The number of frames. Raises BadCell."""
    count = value(data, "NumberOfFrames")
    try:
        return max(1, int(count or 1))
    except (TypeError, ValueError) as error:
        raise BadCell("is a damaged DICOM file (its number of frames is none)") from error


def needed_bytes(data: Any) -> int:  # noqa: ANN401
    """The bytes that decoding a file takes, as its header promises. Raises BadCell for a file
    without pixels.
    """
    rows, columns = number(data, "Rows"), number(data, "Columns")
    bits = number(data, "BitsAllocated")
    if not rows or not columns or not bits or min(rows, columns, bits) < 1:
        raise BadCell("holds no pixels")
    samples = number(data, "SamplesPerPixel") or 1
    return int(rows * columns * samples * frames_of(data) * (bits / 8 + DECODED))


def stored(data: Any) -> np.ndarray:  # noqa: ANN401
    """The stored values, [F, H, W, C]: whole numbers as a rule; RGB of colours. Raises BadCell."""
    library = pydicom()
    frames = frames_of(data)
    afford("cell_mb", needed_bytes(data))
    if not any(name in data for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise BadCell("holds no pixels")
    _check_syntax(library, data)
    try:
        with quiet():
            _check_frames(library, data, frames)
            array = library.pixels.pixel_array(
                data, decoding_plugin=_plugin(library, data), allow_excess_frames=False
            )
            if value(data, "PhotometricInterpretation") == "PALETTE COLOR":
                array = library.pixels.apply_color_lut(array, data)
    except BadCell:
        raise
    except Exception as error:  # pydicom and its plugins raise many kinds of errors
        raise BadCell(_undecoded(data, error)) from error
    array = array if frames > 1 else array[None]
    return array if array.ndim == 4 else array[..., None]


def _check_frames(library: ModuleType, data: Any, frames: int) -> None:  # noqa: ANN401
    """Raises BadCell where coded frames stand for more than the header says."""
    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated or "PixelData" not in data:
        return
    offsets = [value(data, f"ExtendedOffsetTable{end}") for end in ("", "Lengths")]
    coded = library.encaps.generate_frames(
        data.PixelData,
        number_of_frames=frames,
        extended_offsets=tuple(offsets) if all(offsets) else None,
    )
    rows, columns, samples = (
        int(number(data, n) or 1) for n in ("Rows", "Columns", "SamplesPerPixel")
    )
    runs = syntax == library.uid.RLELossless
    check_frames(islice(coded, frames), (rows, columns, samples), runs, needed_bytes(data))


def _plugin(library: ModuleType, data: Any) -> str:  # noqa: ANN401
    """The decoder that must be used; '' for any. The one of pylibjpeg-rle ends the program (a
    panic of Rust) on damaged runs, so pydicom's own decodes them.
    """
    syntax = data.file_meta.TransferSyntaxUID
    return "pydicom" if syntax == library.uid.RLELossless else ""


def _check_syntax(library: ModuleType, data: Any) -> None:  # noqa: ANN401
    """Names the encoding of a file that does not; raises BadCell for one that can't be decoded."""
    meta = getattr(data, "file_meta", None)
    syntax = getattr(meta, "TransferSyntaxUID", None)
    if syntax is None:
        implicit, little = data.original_encoding
        name = "Implicit" if implicit else "Explicit"
        syntax = getattr(library.uid, f"{name}VR{'Little' if little else 'Big'}Endian")
        data.file_meta = meta if meta is not None else library.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax
    try:
        usable = library.pixels.get_decoder(syntax).is_available
    except NotImplementedError as error:
        raise BadCell(f"is {_named(syntax)}, which is not read") from error
    if not usable:
        raise BadCell(_needs(syntax.name))


def _named(syntax: Any) -> str:  # noqa: ANN401 - of pydicom
    """The name of a transfer syntax that the standard knows. Of another one there is only the text
    in the file, which may be anything."""
    return "in an encoding that is unknown" if syntax.name == str(syntax) else syntax.name[:40]


def _needs(syntax: str) -> str:
    package = next((p for start, p in PACKAGES.items() if syntax.startswith(start)), "python-gdcm")
    return f"is compressed as {syntax[:40]}, which needs a package: pip install {package}"


def _undecoded(data: Any, error: Exception) -> str:  # noqa: ANN401
    """Why pixels could not be decoded."""
    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax.name.startswith("JPEG") and "2000" not in syntax.name:
        return _needs(syntax.name)
    if "less than expected" in str(error):
        return "is cut short"
    return f"is a damaged DICOM file ({type(error).__name__})"


@quiet()
def modality_pixels(data: Any) -> DicomPixels:  # noqa: ANN401
    """The values of the modality of every frame. Raises BadCell."""
    raw = stored(data)
    if raw.shape[3] > 1:
        palette = value(data, "PhotometricInterpretation") == "PALETTE COLOR"
        deep = 8 * raw.dtype.itemsize if palette else int(number(data, "BitsStored") or 8)
        values = raw.astype(np.float32) * np.float32(255 / (2**deep - 1))
        notes = ("more than 8 bits a colour, scaled to bytes",) if deep > 8 else ()
        return DicomPixels(values, BYTE, notes)
    values, padded = float32(rescaled(raw, data)), padding(raw, data)
    if padded.any():
        values = np.where(padded, np.float32(np.nan), values)
    return DicomPixels(values, _unit(data), ("padding",) if padded.any() else ())


def rescaled(raw: np.ndarray, data: Any) -> np.ndarray:  # noqa: ANN401
    """The stored values after the modality LUT or the rescaling, that of each frame if it has its
    own.
    """
    try:
        with quiet(), np.errstate(over="ignore", invalid="ignore"):
            own = [_rescaling(g) for g in value(data, "PerFrameFunctionalGroupsSequence") or ()]
            shared = [_rescaling(g) for g in value(data, "SharedFunctionalGroupsSequence") or ()]
            if len(own) == len(raw) and all(own):
                factors = np.array(own, np.float64)[:, :, None, None, None]
                return raw * factors[:, 0] + factors[:, 1]
            if shared and shared[0]:
                return raw * shared[0][0] + shared[0][1]
            return pydicom().pixels.apply_modality_lut(raw, data)
    except Exception as error:
        raise BadCell(f"has a damaged modality LUT ({type(error).__name__})") from error


def _rescaling(group: Any) -> tuple[float, float] | None:  # noqa: ANN401
    """Slope and intercept of a functional group."""
    items = value(group, "PixelValueTransformationSequence")
    slope, intercept = (
        number(items[0], name) if items else None for name in ("RescaleSlope", "RescaleIntercept")
    )
    return None if slope is None or intercept is None else (slope, intercept)


def padding(raw: np.ndarray, data: Any) -> np.ndarray:  # noqa: ANN401
    """bool, as `raw`: the pixels that hold the value of padding."""
    low = number(data, "PixelPaddingValue")
    if low is None:
        return np.zeros(1, bool)
    high = number(data, "PixelPaddingRangeLimit")
    low, high = sorted((low, low if high is None else high))
    return (raw >= low) & (raw <= high)


def _unit(data: Any) -> str:  # noqa: ANN401
    """The unit of the values of the modality."""
    kind = code(data, "RescaleType")
    modality = code(data, "Modality")
    rescaled = value(data, "RescaleSlope") is not None
    types = [str(t).upper() for t in value(data, "ImageType") or ()]
    if modality == "CT" and kind in ("", HOUNSFIELD) and rescaled and "LOCALIZER" not in types:
        return HOUNSFIELD
    if modality == "PT" and (unit := code(data, "Units")):
        return unit
    return kind if kind not in ("", "US") else ARBITRARY
