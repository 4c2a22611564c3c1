"""The command `verify`: who made these images, and are they as they were?

Each image gets one verdict, from its signed manifest and its plain marks. Nothing is fetched.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from gobelin.core.arguments import typed
from gobelin.core.errors import MOST_NAMES, GobelinError, UsedUp, first_line
from gobelin.core.progress import counted
from gobelin.data.dataset import GENERATED, ORIGIN_COLUMN
from gobelin.data.files import BadCell, file_bytes
from gobelin.data.image.formats import IMAGE_SIGNATURES, IMAGE_SUFFIXES
from gobelin.data.media import kinds, medium
from gobelin.data.provenance import c2pa, keys
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.data.tables.parquet_files import parquet_file, some_rows
from gobelin.data.volume.marks import head_of
from gobelin.data.volume.nifti import is_nifti
from gobelin.data.walk import Walk
from gobelin.evidence.findings import Finding

MADE = "made by Gobelin, untouched"
TAMPERED = "tampered"
STRIPPED = "stripped"
UNKNOWN = "untouched, signed by somebody unknown"
OTHER = "untouched, not signed by Gobelin"
UNSIGNED = "not signed"
UNREADABLE = "unreadable"
# The exit code of a verdict. Of several verdicts the first one in this order counts.
CODES = {TAMPERED: 4, STRIPPED: 5, UNREADABLE: 7, UNKNOWN: 3, OTHER: 3, UNSIGNED: 6, MADE: 0}
PRINTED = ("generator", "weights", "seed")  # of a lineage
MARKED, UNMARKED = "marked as generated", "no mark says that it was generated"
TABLE = ".parquet"  # a training set of `augment --export`
ID_COLUMN = "gobelin_id"
BATCH = 256  # rows of a table that are read at once, at most
LONGEST = 200  # letters of a value that are told
WORD, NUMBER = re.compile(r"[\w.-]+"), re.compile(r"[\w.+-]+")
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@typed()
def verify(path: str | Path, trust: str | Path | None = None) -> list[Finding]:
    """A finding for each image: its verdict, with its signer and lineage in the note.

    path: an image, a folder with images, or a training set that `augment` exported, of which the
    generated images are verified. trust: a PEM file with the certificates that you trust; without
    it every signer is unknown. Raises GobelinError where there is no image.

    What this cannot show: that an image without a mark is real, and who sits behind a certificate
    that you do not trust. See `data/provenance/c2pa.py`.
    """
    path = Path(path)
    anchors = keys.trusted(Path(trust)) if trust is not None else ""
    findings = [_verified(name, data, anchors) for name, data in _images(path)]
    if not findings:
        raise GobelinError(
            f"{path}: holds no image to verify. Give an image, a folder with images, or a training"
            " set with generated rows."
        )
    return findings


def exit_code(findings: list[Finding]) -> int:
    """0 where every image was made by Gobelin and is untouched; else the code of the worst."""
    found = {finding.verdict for finding in findings}
    return next(code for verdict, code in CODES.items() if verdict in found)


def _images(path: Path) -> Iterator[tuple[str, bytes | BadCell]]:
    """(name, file) of each image, and of each folder that is not looked into."""
    if not path.exists():
        raise GobelinError(f"{path}: there is no such file or folder. Check its name.")
    walk = Walk(path)
    places = list(walk.places()) if path.is_dir() else [(path.parent, [], [path.name])]
    files = sorted(place / name for place, _, names in places for name in names)
    linked = [place / name for place, names, _ in places for name in names]
    known = tuple({TABLE, *IMAGE_SUFFIXES, *(medium(kind).suffix for kind in kinds())})
    read = [f for f in files if f == path or f.name.lower().endswith(known)]
    if len(read) < len(files):
        LOG.warning("%s: %d files are no images by their names.", path, len(files) - len(read))
    for file in counted("verify the images", read):
        name = file.name if file == path else file.relative_to(path).as_posix()
        try:
            if file.suffix.lower() == TABLE:
                yield from _generated(name, file)
            else:
                yield name, file_bytes(file)
        except BadCell as error:
            yield name, error
        except GobelinError as error:
            if file == path or isinstance(error, UsedUp):
                raise
            yield name, BadCell(str(error).removeprefix(f"{file}: "))  # the others are verified
    why = {folder: f"can't be opened ({reason})" for folder, reason in walk.unopened.items()}
    why |= {f: "is linked, and no link is followed" for f in linked if f.is_symlink()}
    for folder, reason in sorted(why.items()):
        yield f"{folder.relative_to(path).as_posix()}/", BadCell(f"is a folder that {reason}")


def _generated(name: str, file: Path) -> Iterator[tuple[str, bytes]]:
    """The generated images in a training set that `augment --export` wrote."""
    try:
        table = parquet_file(file)
        column = (table.schema_arrow.metadata or {}).get(GENERATED, b"").decode()
        read = [ID_COLUMN, ORIGIN_COLUMN, column]
        if not set(read) <= set(table.schema_arrow.names):
            return  # a table of other data
        for batch in some_rows(table, file, read, BATCH):
            for number, origin in enumerate(batch.column(ORIGIN_COLUMN).to_pylist()):
                image = batch.column(column)[number].as_py() if origin == "generated" else None
                if isinstance(image, bytes):
                    row = _shown(batch.column(ID_COLUMN)[number].as_py())
                    yield f"{name}, row {row}", image
    except (OSError, ValueError) as error:
        raise GobelinError(f"{file}: can't be read as Parquet ({error}). Give another.") from error


def _verified(name: str, data: bytes | BadCell, anchors: str) -> Finding:
    verdict, note = (UNREADABLE, str(data)) if isinstance(data, BadCell) else _told(data, anchors)
    return Finding(
        name="provenance", scope={"image": name}, verdict=verdict, note=note, source="verify"
    )


def _told(data: bytes, anchors: str) -> tuple[str, str]:
    """The verdict on an image file, and what its manifest or marks say. A volume has marks and no
    manifest."""
    if is_nifti(head_of(data)):
        return UNSIGNED, MARKED if is_marked(data) else UNMARKED
    try:
        manifest = c2pa.read(data, anchors)
        lineage = read_lineage(io.BytesIO(data)) or {}
    except UnidentifiedImageError:
        return UNREADABLE, _unopened(data)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return UNREADABLE, f"can't be opened ({first_line(error, 60)})"
    if manifest is None:
        marked = MARKED if is_marked(data) else UNMARKED
        if c2pa.SIGNED in lineage:
            return (
                STRIPPED,
                f"its marks say that it was signed, and the signature is gone; {marked}",
            )
        return UNSIGNED, marked
    told = "; ".join(_said(manifest))
    if not manifest.untouched:
        return TAMPERED, f"{manifest.reason}; {told}" if told else manifest.reason
    if not manifest.trusted:
        if manifest.expired:
            return UNKNOWN, f"its certificate is not valid today (expired or not begun); {told}"
        return UNKNOWN, told if anchors else f"without --trust every signer is unknown; {told}"
    made = manifest.maker == c2pa.MAKER and manifest.generated and bool(manifest.lineage)
    return (MADE if made else OTHER), told


def _unopened(data: bytes) -> str:
    """What a file is that can't be opened as an image: one damaged byte is enough."""
    if not data.startswith(IMAGE_SIGNATURES):
        return "is no image"
    marks = [MARKED] if is_marked(data) else []
    marks += ["its marks say that it was signed"] if f'"{c2pa.SIGNED}"'.encode() in data else []
    return "; ".join(["is a damaged image", *marks])


def _said(manifest: c2pa.Manifest) -> list[str]:
    """What a manifest says of the image."""
    said = [f"signer {_shown(manifest.signer, quoted=True)}"] if manifest.signer else []
    if manifest.generated and not manifest.lineage:
        said.append("says that it was generated")
    said += [f"{k} {_shown(manifest.lineage[k])}" for k in PRINTED if k in manifest.lineage]
    condition = manifest.lineage.get("condition")
    if isinstance(condition, Mapping):
        parts = {key: value for key, value in condition.items() if value not in ("", None)}
        shown = [f"{_shown(k)} {_shown(v, quoted=True)}" for k, v in parts.items()]
        return [*said, *shown[:MOST_NAMES], *["..."] * (len(shown) > MOST_NAMES)]
    return [*said, f"condition {_shown(condition)}"] if condition else said


def _shown(value: object, quoted: bool = False) -> str:
    """A value of a statement that anybody may have written: in quotes, unless it is a number or one
    word, so that it says nothing that the statement doesn't; cut where it is long.

    quoted: one word too.
    """
    text = str(value)
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    word = not isinstance(value, str) and NUMBER.fullmatch(cut) or WORD.fullmatch(cut)
    return cut if word and not (quoted and isinstance(value, str)) else repr(cut)
