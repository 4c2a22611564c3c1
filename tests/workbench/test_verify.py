"""Who made an image? Oracle: what was done to each file here, one thing each."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin
from signing import c2pa, chain, pixels

from gobelin import GobelinError, Signer, Workbench, new_keys, verify
from gobelin.data.provenance.marks import marked_png
from gobelin.interfaces.cli import main
from gobelin.workbench.verify import CODES, MADE, exit_code

LINEAGE = {"generator": "flow", "weights": "ab12", "seed": 3, "condition": {"label": "apple"}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image of each sort."""
    folder = tmp_path_factory.mktemp("verify")
    made = new_keys(folder / "keys")
    signer = Signer(made["key"], made["chain"])
    signed = signer.png(pixels(), LINEAGE)
    images = folder / "images"
    images.mkdir()
    (images / "made.png").write_bytes(signed)
    other = Signer(*chain(name="Mallory").write(folder / "other"))
    (images / "unknown.png").write_bytes(other.png(pixels(), LINEAGE))
    with Image.open(io.BytesIO(signed)) as image:
        shown, texts = np.array(image), dict(image.text)
    shown[0, 0, 0] ^= 1
    at, end = signed.index(b"caBX") - 4, signed.index(b"IDAT") - 4
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    Image.fromarray(shown).save(images / "tampered.png", pnginfo=info)
    again = (images / "tampered.png").read_bytes()
    (images / "tampered.png").write_bytes(again[:33] + signed[at:end] + again[33:])
    with Image.open(images / "made.png") as image:
        image.save(images / "stripped.png", pnginfo=info)  # the marks alone
        image.save(images / "saved_again.png")  # nothing
    (images / "marked.png").write_bytes(marked_png(pixels(), LINEAGE))
    (images / "unreadable.png").write_bytes(b"no image")
    (images / "notes.txt").write_text("no image either")
    return folder


VERDICTS = {
    "made.png": (MADE, "signer 'Gobelin development'; generator flow; weights ab12; seed 3; label"),
    "marked.png": ("not signed", "marked as generated"),
    "saved_again.png": ("not signed", "no mark says that it was generated"),
    "stripped.png": ("stripped", "the signature is gone; marked as generated"),
    "tampered.png": ("tampered", "assertion.dataHash.mismatch; signer 'Gobelin development'"),
    "unknown.png": ("untouched, signed by somebody unknown", "signer 'Mallory'"),
    "unreadable.png": ("unreadable", "is no image"),
}


def test_each_sort_of_image_is_told_apart(place: Path) -> None:
    found = verify(place / "images", place / "keys" / "authority.pem")
    assert {one.scope["image"]: one.verdict for one in found} == {
        name: verdict for name, (verdict, _) in VERDICTS.items()
    }
    for one in found:
        assert VERDICTS[one.scope["image"]][1] in one.note
    for one in found:  # which is the worst
        assert exit_code([one, found[0]]) == exit_code([one]) == CODES[one.verdict]
    assert exit_code(found) == CODES["tampered"] == 4
    assert len({CODES[v] for v, _ in VERDICTS.values()}) == len(CODES) - 1 == 6


def test_without_trust_every_signer_is_unknown(place: Path) -> None:
    (one,) = verify(place / "images" / "made.png")
    assert one.verdict == VERDICTS["unknown.png"][0]
    assert one.note.startswith("without --trust every signer is unknown; signer 'Gobelin dev")


def test_the_command_ends_with_the_code_of_the_worst(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = ["--trust", str(place / "keys" / "authority.pem")]
    main(["verify", str(place / "images" / "made.png"), *trust])
    assert MADE in capsys.readouterr().out
    for name, code in (
        ("tampered", 4),
        ("stripped", 5),
        ("unknown", 3),
        ("marked", 6),
        ("unreadable", 7),
    ):
        with pytest.raises(SystemExit, match=f"^{code}$"):
            main(["verify", str(place / "images" / f"{name}.png"), *trust, "--json"])
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line)["verdict"] == VERDICTS[f"{name}.png"][0]
    for words, said in (
        ([str(place / "nowhere")], "there is no such file or folder"),
        ([str(place / "keys")], "holds no image to verify"),
        ([str(place / "images"), "--trust", str(place / "images" / "notes.txt")], "found no PEM"),
    ):
        with pytest.raises(SystemExit, match="^2$"):
            main(["verify", *words])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "damaged",
    [
        lambda png: png[: len(png) // 2],
        lambda png: png[:40],
        lambda png: b"",
        lambda png: png[:12] + b"X" + png[13:],
        lambda png: bytes(reversed(png)),
    ],
)
def test_one_damaged_file_gets_a_verdict_as_it_does_among_others(
    place: Path, tmp_path: Path, damaged: Callable[[bytes], bytes]
) -> None:
    """Alone it was once an error of the command line: code 2, as for a file that isn't there."""
    made = damaged((place / "images" / "made.png").read_bytes())
    (tmp_path / "one.png").write_bytes(made)
    ((alone,), (among,)) = (verify(tmp_path / "one.png"), verify(tmp_path))
    assert alone == among and exit_code([alone]) in (4, 7)
    with pytest.raises(SystemExit, match=f"^{exit_code([among])}$"):
        main(["verify", str(tmp_path / "one.png")])


