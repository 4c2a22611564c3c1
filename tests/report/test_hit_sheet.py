"""The contact sheet of a search: hostile texts stay texts, nothing comes from elsewhere, every card
and picture is there. Oracle: Python's own HTML parser and Pillow."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from gobelin.report.hit_sheet import GAP, SIDE, Card, as_image, as_page

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title><script>",
    "'--><style>@import 'http://x'</style>",
    "&lt;b&gt; &amp;amp; \u202egnp.exe \x1b[31m",
    "{{ 7 * 7 }}",
)
RED = Image.new("RGB", (40, 30), (255, 0, 0))


class Read(HTMLParser):
    """Tags with their attributes, and all texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    plain = Read(as_page("a", "b", [Card("c", "d", True, [RED], [("s", "audio/ogg", b"OggS")])]))
    card = Card(text, text, True, [RED], [(text, "audio/ogg", b"OggS")], cells=[(text, text)])
    page = as_page(text, text, [card])
    found = Read(page)
    shown = [tag for tag, _ in found.tags if tag not in ("dt", "dd")]
    assert shown == [tag for tag, _ in plain.tags]  # no tag came from a text
    names = [sorted(a) for t, a in found.tags if t not in ("dt", "dd")]
    assert names == [sorted(a) for _, a in plain.tags]  # and no attribute
    assert not any(c in page for c in "\u202e\x1b")
    if text.isprintable():
        assert found.text.count(text) == 8


def test_the_page_holds_all_that_it_shows() -> None:
    page = as_page("q", "n", [Card("a", pictures=[RED], sounds=[("s", "audio/wav", b"RIFFx")])])
    found = Read(page)
    (image,), (sound,) = found.named("img"), found.named("audio")
    data = base64.b64decode(str(image["src"]).partition("base64,")[2])
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == RED.size and opened.getpixel((0, 0)) == (255, 0, 0)
    assert str(sound["src"]) == "data:audio/wav;base64," + base64.b64encode(b"RIFFx").decode()
    policy = next(a for a in found.named("meta") if a.get("http-equiv"))["content"]
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "http:" not in page and "https:" not in page and "url(" not in page
    assert not found.named("script") and not found.named("link")


def test_the_image_has_a_card_for_each_row_with_its_picture() -> None:
    colours = [(250, 10 * k, 0) for k in range(7)]
    cards = [
        Card(f"row {k}", "1.00", k == 0, [Image.new("RGB", (30, 20), c)], cells=[("a", "b")] * k)
        for k, c in enumerate(colours)
    ]
    sheet, unknown = as_image("q", "n", cards)
    there = {tuple(c) for c in np.unique(np.asarray(sheet).reshape(-1, 3), axis=0).tolist()}
    assert set(colours) <= there and unknown == ""
    assert (
        sheet.width >= 5 * SIDE + 6 * GAP and as_image("q", "n", cards[:1])[0].width < sheet.width
    )
    as_image("q" * 5000, "n", [Card("x" * 5000, "y" * 5000, cells=[("c", "z" * 5000)])])
    empty, _ = as_image("q", "n", [])
    assert empty.size[0] > 0


def test_letters_that_no_font_has_are_named() -> None:
    _, unknown = as_image("a\U0010fffc b\u00e9", "", [])
    assert "\u00e9" not in unknown
    _, unknown = as_image("q", "", [Card("\ue123 \u0394")])
    assert "a" not in unknown
