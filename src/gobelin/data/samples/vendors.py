"""The same emoji by two vendors: 3,786 pairs of drawings, to translate one style to the other.

Everything comes from the npm packages emoji-datasource-google (drawings: Noto Emoji, Apache-2.0)
and emoji-datasource-twitter (drawings: Twemoji, CC BY 4.0), which name their 64 px files alike;
both say MIT for the data. They are read where npm put them; nothing is downloaded here. Variants of
one emoji by skin tone, person and direction share their `family`, so that a split keeps them
together: man, woman and person of one emoji are nearly the same drawing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv as pa_csv
from PIL import Image

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import MissingExtra
from gobelin.core.files import atomic_folder, read_json
from gobelin.core.workers import in_order
from gobelin.data.image.images import Opening, open_image, squared

EMOJI_PACKAGE = "emoji-datasource-{}"
SOURCE_VENDOR, TARGET_VENDOR = "google", "twitter"  # translation is from the first to the second
TONES = {
    "1F3FB": "light",
    "1F3FC": "medium light",
    "1F3FD": "medium",
    "1F3FE": "medium dark",
    "1F3FF": "dark",
}
PERSON = re.compile(
    r"\b(man|woman|men|women|person|people|boy|girl|child|adult|older|prince|princess|king|queen"
    r"|mr|mrs|mx|facing|right|left|rightwards|leftwards|with|and|in|of)\b|[^a-z0-9 ]"
)


@settings_class
class Vendors:
    """Settings of the sample set."""

    folder: str = setting(default="vendors", description="Folder where npm installed the packages.")
    size: int = setting(default=64, description="Side of the images in pixels.")

    target: ClassVar[str] = "category"
    credit: ClassVar[str] = (
        "Drawings: Noto Emoji by Google, Apache-2.0; Twemoji by Twitter, CC BY 4.0"
    )

    def settings(self) -> Mapping[str, Any]:
        return {
            "schema": {"family": "group"},
            "generator": {"name": "translate", "source": SOURCE_VENDOR, "steps": 1200},
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ({"text": "a red flower"}, {"text": "woman with a hat"})

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv and images/VENDOR/*.png, transparent pixels over white."""
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        drawings = {vendor: self._drawings(vendor) for vendor in (SOURCE_VENDOR, TARGET_VENDOR)}
        emojis = read_json(drawings[TARGET_VENDOR].parents[2] / "emoji.json")
        rows = [
            row
            for emoji in emojis
            for row in _rows(emoji)
            if all((d / row["file"]).is_file() for d in drawings.values())
        ]
        with atomic_folder(folder) as temporary:
            for vendor in drawings:
                (temporary / "images" / vendor).mkdir(parents=True)

            def draw(row: dict[str, Any]) -> None:
                for vendor, source_folder in drawings.items():
                    image = open_image(row["file"], source_folder, Opening())[0]
                    Image.fromarray(squared(image, self.size)).save(
                        temporary / "images" / vendor / row["file"]
                    )

            for _ in in_order(draw, rows, workers=2):
                pass
            for row in rows:
                file = row.pop("file")
                row |= {vendor: f"images/{vendor}/{file}" for vendor in drawings}
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"

    def _drawings(self, vendor: str) -> Path:
        """The folder of a vendor's 64 px files, in its package."""
        folder = (
            Path(self.folder)
            / "node_modules"
            / EMOJI_PACKAGE.format(vendor)
            / "img"
            / vendor
            / "64"
        )
        if not (folder.is_dir() and (folder.parents[2] / "emoji.json").is_file()):
            packages = " ".join(EMOJI_PACKAGE.format(v) for v in (SOURCE_VENDOR, TARGET_VENDOR))
            raise MissingExtra(
                f"The vendors sample set ({EMOJI_PACKAGE.format(vendor)} in {self.folder}/)",
                command=f"npm install --prefix {self.folder} {packages}",
            )
        return folder


def _rows(emoji: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The row of an emoji, and one for each of its skin tones."""
    name = str(emoji["name"] or emoji["short_name"]).lower()
    shared = {
        "category": emoji["category"],
        "family": " ".join(PERSON.sub(" ", name).split()) or name,
    }
    yield {"id": emoji["short_name"], "file": emoji["image"], "name": name, **shared}
    for code, tone in (emoji.get("skin_variations") or {}).items():
        tones = " and ".join(TONES.get(part, part) for part in code.split("-"))
        row = {
            "id": f"{emoji['short_name']} {code.lower()}",
            "file": tone["image"],
            "name": f"{name}, {tones} skin tone",
        }
        yield {**row, **shared}