@pytest.mark.parametrize("chunk", [b"IHDR", b"caBX", b"iTXt"])
def test_a_flipped_byte_is_told_as_damage(place: Path, tmp_path: Path, chunk: bytes) -> None:
    """Pillow opens no PNG whose checksum is wrong. It is an image all the same."""
    made = bytearray((place / "images" / "made.png").read_bytes())
    made[made.index(chunk) + 10] ^= 1
    (tmp_path / "one.png").write_bytes(bytes(made))
    (found,) = verify(tmp_path / "one.png")
    assert found.verdict == "unreadable"
    assert found.note == (
        "is a damaged image; marked as generated; its marks say that it was signed"
    )


def test_generated_images_in_an_exported_table_are_verified(place: Path, tmp_path: Path) -> None:
    files = [(place / "images" / f"{n}.png").read_bytes() for n in ("made", "tampered", "marked")]
    columns = {
        "gobelin_id": ["a", "b", "c"],
        "photo": pa.array(files, pa.binary()),
        "gobelin_origin": ["generated", "generated", "real"],
    }
    table = pa.table({**columns, "portrait": pa.array(files, pa.binary())})
    pq.write_table(table, tmp_path / "other.parquet")  # not of `augment`
    table = table.replace_schema_metadata({"gobelin_generated": "photo"})
    pq.write_table(table, tmp_path / "train.parquet")
    found = verify(tmp_path, place / "keys" / "authority.pem")
    told = {one.scope["image"]: one.verdict for one in found}
    assert told == {"train.parquet, row a": MADE, "train.parquet, row b": "tampered"}
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(GobelinError, match="broken.parquet: can't be read as Parquet"):
        verify(tmp_path / "broken.parquet")


def test_check_refuses_signed_made_images_as_real_and_takes_signed_photos(
    place: Path, tmp_path: Path
) -> None:
    """By the manifest alone, as a tool leaves it that drops the plain marks."""
    signed = (place / "images" / "made.png").read_bytes()
    at, end = signed.index(b"caBX") - 4, signed.index(b"IDAT") - 4
    with Image.open(io.BytesIO(signed)) as image:
        shown = np.array(image)
    Image.fromarray(shown).save(tmp_path / "0.png")
    plain = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(plain[:33] + signed[at:end] + plain[33:])
    capture = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    created = {"actions": [{"action": "c2pa.created", "digitalSourceType": capture}]}
    builder = c2pa.Builder({"assertions": [{"label": "c2pa.actions.v2", "data": created}]})
    out = io.BytesIO()
    keys = new_keys(tmp_path / "keys")
    camera = Signer(keys["key"], keys["chain"])
    builder.sign(camera._signer, "image/png", io.BytesIO(plain), out)
    (tmp_path / "1.png").write_bytes(out.getvalue())
    (photo,) = verify(tmp_path / "1.png", keys["authority"])
    assert photo.verdict == "untouched, not signed by Gobelin"
    lines = ["photo,kind"]
    for k in range(40):
        if k > 1:
            Image.fromarray(pixels(k)).save(tmp_path / f"{k}.png")
        lines.append(f"{k}.png,{'ab'[k % 2]}")
    (tmp_path / "photos.csv").write_text("\n".join(lines))
    settings = {"encoders": {"image": {"name": "pixels"}}, "check": {"max_bad": 0.1}}
    bench = Workbench(tmp_path / "photos.csv", "kind", tmp_path / "run", settings)
    (found,) = (f for f in bench.check() if f.name == "cells_set_aside")
    assert found.value == 1 and "row 0, column 'photo': is marked as generated" in found.cells[0]
