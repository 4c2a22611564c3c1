"""Sounds in cells: opened whatever their format, channels and rate, as one channel at 16 kHz.

soundfile (libsndfile) decodes WAV, OGG, FLAC, MP3, AIFF and AU. A file is read in pieces and only
up to a stated length, so that ten hours cost no more memory than that; what was cut off or mixed
down is said, to be counted, and what can't be opened raises `BadCell`."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import fingerprint
from gobelin.data.fields import Cell, Field
from gobelin.data.files import BadCell, cell_path, content_key

RATE = 16_000  # Hz of every opened sound
RATES = (1_000, 768_000)  # Hz, the rates that a file may have
SUFFIXES = {".wav", ".ogg", ".oga", ".flac", ".mp3", ".aiff", ".aif", ".au"}
SIGNATURES = (b"OggS", b"fLaC", b"ID3")
PROMISE = re.compile(r"^ *(?:data|SSND|Data Size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
ENDLESS = 0x7FFF0000  # a length that says: until the end
PIECE = 65_536  # frames read at once


def soundfile() -> ModuleType:
    """The package that decodes sounds. Raises MissingExtra."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # the latter: its library is not there
        raise MissingExtra(
            "soundfile, which reads sounds (or --set schema.COLUMN=ignore),", "audio"
        ) from error
    return soundfile


def open_sound(
    value: str | bytes, root: Path, seconds: float, to: int = RATE
) -> tuple[np.ndarray, str]:
    """float64 [T], the mean of the channels at `to` Hz in [-1, 1], and what had to be done ('' for
    nothing).

    seconds: the most that is read, from the start. Raises BadCell for no sound, a damaged one and
    one without samples."""
    library = soundfile()
    file = io.BytesIO(value) if isinstance(value, bytes) else cell_path(value, root)
    try:
        with library.SoundFile(file) as sound:
            rate, channels, said = sound.samplerate, sound.channels, sound.frames
            if not RATES[0] <= rate <= RATES[1]:
                raise BadCell(f"has {rate} samples a second; {RATES[0]} to {RATES[1]} can be read")
            most = max(1, round(seconds * rate))
            pieces, read = [], 0
            while read < most and len(
                piece := sound.read(min(PIECE, most - read), "float64", always_2d=True)
            ):
                pieces.append(piece.mean(1))
                read += len(piece)
            cut = read == most and (said > most or bool(len(sound.read(1))))
            early = not cut and (
                read < 0.98 * min(said, most) or _promised_more(sound.extra_info)
            )  # an MP3's count is rough
    except BadCell:
        raise
    except library.LibsndfileError as error:
        raise BadCell(
            f"is no sound, or is damaged ({error.error_string.strip('. ')[:60]})"
        ) from error
    except Exception as error:  # a decoder may stumble over a damaged file in any way
        raise BadCell(f"is damaged ({str(error)[:60] or type(error).__name__})") from error
    if not read:
        raise BadCell("has no samples")
    wave = np.concatenate(pieces)
    if not np.isfinite(wave).all():
        raise BadCell("holds samples that are not finite")
    how = (
        "ends early"
        if early
        else f"cut to {seconds:g} s"
        if cut
        else f"{channels} channels"
        if channels > 1
        else ""
    )
    return resampled(wave, rate, to), how


def _promised_more(told: str) -> bool:
    """Whether the header promises more samples than the file holds, as libsndfile tells it for WAV,
    AIFF and AU. Who writes to a pipe promises the most that there is."""
    found = PROMISE.search(told)
    return found is not None and int(found[2]) < int(found[1]) < ENDLESS


def resampled(wave: np.ndarray, rate: int, to: int = RATE) -> np.ndarray:
    """[T] at `rate` Hz -> float64 [ceil(T * to / rate)]: a polyphase filter that passes what both
    rates can hold."""
    common = math.gcd(to, rate)
    return wave if rate == to else resample_poly(wave, to // common, rate // common)


def sound_share(values: Sequence[Any]) -> float:
    """The share of the values that look like sounds, by suffix (paths) or by signature (bytes)."""
    flat = [p for v in values for p in (v if isinstance(v, list) else [v])]
    looks = [
        (
            v.startswith(SIGNATURES) or (v[:4], v[8:12]) == (b"RIFF", b"WAVE")
            if isinstance(v, bytes)
            else isinstance(v, str) and Path(v).suffix.lower() in SUFFIXES
        )
        for v in flat
    ]
    return float(np.mean(looks)) if looks else 0.0


def sound_values(cell: Cell) -> list[str | bytes]:
    """The sounds of a cell: one a column, or several where a column holds a list."""
    return [v for value in cell.values() for v in (value if isinstance(value, list) else [value])]


def sound_key(cell: Cell, root: Path) -> bytes:
    """16 bytes that name the contents of a cell's sounds."""
    return bytes.fromhex(fingerprint(*[content_key(v, root) for v in sound_values(cell)]))[:16]


def sound_query(text: str, field: Field) -> Cell:
    """A path given as a query, as a cell."""
    path = Path(text)
    if not path.is_file():
        raise GobelinError(f"--audio {text}: no such file. Give the path of a sound.")
    try:
        data = path.read_bytes()
        open_sound(data, path.parent, 1.0)
    except (BadCell, OSError) as error:
        raise GobelinError(f"--audio {text}: {error}. Give the path of a sound.") from error
    return {field.columns[0]: data}
