"""Series of DICOM slices: which files make a volume, and the volume of files.

A volume holds values of the modality: Hounsfield units of a CT. The VOI window of a file, which may
differ from slice to slice, is left to `VolumeOpening.low` and `high`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.data.budget import decoding
from gobelin.data.dicom.files import modality_pixels, needed_bytes, quiet, read, size_of, value
from gobelin.data.dicom.headers import (
    TAGS,
    Header,
    frame_planes,
    has_pixels,
    opened_headers,
    plane_of,
    single_spacing,
)
from gobelin.data.files import BadCell, afford, visible_files
from gobelin.data.volume.slices import Plane, Stack, canonical, stacked
from gobelin.data.volume.volumes import ARBITRARY, Volume

DIRECTION = 2  # decimals in which the orientations of two slices of a volume agree


@dataclass(frozen=True)
class DicomSeries:
    """Files that make one volume or one picture, in their order.

    kind: 'volume' or 'image'. stack: of the slices of a volume in several files.
    """

    kind: str
    headers: tuple[Header, ...]
    stack: Stack | None = None

    @property
    def first(self) -> Header:
        return self.headers[0]


def series_of(headers: Sequence[Header]) -> list[DicomSeries]:
    """The volumes and pictures of files, sorted by their unique ids. Slices of one series that have
    different orientations or sizes make a volume each; a slice that lies alone is a picture.
    """
    groups: dict[tuple[Any, ...], list[Header]] = {}
    for header in headers:
        if not has_pixels(header):
            continue
        key: tuple[Any, ...] = (header.series, header.instance, str(header.path))
        if header.plane and header.shape[3] == 1:
            key = (header.series, _direction(header.plane), header.shape)
        groups.setdefault(key, []).append(header)
    found = (_series(sorted(g, key=_in_series)) for g in groups.values())
    return sorted(found, key=lambda s: (s.first.series, _in_series(s.first)))


def _in_series(header: Header) -> tuple[float, str, str]:
    return header.place, header.instance, str(header.path)


def _direction(plane: Plane) -> tuple[float, ...]:
    return tuple(round(v, DIRECTION) + 0.0 for v in (*plane.across, *plane.down))


def _series(group: list[Header]) -> DicomSeries:
    """The series of files of one orientation and size, sorted by their numbers."""
    planes = [h.plane for h in group if h.plane]
    if len(planes) < 2 or len(planes) < len(group):
        return DicomSeries("volume" if group[0].stacked else "image", (group[0],))
    stack = stacked(planes)
    kept = [k for k in stack.order if k is not None]
    headers = tuple(group[k] for k in kept)
    return DicomSeries("volume" if len(kept) > 1 else "image", headers, stack)


@quiet()
def open_files(paths: Sequence[Path | bytes]) -> tuple[Volume, list[str]]:
    """The volume of the slices in these files, or of the frames of one. Raises BadCell."""
    if len(paths) == 1:
        return _of_one(paths[0])
    heads = [read(path, TAGS) for path in paths]
    planes = [plane_of(head) for head in heads]
    if not all(planes):
        raise BadCell("holds slices that do not say where they lie")
    found = [p for p in planes if p]
    if len({_direction(p) for p in found}) > 1:
        raise BadCell("holds slices of several orientations")
    stack = stacked(found)
    needed = sum(map(needed_bytes, heads)) + sum(map(size_of, paths))
    afford("cell_mb", needed)
    with decoding(needed):
        kept = [k for k in stack.order if k is not None]
        whole = [read(paths[k]) for k in kept]
        slices = [modality_pixels(data) for data in whole]
        if len({s.values.shape[1:] for s in slices}) > 1:
            raise BadCell("holds slices of several sizes")
        place = {k: s.values[0] for k, s in zip(kept, slices, strict=True)}
        empty = np.full_like(slices[0].values[0], np.nan)
        values = np.stack([empty if k is None else place[k] for k in stack.order])
        values = _upright(values, whole[0])
    notes = sorted({note for s in slices for note in s.notes})
    units = {s.unit for s in slices}
    unit = units.pop() if len(units) == 1 else ARBITRARY
    return _placed(values, unit, found[kept[0]], stack, notes)


def _upright(values: np.ndarray, data: Any) -> np.ndarray:  # noqa: ANN401 - of pydicom
    """The values, where a larger one is brighter: those of MONOCHROME1 are turned round."""
    if value(data, "PhotometricInterpretation") == "MONOCHROME1" and np.isfinite(values).any():
        return np.float32(np.nanmax(values) + np.nanmin(values)) - values
    return values


def _placed(
    values: np.ndarray, unit: str, plane: Plane, stack: Stack, notes: list[str]
) -> tuple[Volume, list[str]]:
    """The volume of slices [K, rows, columns, C] in the order of their places."""
    out, axes = canonical(values, plane)
    sides = (stack.distance, *(plane.pixel or (None, None)))
    spacing = [sides[axis] for axis in axes]
    notes += [
        note
        for true, note in (
            (stack.doubled, "slices at the place of another one are left out"),
            (stack.missing and not stack.uneven, "missing slices are left empty"),
            (stack.uneven, "uneven distances between slices, their mean is used"),
            (stack.sheared, "slices shifted sideways (a tilted gantry)"),
            (unit == ARBITRARY, "arbitrary units"),
        )
        if true
    ]
    known = [s for s in spacing if s]
    whole = (known[0], known[1], known[2]) if len(known) == 3 else None
    return Volume(np.ascontiguousarray(out), whole, unit, True), notes


def _of_one(path: Path | bytes) -> tuple[Volume, list[str]]:
    """The volume of the frames of one file."""
    data = read(path)
    needed = needed_bytes(data) + size_of(path)
    afford("cell_mb", needed)
    with decoding(needed):
        pixels = modality_pixels(data)
        values = _upright(pixels.values, data)
    planes, notes = frame_planes(data), list(pixels.notes)
    if planes is None and len(values) == 1 and (plane := plane_of(data)):
        planes = [plane]
    if planes and len(planes) == len(values) and len({_direction(p) for p in planes}) == 1:
        stack = stacked(planes)
        empty = np.full_like(values[0], np.nan)
        ordered = np.stack([empty if k is None else values[k] for k in stack.order])
        first = next(k for k in stack.order if k is not None)
        return _placed(ordered, pixels.unit, planes[first], stack, notes)
    notes.append("no place of the frames in the file, their order is kept")
    notes += ["arbitrary units"] if pixels.unit == ARBITRARY else []
    return Volume(values, single_spacing(data), pixels.unit, False), notes


def open_folder(folder: Path) -> tuple[Volume, list[str]]:
    """The one volume in a folder of DICOM files. Raises BadCell."""
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise BadCell(f"can't be opened ({error.strerror or error})") from error
    headers, _ = opened_headers(visible_files(folder))
    volumes = [s for s in series_of(headers) if s.kind == "volume"]
    if len(volumes) != 1:
        raise BadCell(f"is a folder of {len(volumes)} volumes; one DICOM series was expected")
    return open_files([h.path for h in volumes[0].headers])
