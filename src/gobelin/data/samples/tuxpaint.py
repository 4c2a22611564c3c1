"""Tux Paint's stamps: 950 images with captions in many languages, spoken words and sounds.

They are photographs and drawings. They are read where `apt-get install tuxpaint-stamps-default`
puts them (161 MB, GPL-2 with the licences of each contributor beside them); none comes with
Gobelin. A stamp is STEM.svg or STEM.png, STEM.txt (the English caption, then `xx.utf8=...` for
other languages), STEM_desc_xx.ogg (the caption spoken, by one voice for each language) and STEM.ogg
or STEM.wav (the sound that the thing makes). Many stamps have the same caption, so a split has to
keep them together: `family` is the English caption without case and punctuation.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv as pa_csv
from PIL import Image

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import atomic_folder
from gobelin.core.workers import in_order
from gobelin.data.image import svg
from gobelin.data.image.images import Opening, open_image, squared

STAMPS_PACKAGE = "tuxpaint-stamps-default"
MIRRORED = ("_mirror", "_flip")  # endings of image files that show another stamp mirrored
SOUNDS = (".ogg", ".wav")


@settings_class
class Tuxpaint:
    """Settings of the sample set."""

    folder: str = setting(default="/usr/share/tuxpaint/stamps", description="Folder of the stamps.")
    size: int = setting(default=96, ge=1, description="Side of the images in pixels.")
    languages: tuple[str, ...] = setting(
        default=("en", "de", "fr", "es", "ja"), description="Languages of the captions."
    )
    voices: tuple[str, ...] = setting(
        default=("fr",),
        description="Languages of the spoken captions. fr has most, en means unmarked ones.",
    )

    target: ClassVar[str] = "category"
    credit: ClassVar[str] = (
        "Stamps and sounds: the Tux Paint stamp collection and its contributors, GPL-2"
    )

    def __post_init__(self) -> None:
        if self.size < 1 or "en" not in self.languages or not self.voices:
            raise GobelinError(
                f"samples.tuxpaint: size = {self.size}, languages = {list(self.languages)}, voices"
                f" = {list(self.voices)}; expected a size of at least 1, en among the languages,"
                " and a voice. Change them."
            )

    def settings(self) -> Mapping[str, Any]:
        return {
            # a leaf folder is in one category: it gives the target away
            "schema": {"family": "group", "leaf": "ignore"},
            "generator": {"steps": 1400},
            "fields": {
                "caption": [f"name_{code}" for code in self.languages],
                "speech": [f"speech_{code}" for code in self.voices],
            },
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        stamps = self._stamps()
        spoken = [s for s in stamps if _spoken(s, self.voices[0])][:1]
        with_effect = [s for s in stamps if _effect(s)][:1]
        return (
            {"text": "a red flower"},
            {"text": "ein Vogel"},
            *({f"speech_{self.voices[0]}": str(_spoken(s, self.voices[0]))} for s in spoken),
            *({"sound": str(_effect(s))} for s in with_effect),
        )

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv, images/*.png (transparent pixels over white), speech/xx/* and sound/*
        (about 30 seconds).
        """
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        stamps = self._stamps()
        if not stamps:
            raise MissingExtra(
                f"The tuxpaint sample set ({STAMPS_PACKAGE} in {self.folder})",
                command=f"sudo apt-get install {STAMPS_PACKAGE}",
            )
        with atomic_folder(folder) as temporary:

            def row_of(stamp: Path) -> dict[str, Any]:
                return self._row(stamp, temporary)

            pa_csv.write_csv(
                pa.Table.from_pylist(list(in_order(row_of, stamps, workers=2))),
                temporary / "records.csv",
            )
        return folder / "records.csv"

    def _stamps(self) -> list[Path]:
        """The image file of every stamp that has a caption, in order. Of a drawing (SVG) and a PNG
        of one name the drawing is taken.
        """
        image_files = {
            p.with_suffix(""): p
            for kind in (".png", ".svg")
            for p in sorted(Path(self.folder).rglob(f"*{kind}"))
        }
        return [
            image
            for stem, image in sorted(image_files.items())
            if not stem.name.endswith(MIRRORED)
            and image.with_suffix(".txt").is_file()
            and len(_place(stem, self.folder)) > 1
        ]

    def _row(self, image_file: Path, into: Path) -> dict[str, Any]:
        place, names = (
            _place(image_file.with_suffix(""), self.folder),
            _captions(image_file.with_suffix(".txt")),
        )
        name = "-".join(place)
        row: dict[str, Any] = {
            "id": "/".join(place),
            "image": f"images/{name}.png",
            "category": place[0],
            "leaf": "/".join(place[:-1]),
            "family": (
                "".join(c for c in names["en"].lower() if c.isalnum() or c == " ").strip()
                or names["en"]
            ),
        }
        row |= {f"name_{code}": names.get(code) for code in self.languages}
        (into / "images").mkdir(exist_ok=True)
        pixels = squared(
            open_image(_png(image_file, 4 * self.size), image_file.parent, Opening())[0], self.size
        )
        Image.fromarray(pixels).save(into / row["image"])
        for code in self.voices:
            row[f"speech_{code}"] = _copied(
                _spoken(image_file, code), f"speech/{code}/{name}", into
            )
        row["sound"] = _copied(_effect(image_file), f"sound/{name}", into)
        return row


def _place(stem: Path, folder: str) -> tuple[str, ...]:
    """The stem's path below the folder: category, folders below it, name."""
    return stem.relative_to(folder).parts


def _captions(path: Path) -> dict[str, str]:
    """{language: caption} of a stamp's text file; the first line is English."""
    first, *others = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    out = {"en": first.strip()}
    for line in others:
        code, equals, text = line.partition("=")
        if equals and text.strip():
            out.setdefault(code.removesuffix(".utf8"), text.strip())
    return out


def _spoken(image_file: Path, code: str) -> Path | None:
    """The file with the spoken caption in a language; None without one."""
    endings = [f"_desc_{code}", *(["_desc"] if code == "en" else [])]
    return _first(image_file.with_name(f"{image_file.stem}{e}{s}") for e in endings for s in SOUNDS)


def _effect(image_file: Path) -> Path | None:
    return _first(image_file.with_suffix(s) for s in SOUNDS)


def _first(paths: Iterable[Path]) -> Path | None:
    return next((p for p in paths if p.is_file()), None)


def _copied(source: Path | None, name: str, into: Path) -> str | None:
    """Copy the file to `name` below `into`; its path below `into`. None for no file."""
    if source is None:
        return None
    target = into / f"{name}{source.suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target.relative_to(into).as_posix()


def _png(image_file: Path, width: int) -> bytes:
    """The bytes of the image file; a drawing (SVG) is drawn `width` pixels wide. Raises
    MissingExtra.
    """
    if image_file.suffix != ".svg":
        return image_file.read_bytes()
    # without dpi a drawing measured in mm or pt would have no size
    return bytes(svg.resvg().svg_to_bytes(svg_path=str(image_file), width=width, dpi=96))
