"""Sweet Home 3D's furniture: 820 pieces with image, names in many languages, sizes, and a mesh.

The files are read where `apt-get install sweethome3d-furniture` puts them (120 MB; public domain or
CC BY 3.0, each catalogue says which); none comes with Gobelin. A catalogue is a zip with
`PluginFurnitureCatalog.properties` (name#7=Bed, width#7=140.7 ...), one more such file a language
(names only), images, and meshes (OBJ), which are written as PLY: each face in the colour of its
material, or in the mean of the picture that covers it.
Sizes are in centimetres; a mesh has a unit of its own.

The target is the category (of 12), or the height of a piece. Columns that would give it away are
not written or not read: tags that are a category's name or the catalogue's own, whether a piece is
a door, where its bulbs are, the height of its top. Variants of a piece ('Wall type C plug', 'Black
table') must stay together in a split: `family` is the English name without words of colour, size,
count, shape and sex.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv
from PIL import Image

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import atomic_folder
from gobelin.data.image.images import Opening, open_image, squared
from gobelin.data.mesh.meshes import decode_mesh, ply_bytes

FURNITURE_PACKAGE = "sweethome3d-furniture"
CATALOGUE = "PluginFurnitureCatalog{}.properties"
LINE = re.compile(r"^(\w+)#(\d+)=(.*)$", re.MULTILINE)
UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
CATALOGUE_TAGS = {"blend swap", "scpts"}  # they name a catalogue, not a property of a piece
SIZES = ("width", "depth", "height")
VARIANT = re.compile(
    r"\b(black|white|blue|red|green|beige|clear|oak|teak|alder|large|little|small|high|low"
    r"|upper|lower|open|opened|full|single|double|triple|quadruple|round|rounded|square|wall|type"
    r"|male|female|boy|girl|modern|[a-z])\b|[^a-z ]"
)


@settings_class
class Sweethome:
    """Settings of the sample set."""

    predicts: Literal["category", "log_height"] = setting(
        default="category", description="Column to predict."
    )
    folder: str = setting(
        default="/usr/share/sweethome3d/furniture",
        description="Folder of the furniture catalogues.",
    )
    size: int = setting(
        default=96, ge=1, description="Side of the images in pixels. The originals have 128."
    )
    languages: tuple[str, ...] = setting(
        default=("en", "de", "fr", "es", "ja"), description="Languages of the names."
    )
    meshes: bool = setting(
        default=False, description="Whether each piece has its mesh (350 MB, two minutes)."
    )

    credit: ClassVar[str] = (
        "Furniture: the Sweet Home 3D catalogues and their contributors,"
        " public domain and CC BY 3.0"
    )

    def __post_init__(self) -> None:
        if self.size < 1 or "en" not in self.languages:
            raise GobelinError(
                f"samples.sweethome: size = {self.size}, languages = {list(self.languages)};"
                " expected a size of at least 1, and en among the languages. Change them."
            )

    @property
    def target(self) -> str:
        return self.predicts

    def settings(self) -> Mapping[str, Any]:
        not_read = (
            "log_height" if self.predicts == "category" else "height"
        )  # the height says its own logarithm
        return {
            "schema": {"family": "group", not_read: "ignore", "tags": "text"},
            "generator": {"steps": 1400},
            "fields": {"caption": [f"name_{code}" for code in self.languages]},
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return (
            {"text": "a comfortable chair"},
            {"text": "ein Baum"},
            {"row": "width=400,depth=180,elevation=0"},
        )

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv and images/*.png, transparent pixels over white (about 5 seconds)."""
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        catalogues = sorted(Path(self.folder).glob("*.sh3f"))
        if not catalogues:
            raise MissingExtra(
                f"The sweethome sample set ({FURNITURE_PACKAGE} in {self.folder})",
                command=f"sudo apt-get install {FURNITURE_PACKAGE}",
            )
        with atomic_folder(folder) as temporary:
            (temporary / "images").mkdir()
            if self.meshes:
                (temporary / "meshes").mkdir()
            rows = [row for path in catalogues for row in self._rows(path, temporary)]
            categories = {row["category"].lower() for row in rows}
            for row in rows:
                own_tags = [
                    tag for tag in row["tags"] if tag.lower() not in categories | CATALOGUE_TAGS
                ]
                row["tags"] = ", ".join(own_tags) or None
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"

    def _rows(self, path: Path, into: Path) -> Iterator[dict[str, Any]]:
        with zipfile.ZipFile(path) as archive:
            pieces = _pieces(archive, "")
            translations = {
                code: _pieces(archive, f"_{code}") for code in self.languages if code != "en"
            }
            for number, piece in pieces.items():
                name = f"{path.stem}-{number:03d}"
                icon = archive.read(piece["icon"].lstrip("/"))
                pixels = squared(open_image(icon, Path(), Opening())[0], self.size)
                Image.fromarray(pixels).save(into / "images" / f"{name}.png")
                row: dict[str, Any] = {
                    "id": name,
                    "image": f"images/{name}.png",
                    "category": piece["category"],
                    "family": family(piece["name"]),
                    "tags": [tag.strip() for tag in piece["tags"].split(",") if tag.strip()],
                    **{side: float(piece[side]) for side in SIZES},
                    "log_height": round(math.log(float(piece["height"])), 4),
                    "elevation": float(piece.get("elevation") or 0),
                    "movable": piece["movable"],
                }
                if self.meshes:
                    row["mesh"] = f"meshes/{name}.ply"
                    (into / row["mesh"]).write_bytes(_ply(archive, piece["model"].lstrip("/")))
                yield row | {
                    f"name_{code}": (
                        (piece if code == "en" else translations[code].get(number, {})).get("name")
                        or None
                    )
                    for code in self.languages
                }


def _ply(archive: zipfile.ZipFile, name: str) -> bytes:
    """A mesh of the catalogue as PLY. name: of its OBJ file, whose materials and pictures stand
    beside it."""
    folder = PurePosixPath(name).parent
    mesh, _ = decode_mesh(archive.read(name), name, lambda file: archive.read(str(folder / file)))
    return ply_bytes(mesh)


def _pieces(archive: zipfile.ZipFile, language_suffix: str) -> dict[int, dict[str, str]]:
    """{number of a piece: {key: value}} of a catalogue in a language; nothing for a language that
    it lacks.

    The format is Java's: Latin-1, other letters as \\uXXXX.
    """
    if CATALOGUE.format(language_suffix) not in archive.namelist():
        return {}
    text = archive.read(CATALOGUE.format(language_suffix)).decode("latin-1").replace("\r", "")
    pieces: dict[int, dict[str, str]] = {}
    for key, number, value in LINE.findall(text):
        pieces.setdefault(int(number), {})[key] = UNICODE_ESCAPE.sub(
            lambda m: chr(int(m[1], 16)), value
        ).strip()
    return pieces


def family(name: str) -> str:
    """What variants of a piece have in common."""
    lower = name.lower()
    return " ".join(VARIANT.sub(" ", lower).split()) or lower
