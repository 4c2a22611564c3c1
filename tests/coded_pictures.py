"""Small pictures, sounds and tables of them, as files in the ways that people keep them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def coded(seed: int, kind: str = "PNG", side: int = 16) -> bytes:
    """A picture of noise in a file of this format."""
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def wave(seed: int) -> bytes:
    """A WAV file of noise."""
    from scipy.io import wavfile

    out = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 3000, 800).astype(np.int16)
    wavfile.write(out, 16_000, samples)
    return out.getvalue()


def pictures(folder: Path, names: Sequence[str], kind: str = "PNG") -> list[str]:
    """A picture of this format under each name below the folder; the names."""
    for k, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(coded(k, kind))
    return list(names)


def table(path: Path, columns: Mapping[str, Sequence[object]]) -> Path:
    """A CSV file of these columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))
    return path
