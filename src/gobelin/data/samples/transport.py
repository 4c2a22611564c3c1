"""Traffic signs of many countries: read a sign's name in the drawing of a country never seen.

The 1,543 drawings (SVG) of the npm package @rapideditor/mapillary_sprite_source (MIT) are read
where npm put them; nothing is downloaded here. A file is CATEGORY--NAME--gK.svg. The K are national
variants: the same message, drawn by another country's rules. The target is the name (with its
category, of four). Names with three variants or more are used: one variant is the test row, one the
validation row, and one or two are the training rows. So no test drawing is of a style that the
training rows of its name have, and the units of every comparison are the names.

A caption would give the name away, and so would the category; neither is a field. The category is
written and not read. Where `recipes/transport/install.sh` has rendered the training signs, the demo
studies these images, else those of the default generator.

What this cannot show: how a sign is read on a street. The drawings are clean, flat and front on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv as pa_csv

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import MissingExtra
from gobelin.core.files import atomic_folder
from gobelin.core.machine import hash_order
from gobelin.core.workers import in_order
from gobelin.data.image import svg
from gobelin.data.image.images import Opening, open_image, png_bytes, squared

SIGNS_PACKAGE = "@rapideditor/mapillary_sprite_source"
DRAWINGS = "package_signs"  # folder of the drawings in the package
RENDERED = "rendered"  # folder of rendered training signs, beside node_modules
LEAST_VARIANTS = 3  # of a name: one row for training, validation and test each
MOST_TRAINING = 2  # training rows of a name
ROLES_SEED = 0  # of the order of a name's variants; the same in every run


@settings_class
class Transport:
    """Settings of the sample set."""

    folder: str = setting(
        default="transport", description="Folder where npm installed the package."
    )
    size: int = setting(default=64, ge=8, le=512, description="Side of the images in pixels.")
    exchanged: bool = setting(
        default=False,
        description="Whether the test variant and the first training one of a name change places.",
    )

    target: ClassVar[str] = "name"
    credit: ClassVar[str] = "Signs: mapillary_sprite_source by Mapillary and Rapid, MIT"

    def settings(self) -> Mapping[str, Any]:
        rendered = Path(self.folder).expanduser() / RENDERED
        imported = {"name": "imported", "settings": {"folder": str(rendered)}}
        return {
            "schema": {"id": "id", "name": "category", "category": "ignore", "part": "split"},
            "judge": {"audits": []},  # they need held-out rows that were drawn at random
            "generator": {"size": self.size, **(imported if rendered.is_dir() else {"steps": 300})},
            # enough generated images to matter beside one or two drawings, and few trainings
            "augment": {
                "ratio": [4.0],
                "mixes": [0.2, 1.0],
                "decays": [1e-3, 1e-2],
                "tuning_seeds": 1,
                "seeds": 3,
                # mirrored, "keep left" says "keep right"
                "rival_settings": {"classic": {"mirror": 0.0}},
            },
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ()

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv and images/*.png, transparent pixels over white (half a minute). Which
        variant has which part is the same for every seed.
        """
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        drawings = self.drawings()
        library = svg.resvg()  # refuses before anything is written
        rows = [row for name, signs in by_name(drawings).items() for row in self._rows(name, signs)]
        with atomic_folder(folder) as temporary:
            (temporary / "images").mkdir()

            def draw(row: dict[str, Any]) -> None:
                source = str(drawings / f"{row['id']}.svg")
                png = bytes(library.svg_to_bytes(svg_path=source, width=self.size))
                image = open_image(png, drawings, Opening())[0]
                (temporary / row["image"]).write_bytes(png_bytes(squared(image, self.size)))

            for _ in in_order(draw, rows, workers=2):
                pass
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"

    def drawings(self) -> Path:
        """The folder of the drawings: in `folder`, or in the package that npm put there. Raises
        MissingExtra."""
        root = Path(self.folder).expanduser()
        for folder in (
            root / "node_modules" / SIGNS_PACKAGE / DRAWINGS,
            root / DRAWINGS,
            root,
        ):
            if next(folder.glob("*--*--g*.svg"), None):
                return folder
        raise MissingExtra(
            f"The transport sample set ({SIGNS_PACKAGE} in {self.folder}/)",
            command=f"npm install --prefix {self.folder} {SIGNS_PACKAGE}",
        )

    def _rows(self, name: str, signs: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of one name; none for a name with too few variants."""
        if len(signs) < LEAST_VARIANTS:
            return []
        order = hash_order(signs, ROLES_SEED, "transport")
        test, valid, *train = order
        if self.exchanged:
            test, train = train[0], [test, *train[1:]]
        parts = {test: "test", valid: "valid"} | dict.fromkeys(train[:MOST_TRAINING], "train")
        return [
            {
                "id": sign,
                "image": f"images/{sign}.png",
                "name": name,
                "category": name.partition("--")[0],
                "part": part,
            }
            for sign, part in parts.items()
        ]


def by_name(drawings: Path) -> dict[str, list[str]]:
    """{name: ids of its variants} of the files CATEGORY--NAME--gK.svg."""
    found: dict[str, list[str]] = {}
    for path in sorted(drawings.glob("*--*--g*.svg")):
        name, _, _ = path.stem.rpartition("--g")
        found.setdefault(name, []).append(path.stem)
    return found
