"""Sounds in cells: opened in any format, with any channels and rate, as one channel at 16 kHz.

soundfile (libsndfile) decodes WAV, OGG, FLAC, MP3, AIFF and AU. A file is read in blocks and only
up to a given length, so a file of ten hours needs no more memory than that length. Cuts and mixed
channels are reported, so that they can be counted. A file that can't be opened raises `BadCell`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError, MissingExtra, first_line
from gobelin.data.budget import decoding
from gobelin.data.fields import Cell, Field
from gobelin.data.files import (
    HEAD,
    BadCell,
    afford,
    cell_bytes,
    cell_path,
    file_bytes,
    file_head,
    share_of_files,
)
from gobelin.data.tar_members import member_of

RATE = 16_000  # Hz of every opened sound
READABLE_RATES = (1_000, 768_000)  # Hz, the rates that a file may have
SOUND_SUFFIXES = {
    *(".wav", ".wave", ".rf64", ".w64", ".ogg", ".oga", ".opus", ".flac", ".mp3", ".aiff", ".aif"),
    *(".aifc", ".au", ".snd", ".caf", ".m4a", ".m4b", ".aac", ".amr", ".wma"),
}
SOUND_SIGNATURES = (
    *(b"OggS", b"fLaC", b"ID3", b".snd", b"caff", b"riff.\x91\xcf\x11"),
    *(b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
)
# Of sounds that are not read: how a file begins -> its name
UNREAD = {
    b"\xff\xf1": "AAC",
    b"\xff\xf9": "AAC",
    b"#!AMR": "AMR",
    b"0&\xb2u\x8ef\xcf\x11": "WMA",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b"DSD ": "DSF",
    b"MPCK": "Musepack",
    b".ra\xfd": "RealAudio",
}
# The formats that are read, in the words of libsndfile. It opens others by their content or suffix.
FORMATS = {"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "CAF"}
# libsndfile's line about a header that promises another length than the file has
PROMISE = re.compile(r"^ *(?:data|SSND|Data Size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
ENDLESS = 0x7FFF0000  # programs that write to a pipe promise this length or more
SAMPLES_AT_ONCE = 2**20  # that are read, all channels together
LOUDEST = 16  # a file of floats may go beyond 1; one that goes further has another scale
CANCELLED = 0.01  # share of the power that is left where the channels of a sound cancel out
FINEST = 2**15  # largest number in the ratio of two rates; between two such the pitch is the same


def soundfile() -> ModuleType:
    """The package that decodes sounds. Raises MissingExtra."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: libsndfile is missing
        raise MissingExtra(
            "soundfile, which reads sounds (or --set schema.COLUMN=ignore),", "audio"
        ) from error
    return soundfile


def open_sound(
    value: str | bytes, root: Path, seconds: float, to: int = RATE
) -> tuple[np.ndarray, str]:
    """float64 [T], the mean of the channels at `to` Hz in [-1, 1], and what was changed ('' for
    nothing). Of channels that cancel out, the loudest alone.

    value: path below `root`, or the bytes of a file. seconds: the most that is read, from the
    start. Raises BadCell for a file that is no sound, is damaged or has no samples; MissingExtra
    without soundfile.
    """
    library = soundfile()
    value = cell_bytes(value, root) if member_of(value) else value
    file = _Bytes(value) if isinstance(value, bytes) else cell_path(value, root)
    head = value[:HEAD] if isinstance(value, bytes) else file_head(value, root)
    if name := unread_format(head) or _in_film(head):
        raise BadCell(f"is {name}")
    try:
        with library.SoundFile(file) as sound:
            rate, channels, frames = sound.samplerate, sound.channels, sound.frames
            most_frames = max(1, round(seconds * rate))
            needed = _decoded_bytes(sound, min(frames, most_frames), to)
            with decoding(needed):
                wave, loudest, cancels = _mixed(sound, most_frames)
                read = len(wave)
                cut_off = read == most_frames and (frames > most_frames or bool(len(sound.read(1))))
                ends_early = not cut_off and (
                    read < 0.98 * min(frames, most_frames) or _promised_more(sound.extra_info)
                )  # an MP3's count is rough
                if cancels:
                    sound.seek(0)
                    wave = _mixed(sound, most_frames, loudest)[0]
                if read and not np.isfinite(wave).all():
                    raise BadCell("holds samples that are not finite")
                wave = resampled(wave, rate, to) if read else wave
    except BadCell:
        raise
    except library.LibsndfileError as error:
        raise BadCell(
            f"is no sound, or is damaged ({error.error_string.strip('. ')[:60]})"
        ) from error
    except Exception as error:  # a decoder may stumble over a damaged file in any way
        raise BadCell(f"is damaged ({first_line(error, 60)})") from error
    if not read:
        raise BadCell("has no samples")
    change = (
        "ends early"
        if ends_early
        else f"cut to {seconds:g} s"
        if cut_off
        else "silence alone"
        if not wave.any()
        else f"samples far beyond 1 (more than {LOUDEST})"
        if np.abs(wave).max() > LOUDEST
        else f"{channels} channels that cancel out, so the loudest alone"
        if cancels
        else f"{channels} channels"
        if channels > 1
        else ""
    )
    return wave, change


