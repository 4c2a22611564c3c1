"""A row whose id is a number only is known by the name of its file. Oracle: the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gobelin.data.fields import Column, Schema
from gobelin.embedding.search.index_rows import Hit
from gobelin.workbench.search.hit_sheet import _Files
from gobelin.workbench.search.hits import Hits


@pytest.mark.parametrize("with_id", [True, False])
def test_a_card_names_the_file_where_there_is_no_id(with_id: bool, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "apple.png")
    columns = [Column("photo", "image"), Column("kind", "category", "target")]
    columns += [Column("sku", "text", "id")] * with_id
    files = object.__new__(_Files)
    files.schema, files.columns = Schema(tuple(columns), ()), ["photo"]
    files.root, files.roots, files.in_data = str(tmp_path), {}, {}
    files.unshown, files.without_cells = {}, 0
    hit = Hit(7, "7", 1.0, cells={"photo": "apple.png", "kind": "fruit"})
    card = files.card(hit, Hits([hit]))
    assert len(card.pictures) == 1 and ("kind", "fruit") in card.cells
    assert (("photo", "apple.png") in card.cells) == (not with_id)
