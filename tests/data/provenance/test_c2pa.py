"""Signed images. Oracles: Pillow for the pixels, the C2PA library that others read manifests with,
and files that are changed here in one place each."""

from __future__ import annotations

import io
import json
import statistics
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from signing import c2pa as library
from signing import chain, pixels

from gobelin.core.errors import MissingExtra
from gobelin.data.provenance import c2pa, keys
from gobelin.data.provenance.c2pa import MAKER, Signer
from gobelin.data.provenance.marks import is_marked, marked_png, read_lineage

LINEAGE = {
    "generator": "flow",
    "weights": "0123456789abcdef",
    "seed": 7,
    "condition": {"text": "un été à Åre 東京"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name, text in keys.development("A laboratory").items():
        (folder / name).write_bytes(text)
    return folder


@pytest.fixture(scope="module")
def signer(place: Path) -> Signer:
    return Signer(place / keys.KEY, place / keys.CHAIN)


@pytest.fixture(scope="module")
def trust(place: Path) -> str:
    return keys.trusted(place / keys.AUTHORITY)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(name, content) of the chunks of a PNG."""
    found, at = [], 8
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += size + 12
    return found


def png(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_stay_and_others_read_what_was_said(
    channels: int, signer: Signer, trust: str
) -> None:
    shown = pixels(1, channels=channels)
    signed = signer.png(shown, LINEAGE)
    with Image.open(io.BytesIO(signed)) as image:
        assert np.array_equal(np.asarray(image).reshape(shown.shape), shown)
    reader = library.Reader("image/png", io.BytesIO(signed))
    said = json.loads(reader.json())
    active = said["manifests"][said["active_manifest"]]
    assert said["validation_state"] == "Valid"
    assert active["claim_generator_info"][0]["name"] == MAKER and "thumbnail" not in active
    assertions = {one["label"]: one["data"] for one in active["assertions"]}
    (action,) = assertions["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/digitalsourcetype/trainedAlgorithmicMedia")
    told = assertions["org.gobelin.lineage"]
    assert {k: told[k] for k in LINEAGE} == LINEAGE
    found = c2pa.read(signed, trust)
    assert found.untouched and found.trusted and found.generated and not found.expired
    assert found.lineage == told == read_lineage(io.BytesIO(signed))
    assert is_marked(signed)


def test_the_marks_of_a_signed_image_are_those_of_an_unsigned_one(signer: Signer) -> None:
    """And a manifest alone is a mark, too: other tools leave the rest out."""
    signed = signer.png(pixels(), LINEAGE)
    own = read_lineage(io.BytesIO(signed))
    plain = chunks(marked_png(pixels(), own))
    assert [part for part in chunks(signed) if part[0] != b"caBX"] == plain
    bare = png([part for part in chunks(signed) if part[0] not in (b"iTXt", b"tEXt")])
    assert is_marked(bare) and read_lineage(io.BytesIO(bare)) is None
    assert c2pa.read(bare).generated and not c2pa.read(bare).untouched


def test_an_image_of_12_kilobytes_stays_small_and_is_signed_at_once(signer: Signer) -> None:
    shown = pixels(2, side=60)
    assert 11_000 < len(marked_png(shown, LINEAGE)) < 12_288
    times = []
    for _ in range(9):
        begun = time.process_time()
        signed = signer.png(shown, LINEAGE)
        times.append(time.process_time() - begun)
    assert len(signed) < 16_000
    print(f"{len(signed)} bytes, {1000 * statistics.median(times):.1f} ms")


def test_a_changed_pixel_byte_or_manifest_is_found(signer: Signer, trust: str) -> None:
    signed = signer.png(pixels(), LINEAGE)
    with Image.open(io.BytesIO(signed)) as image:
        changed = np.array(image)
    changed[5, 5, 0] ^= 1
    other = dict(chunks(marked_png(changed, LINEAGE)))
    flipped = png([(n, other[n] if n == b"IDAT" else c) for n, c in chunks(signed)])
    with Image.open(io.BytesIO(flipped)) as image:
        assert (np.asarray(image) != pixels()).sum() == 1
    found = c2pa.read(flipped, trust)
    assert not found.untouched and "assertion.dataHash.mismatch" in found.reason
    moved = png(
        [
            (n, dict(chunks(signed))[n] if n == b"caBX" else c)
            for n, c in chunks(signer.png(pixels(4), LINEAGE))
        ]
    )
    assert not c2pa.read(moved, trust).untouched  # the manifest of another image
    for place in (b"caBX", b"iTXt"):  # what the manifest says, and what the plain mark says
        parts = [(n, c.replace(b"flow", b"glow") if n == place else c) for n, c in chunks(signed)]
        assert png(parts) != signed and not c2pa.read(png(parts), trust).untouched


def heads(manifest: bytes, start: int, end: int) -> Iterator[int]:
    """The places of the heads of boxes: of each box of boxes its length, its kind, its name."""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", manifest, start)
        if kind == b"jumb":
            described = start + 8 + struct.unpack_from(">I", manifest, start + 8)[0]
            yield from range(start, described)
            yield from heads(manifest, described, start + length)
        start += length


def test_no_flipped_bit_of_a_manifest_makes_it_say_something_else(
    signer: Signer, trust: str
) -> None:
    """What no signature covers: the heads of boxes (length, kind, name), and the padding. They say
    nothing of the image."""
    parts = chunks(signer.png(pixels(side=8), LINEAGE))
    at = [name for name, _ in parts].index(b"caBX")
    manifest = parts[at][1]
    before, rng, untouched = c2pa.read(png(parts), trust), np.random.default_rng(0), 0
    padding = manifest.rindex(b"cpadY") + 1
    filled = manifest[
        padding + 6 : padding + 6 + int.from_bytes(manifest[padding + 4 : padding + 6])
    ]
    assert not any(filled) and len(filled) > 900
    uncovered = {*heads(manifest, 0, len(manifest)), *range(padding, padding + 6 + len(filled))}
    for place in rng.integers(0, len(manifest), 150):
        spoilt = bytearray(manifest)
        spoilt[place] ^= 1 << rng.integers(8)
        found = c2pa.read(png([*parts[:at], (b"caBX", bytes(spoilt)), *parts[at + 1 :]]), trust)
        if found is not None and found.untouched and found.trusted:
            untouched += 1
            assert found == before and int(place) in uncovered
    assert untouched < 75


def test_a_source_keeps_its_manifest(signer: Signer, trust: str, tmp_path: Path) -> None:
    other = Signer(*chain(name="Somebody").write(tmp_path))
    source = other.png(pixels(3), {"generator": "gan", "seed": 1})
    jpeg = io.BytesIO()
    Image.fromarray(pixels(4)).save(jpeg, "JPEG")
    signed = signer.png(pixels(), LINEAGE, sources=[source, jpeg.getvalue()])
    assert c2pa.read(signed, trust).trusted
    said = json.loads(library.Reader("image/png", io.BytesIO(signed)).json())
    active = said["manifests"].pop(said["active_manifest"])
    first, second = active["ingredients"]
    assert (first["relationship"], second["relationship"]) == ("inputTo", "inputTo")
    assert "active_manifest" not in second and second["format"] == "image/jpeg"
    (kept,) = said["manifests"].values()
    assert first["active_manifest"] == kept["label"]
    assert kept["signature_info"]["common_name"] == "Somebody"
    parents = signer.png(pixels(), {**LINEAGE, "parents": ["ab12", "cd34"]})
    said = json.loads(library.Reader("image/png", io.BytesIO(parents)).json())
    active = said["manifests"][said["active_manifest"]]
    assert [one["title"] for one in active["ingredients"]] == ["ab12", "cd34"]


def boxes(manifest: bytes) -> list[bytes]:
    """The statements in a store, in the order in which they were added: its own is the last."""
    at, found = 8 + struct.unpack_from(">I", manifest, 8)[0], []
    while at < len(manifest):
        length = struct.unpack_from(">I", manifest, at)[0]
        found.append(manifest[at : at + length])
        at += length
    return found


def test_a_changed_statement_of_a_source_is_found(
    signer: Signer, trust: str, tmp_path: Path
) -> None:
    """As deep as it lies: its text, its signature, one bit of it, all of it, or another's."""
    other = Signer(*chain(name="Somebody").write(tmp_path))
    deep = other.png(pixels(3), {"generator": "deepest"})
    source = signer.png(pixels(4), {"generator": "between"}, sources=[deep])
    parts = chunks(signer.png(pixels(), LINEAGE, sources=[source]))
    at = [name for name, _ in parts].index(b"caBX")
    store = parts[at][1]

    def said(changed: bytes) -> c2pa.Manifest | None:
        changed = struct.pack(">I", len(changed)) + changed[4:]
        return c2pa.read(png([*parts[:at], (b"caBX", changed), *parts[at + 1 :]]), trust)

    whole = said(store)
    assert whole is not None and whole.untouched and whole.trusted
    for old, new in ((b"deepest", b"dearest"), (b"between", b"betweem")):
        found = said(store.replace(old, new))
        assert found is not None and not found.untouched, old
        assert "ingredient.manifest.mismatch" in found.reason
    statements, rng = boxes(store), np.random.default_rng(0)
    assert len(statements) == 3 and b"".join(statements) in store
    stranger = boxes(dict(chunks(other.png(pixels(5), {"generator": "strange"})))[b"caBX"])
    for statement in statements[:-1]:
        signature = statement.index(b"cpadY") - 70  # within the signature box, before its padding
        spoilt = bytearray(statement)
        spoilt[signature] ^= 1
        for one in (bytes(spoilt), b"", stranger[0]):
            found = said(store.replace(statement, one))
            assert found is None or not found.untouched
    for place in rng.integers(store.index(statements[0]), store.index(statements[-1]), 60):
        flipped = bytearray(store)
        flipped[place] ^= 1 << rng.integers(8)
        found = said(bytes(flipped))
        assert found is None or not found.untouched or found == whole


def test_who_signed_counts_only_with_trust(place: Path, signer: Signer, tmp_path: Path) -> None:
    signed, stranger = signer.png(pixels(), LINEAGE), chain(name="A laboratory")
    theirs = Signer(*stranger.write(tmp_path)).png(pixels(), LINEAGE)
    own, whole = keys.trusted(place / keys.AUTHORITY), keys.trusted(place / keys.CHAIN)
    both = own + keys.trusted(tmp_path / "certificates.pem")
    asked = {"none": "", "own": own, "chain": whole, "both": both}
    told = {
        k: (c2pa.read(signed, t).trusted, c2pa.read(theirs, t).trusted) for k, t in asked.items()
    }
    assert told == {
        "none": (False, False),
        "own": (True, False),
        "chain": (True, False),
        "both": (True, True),
    }


def test_other_files_have_no_manifest(signer: Signer) -> None:
    for form in ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF"):
        file = io.BytesIO()
        Image.fromarray(pixels()).save(file, form)
        assert c2pa.read(file.getvalue()) is None, form
    with Image.open(io.BytesIO(signer.png(pixels(), LINEAGE))) as image:
        image.save(file := io.BytesIO(), "PNG")
    assert c2pa.read(file.getvalue()) is None  # saved again by another program


def test_a_manifest_that_lies_elsewhere_is_not_fetched(
    place: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": "x"}]}
    builder = library.Builder({"assertions": [{"label": "c2pa.actions.v2", "data": actions}]})
    builder.set_no_embed()
    builder.set_remote_url("http://127.0.0.1:9/manifest.c2pa")
    out = io.BytesIO()
    builder.sign(signer._signer, "image/png", io.BytesIO(marked_png(pixels(), {})), out)
    assert c2pa.read(out.getvalue()) is None


def test_without_the_library_a_line_says_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    with pytest.raises(MissingExtra, match=r"pip install 'gobelin\[c2pa\]'"):
        Signer(place / keys.KEY, place / keys.CHAIN)
    with pytest.raises(MissingExtra, match="signs and verifies images"):
        c2pa.read(marked_png(pixels(), {}))