def _mixed(sound: Any, most: int, channel: int | None = None) -> tuple[np.ndarray, int, bool]:  # noqa: ANN401
    """float64 [T], the mean of the channels or one of them, of at most `most` frames; the loudest
    channel; and whether the mean is so much weaker that the channels cancel out, as where one of
    two microphones has its poles changed.

    sound: of soundfile. A block at a time, so that all channels are never in memory together."""
    blocks, read, power = [np.zeros(0)], 0, np.zeros(sound.channels)
    at_once = max(1, SAMPLES_AT_ONCE // sound.channels)
    while read < most and len(
        block := sound.read(min(at_once, most - read), "float64", always_2d=True)
    ):
        blocks.append(block.mean(1) if channel is None else block[:, channel])
        power += np.square(block).sum(0)
        read += len(block)
    wave = np.concatenate(blocks)
    alone = power.max() / sound.channels**2  # of the mean, where one channel has all the sound
    cancels = bool(np.square(wave).sum() < CANCELLED * alone)
    return wave, int(power.argmax()), cancels


def _decoded_bytes(sound: Any, frames: int, to: int) -> int:  # noqa: ANN401 - of soundfile
    """Bytes that reading this many frames takes. Raises BadCell for a sound that is not read, by
    its header.
    """
    rate, channels = sound.samplerate, sound.channels
    if sound.format not in FORMATS:
        raise BadCell(f"is no sound that is read, its format is {sound.format}")
    if not READABLE_RATES[0] <= rate <= READABLE_RATES[1]:
        lowest, highest = READABLE_RATES
        raise BadCell(f"has {rate} samples a second; {lowest} to {highest} can be read")
    afford("channels", channels)
    # the frames twice, their resampled form twice, a block of all channels twice, and the filter
    numbers = 2 * frames * (1 + to / rate) + 2 * SAMPLES_AT_ONCE + 100 * FINEST
    afford("cell_mb", 8 * numbers)
    return int(8 * numbers)


def _promised_more(header: str) -> bool:
    """Whether the header promises more samples than the file holds. header: libsndfile's report on
    it, for WAV, AIFF and AU.
    """
    promise = PROMISE.search(header)
    return promise is not None and int(promise[2]) < int(promise[1]) < ENDLESS


def sound_bytes(wave: np.ndarray) -> bytes:
    """A WAV file of samples [T] at 16 kHz, in float32. Raises MissingExtra without soundfile."""
    out = io.BytesIO()
    soundfile().write(out, wave.astype(np.float32), RATE, format="WAV", subtype="FLOAT")
    return out.getvalue()


def resampled(wave: np.ndarray, rate: int, to: int = RATE) -> np.ndarray:
    """[T] at `rate` Hz -> float64 [ceil(T * to / rate)] at `to` Hz, by a polyphase filter that
    passes the frequencies that both rates can represent. The filter's length grows with the larger
    number in the ratio of the rates, so one of more than 32768 is replaced by the nearest smaller
    one: the pitch changes by less than a part in thirty thousand.
    """
    if rate == to:
        return wave
    from scipy.signal import resample_poly

    ratio = Fraction(to, rate).limit_denominator(FINEST)  # exact for all usual rates
    length = -(-len(wave) * to // rate)
    out = resample_poly(wave, ratio.numerator, ratio.denominator)[:length]
    return np.pad(out, (0, length - len(out)))


class _Bytes(io.BytesIO):
    """Bytes as a file. A damaged header makes libsndfile seek before its beginning, which an error
    in its callback would print as a traceback; the place stays as it is."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


def is_sound(head: bytes) -> bool:
    """Whether a file with these first bytes is a sound, of a format that is read or not."""
    return (
        head.startswith(SOUND_SIGNATURES)
        or (head[:4] in (b"RIFF", b"RF64", b"RIFX") and head[8:12] == b"WAVE")
        or (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"))
        or bool(unread_format(head))
    )


def unread_format(head: bytes) -> str:
    """The name of a format of sounds that is not read, with the command that converts it; '' for
    other files. head: the first bytes of the file.
    """
    name = next((name for start, name in UNREAD.items() if head.startswith(start)), "")
    if head[4:11] in (b"ftypM4A", b"ftypM4B"):
        name = "AAC in MP4 (m4a)"
    return name and f"{name}, which is not read; convert it: ffmpeg -i IN OUT.wav"


def _in_film(head: bytes) -> str:
    """The name of a format of films, which may hold a sound alone, with the command that converts
    it; '' for other files.
    """
    name = "MP4" if head[4:8] == b"ftyp" else "WebM" if head.startswith(b"\x1aE\xdf\xa3") else ""
    return name and f"{name}, which is not read; convert it: ffmpeg -i IN OUT.wav"


def sound_share(values: Sequence[Any], root: Path) -> float:
    """The share of the values that look like sounds: bytes and a few files by their content, other
    paths by their suffix.
    """
    return share_of_files(values, root, SOUND_SUFFIXES, is_sound)


def sound_query(text: str, field: Field) -> Cell:
    """A path given as a query, as a cell of the field. Raises GobelinError."""
    path = Path(text)
    try:
        data = file_bytes(path)
        open_sound(data, path.parent, 1.0)
    except BadCell as error:
        raise GobelinError(f"--audio {text}: {error}. Give the path of a sound.") from error
    return {field.columns[0]: data}
