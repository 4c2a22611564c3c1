"""Marks read back by Pillow, by an XML parser and by hand; pixels untouched."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.data.provenance.marks import SOURCE_TYPES_URL, is_marked, read_lineage, save_png

LINEAGE = {
    "generator": "gan",
    "seed": 7,
    "weights": "ab12",
    "condition": {"text": "a red circle"},
    "parents": ["r1", "r2"],
}
AWKWARD = {
    "text": "un \"été\" à Åre <b>&amp; 東京 🦜</b> {x} 'q' ]]> \\n",
    "key é": ["\u2028", "50 %"],
}
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def pixels(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 13, channels), dtype=np.uint8)


@pytest.mark.parametrize("lineage", [LINEAGE, AWKWARD, {}], ids=["plain", "awkward", "empty"])
@pytest.mark.parametrize("trained", [True, False])
def test_lineage_comes_back_and_the_xmp_says_the_same(
    lineage: dict, trained: bool, tmp_path: Path
) -> None:
    path = tmp_path / "made.png"
    save_png(path, pixels(), lineage, trained)
    assert read_lineage(path) == lineage
    with Image.open(path) as image:
        image.load()
        said = image.text
    assert said["Software"] == "Gobelin" and json.loads(said["gobelin"]) == lineage
    tree = ElementTree.fromstring(said["XML:com.adobe.xmp"])
    (description,) = tree.iter(f"{RDF}Description")
    wanted = "trainedAlgorithmicMedia" if trained else "algorithmicMedia"
    assert description.get(f"{IPTC}DigitalSourceType") == SOURCE_TYPES_URL + wanted
    assert SOURCE_TYPES_URL == "http://cv.iptc.org/newscodes/digitalsourcetype/"
    (text,) = (e.text for e in tree.iter(f"{RDF}li"))
    assert json.loads(text) == lineage
    assert is_marked(path.read_bytes())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_are_unchanged(channels: int, tmp_path: Path) -> None:
    save_png(tmp_path / "made.png", pixels(channels), LINEAGE)
    with Image.open(tmp_path / "made.png") as image:
        back = np.asarray(image)
    assert np.array_equal(back.reshape(9, 13, channels), pixels(channels))


def test_what_json_does_not_know_is_said_in_words(tmp_path: Path) -> None:
    save_png(tmp_path / "made.png", pixels(), {"seed": np.int64(3), "path": Path("a/b")})
    assert read_lineage(tmp_path / "made.png") == {"seed": "3", "path": "a/b"}


def test_a_photograph_is_not_marked(tmp_path: Path) -> None:
    for k, kind in enumerate(("PNG", "JPEG", "BMP")):
        Image.fromarray(pixels()).save(tmp_path / f"{k}", kind)
        assert not is_marked((tmp_path / f"{k}").read_bytes())
        assert read_lineage(tmp_path / f"{k}") is None


@pytest.mark.parametrize("kind", ["trainedAlgorithmicMedia", "algorithmicMedia"])
def test_another_tools_jpeg_is_recognised(kind: str) -> None:
    """XMP as the IPTC writes it, in an APP1 segment of a JPEG that this package did not make."""
    packet = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta'
        ' xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        f' xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><i:DigitalSourceType>{SOURCE_TYPES_URL}{kind}</i:DigitalSourceType></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket'
        ' end="w"?>'
    )
    plain = io.BytesIO()
    Image.fromarray(pixels()).save(plain, "JPEG")
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet.encode()
    marked = (
        plain.getvalue()[:2]
        + b"\xff\xe1"
        + (len(body) + 2).to_bytes(2, "big")
        + body
        + plain.getvalue()[2:]
    )
    Image.open(io.BytesIO(marked)).load()  # still a JPEG
    assert is_marked(marked) and not is_marked(plain.getvalue())


def test_a_photograph_that_says_so_is_not_marked() -> None:
    assert not is_marked(f"{SOURCE_TYPES_URL}digitalCapture".encode()) and not is_marked(
        b"algorithmicMedia, a word in a caption"
    )


def test_a_stripped_mark_is_gone_as_the_docstring_admits(tmp_path: Path) -> None:
    save_png(tmp_path / "made.png", pixels(), LINEAGE)
    with Image.open(tmp_path / "made.png") as image:
        Image.fromarray(np.asarray(image)).save(tmp_path / "bare.png")
    assert not is_marked((tmp_path / "bare.png").read_bytes())


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError)):
        save_png(tmp_path / "made.png", np.zeros((2, 2, 2, 2, 2)), LINEAGE)
    assert list(tmp_path.iterdir()) == []
