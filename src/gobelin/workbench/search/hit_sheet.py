"""The contact sheet of a search: the hits with their pictures, sounds and cells, as a file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gobelin.core.errors import GobelinError, some
from gobelin.core.output import output_file
from gobelin.data.fields import Schema
from gobelin.data.files import BadCell, cell_bytes, spread
from gobelin.data.image.images import Opening, open_image
from gobelin.data.media import medium
from gobelin.data.mesh.meshes import open_mesh
from gobelin.data.mesh.views import three_views
from gobelin.data.read import read
from gobelin.data.sound.sounds import open_sound
from gobelin.data.volume.volumes import VolumeOpening
from gobelin.embedding.search.index_rows import Hit
from gobelin.report.hit_sheet import SIDE, Card, as_image, as_page
from gobelin.report.lettering import told
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.space import RunSpace
from gobelin.workbench.search.hits import FILES, Hits, shown_cells

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
MOST_SOUND = 2_000_000  # bytes of a sound on a page; a longer one is shown as its curve
SECONDS, HEIGHTS = 10.0, 200  # of a sound's curve, and its number of lines
MEDIA = {b"OggS": "audio/ogg", b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"ID3": "audio/mpeg"}


def draw(path: Path, space: RunSpace, rows: Hits, parts: Sequence[tuple[str, str, float]]) -> None:
    """As `write`; each line is a warning."""
    for line in write(path, space, rows, parts):
        LOG.warning("%s", line)


def write(
    path: Path, space: RunSpace, hits: Hits, parts: Sequence[tuple[str, str, float]]
) -> list[str]:
    """Write the sheet of some hits; lines about what it does not show.

    parts: (flag or column, text, weight) of the query."""
    schema, files = space.features.data.schema, _Files(space, hits)
    cards = [_asked(*part) for part in _asked_files(schema, parts)]
    cards += [files.card(hit, hits) for hit in hits]
    note = "Rows found, best first. A score says how seldom an unrelated row is so near."
    title, boxes = "Search: " + ", ".join(starmap(_said, parts)), ""
    with output_file(path) as temporary:
        if path.suffix.lower() == ".html":
            temporary.write_text(as_page(title, note, cards), encoding="utf-8")
        else:
            image, boxes = as_image(title, note, cards)
            image.save(temporary, "PNG")
    lines = files.lines()
    if boxes:
        lines.append(told(path, boxes, "A sheet that ends in .html shows them."))
    return lines


class _Files:
    """Opens the files of the hits, and counts what can't be shown."""

    def __init__(self, space: RunSpace, hits: Hits) -> None:
        self.schema = space.features.data.schema
        self.columns = [c.name for c in self.schema.columns if c.kind in FILES and c.role == "cell"]
        recorded, self.roots = space.index.roots
        data = space.features.data.settings.data  # where the data are now, if they were moved
        now = data.root or (Path(data.path) if Path(data.path).is_dir() else Path(data.path).parent)
        self.root = recorded if recorded and Path(recorded).is_dir() else str(now)
        self.unshown: dict[str, int] = {}
        self.without_cells = 0
        self.in_data: dict[str, dict[str, Any]] = {}  # of a row's id: cells that the index lacks
        if hits and hits[0].cells:
            lacking = [c for c in self.columns if c not in hits[0].cells]
            self.in_data = self._read(space.features.data, hits, lacking) if lacking else {}

    def _read(self, data: RunData, hits: Hits, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
        """{id: {column: value}} of files that stand in the cells of the data themselves."""
        try:
            dataset = data.given or read(data.settings.data.path, data.settings.data.root or None)
            own = self.schema.role("id")
            dataset = dataset.with_ids(own) if own else dataset.with_ids()
        except GobelinError as error:
            self.unshown[f"{some(columns)}: stands in the data ({error})"] = len(hits)
            return {}
        theirs = [h for h in hits if h.row < len(dataset) and dataset.ids[h.row] == h.id]
        if len(theirs) < len(hits):
            what = f"{some(columns)}: stands in other data, or the data have changed"
            self.unshown[what] = len(hits) - len(theirs)
        chosen = dataset.rows([hit.row for hit in theirs])
        values = {c: chosen.values(c) for c in columns if c in chosen.column_names}
        return {hit.id: {c: v[k] for c, v in values.items()} for k, hit in enumerate(theirs)}

    def card(self, hit: Hit, hits: Hits) -> Card:
        by = f"{'' if hit.equal else 'by '}{hit.found_by}" if hit.found_by else ""
        card = Card(hit.id, f"{hits.nearness(hit)} {by}".rstrip())
        card = replace(card, equal=hit.equal)
        self.without_cells += not hit.cells
        root = Path(self.roots.get(hit.id) or self.root)
        shown = set()
        for column in self.columns:
            files = {**self.in_data.get(hit.id, {}), **hit.cells}
            for value in spread([files.get(column)]):
                if value is not None and self._opened(card, column, value, root):
                    shown.add(column)
        cells = shown_cells(hit, self.schema, hits.asked)
        if self.schema.role("id") is None:  # a row number says nothing: the file's name stays
            shown = set()
        card.cells.extend(cell for cell in cells if cell[0] not in shown)
        return card

    def _opened(self, card: Card, column: str, value: Any, root: Path) -> bool:  # noqa: ANN401
        """Whether the file of a cell could be added to the card."""
        try:
            _show(card, column, self.schema.kind(column), value, root)
        except (BadCell, GobelinError) as error:
            reason = f"column {column!r}: {error}"
            self.unshown[reason] = self.unshown.get(reason, 0) + 1
            return False
        return True

    def lines(self) -> list[str]:
        lines = [f"{reason} ({count} of the rows found)" for reason, count in self.unshown.items()]
        if self.without_cells:
            lines.append("This run was saved without its data, so the sheet has ids and no cells.")
        return lines


def _said(key: str, text: str, weight: float) -> str:
    """A part of a query, as a person reads it."""
    weighed = "" if abs(weight) == 1 else f" (weight {abs(weight):g})"
    return f"{'without ' if weight < 0 else ''}{key} {text!r}{weighed}"


def _asked_files(
    schema: Schema, parts: Sequence[tuple[str, str, float]]
) -> list[tuple[str, str, float]]:
    """(kind, path, weight) of the parts of a query that are files."""
    kinds = {f.name: f.kind for f in schema.fields}
    kinds |= {c: f.kind for f in schema.fields for c in f.columns} | {k: k for k in FILES}
    return [(kinds[k], text, w) for k, text, w in parts if kinds.get(k) in FILES]


def _asked(kind: str, text: str, weight: float) -> Card:
    """The card of a file of the query, which the search has already opened."""
    card = Card(_said("the query", Path(text).name, weight), "")
    _show(card, kind, kind, str(Path(text).absolute()), Path("/"))
    return card


def _solid_picture(kind: str, value: str | bytes, root: Path) -> np.ndarray:
    """uint8 [h, w, 3]: three planes of a volume, three views of a mesh. Raises BadCell."""
    side = SIDE // 3
    if kind == "mesh":
        return three_views(open_mesh(value, root)[0], side)
    of_kind = medium(kind)
    return of_kind.picture(of_kind.opened(value, root, VolumeOpening(), side))


def _show(card: Card, name: str, kind: str, value: str | bytes, root: Path) -> None:
    """Add a file to a card. name: of its column. Raises BadCell."""
    if kind == "image":
        picture, _ = open_image(value, root, Opening(), SIDE)
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        card.pictures.append(picture)
        return
    if kind in ("volume", "mesh"):
        card.pictures.append(Image.fromarray(_solid_picture(kind, value, root)))
        return
    data = cell_bytes(value, root)
    media = next((m for head, m in MEDIA.items() if data.startswith(head)), "audio/mpeg")
    if len(data) <= MOST_SOUND:
        card.sounds.append((name, media, data))
    wave, _ = open_sound(value, root, SECONDS)
    parts = np.array_split(np.abs(wave), min(HEIGHTS, len(wave)))
    heights = np.array([part.max() for part in parts])
    card.waves.append((heights / max(float(heights.max()), 1e-6)).tolist())
