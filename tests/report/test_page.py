"""The report, parsed back: findings and drawn places are read out of the page and compared with
what went in."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from html_pages import NASTY, UGLY, Page
from markdown_it import MarkdownIt
from PIL import Image

from gobelin.core import files
from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import PLAIN_VERDICTS, Exhibit, Finding
from gobelin.report import drawing, pictures
from gobelin.report import page as report


def markdown_page(text: str) -> tuple[list[list[str]], str, list[Any]]:
    """Table rows, all text and all tokens of Markdown with HTML allowed, by a CommonMark parser."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    flat = [one for token in tokens for one in (token, *(token.children or []))]
    rows: list[list[str]] = []
    for k, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("td_open", "th_open"):
            rows[-1].append("".join(child.content for child in tokens[k + 1].children or []))
    return (
        rows,
        "\n".join(
            one.content for one in flat if one.type in ("text", "fence", "image", "code_inline")
        ),
        flat,
    )


def printed(one: Finding) -> str:
    """The number as `Finding.sentence` says it."""
    plain = Finding(
        name="x", comparator="y" if one.comparator else "", value=one.value, unit=one.unit
    ).sentence()
    return plain.split(": ", 1)[1].removesuffix(".")


def picture(path: Path, size: int = 16, colour: str = "red", kind: str = "PNG") -> bytes:
    path.parent.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x010E] = "the address of a house"
    Image.new("RGB", (size, size), colour).save(
        path, kind, **({"exif": exif} if kind == "JPEG" else {})
    )
    return path.read_bytes()


EXHIBITS: dict[str, tuple[str, dict[str, Any]]] = {
    "check/rows": (
        "bars",
        {
            "rows": [{"label": UGLY, "value": 30}, {"label": "b", "value": 7, "low": None}],
            "title": "rows",
        },
    ),
    "evaluate/subsets": (
        "bars",
        {
            "rows": [
                {"label": f"set {k}", "value": v, "low": v - 0.1, "high": v + 0.1, "n": 40}
                for k, v in enumerate((0.3, 0.55))
            ],
            "chance": 0.25,
            "unit": "share",
        },
    ),
    "augment/forest": (
        "forest",
        {
            "rows": [
                {
                    "label": "generated",
                    "value": 0.012,
                    "low": -0.004,
                    "high": 0.028,
                    "verdict": "no evidence",
                },
                {"label": UGLY, "value": -0.03, "low": -0.05, "high": -0.01, "verdict": "harmed"},
            ],
            "zero": 0,
            "smallest": 0.01,
            "unit": "points",
            "axis": "difference in balanced accuracy against real",
        },
    ),
    "fit/loss": (
        "curve",
        {
            "x": [0, 1, 2, 3, 4],
            "series": {"train": [4, 3, None, 1, 0], UGLY: [None, None, 2.5, None, None]},
            "x_label": "step",
            "y_label": "loss",
        },
    ),
    "evaluate/confusion": ("table", {"columns": ["truth", UGLY], "rows": [[UGLY, 3], ["b", None]]}),
    "generate/sheet": (
        "sheet",
        {
            "groups": [
                {
                    "label": f"made from {UGLY}",
                    "images": ["images/a b.png", "images/gone.png"],
                    "source": "images/s.png",
                }
            ]
        },
    ),
    "audit/pairs": (
        "pairs",
        {
            "left": "made image",
            "right": "nearest training image",
            "pairs": [{"left": "images/a b.png", "right": "images/s.png", "caption": UGLY}],
        },
    ),
}


def findings() -> list[Finding]:
    many = [
        Finding(
            name="training_rows", scope={"class": f"class {k}"}, value=float(k), n=k, source="check"
        )
        for k in range(30)
    ]
    ugly = [
        Finding(
            name="recall_of_class",
            scope={"class": one},
            value=0.01 * k + 0.05,
            low=0.01,
            high=0.4,
            chance=0.1,
            unit="points",
            source="evaluate",
            note=f"about {one}",
        )
        for k, one in enumerate([UGLY, *NASTY])
    ]
    search = [
        Finding(
            name=f"recall@{k}",
            scope={"from": a, "to": b},
            value=k / 11,
            unit="points",
            source="search",
            note="pool of 9",
        )
        for k in (1, 5, 10)
        for a, b in (("text", "image"), ("image", "text"))
    ]
    return [
        Finding(
            name="verdict",
            scope={"arm": "generated"},
            comparator="real",
            value=0.0123,
            low=-0.004,
            high=0.0281,
            level=0.95,
            method="paired",
            unit="points",
            verdict="no evidence",
            n=300,
            needed_n=1210,
            note="The interval holds zero.",
            source="augment",
        ),
        Finding(
            name="balanced_accuracy",
            value=0.7131,
            low=0.66,
            high=0.76,
            chance=1 / 9,
            unit="points",
            n=300,
            source="evaluate",
            better="higher",
            method="Wilson 1927",
        ),
        Finding(name="copies", value=0.004, floor=0.002, unit="points", n=1800, source="audit"),
        Finding(name="membership", source="audit", note="not run"),
        Finding(name="stray", value=1234567.0, unit="bytes", source="zeta"),
        *many,
        *ugly,
        *search,
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    files.write_lines(folder / "findings.jsonl", [one.to_dict() for one in findings()])
    exhibits = [
        Exhibit(name, kind, f"exhibits/{k}.json", f"Caption of {name}, {UGLY}", f"Credit {UGLY}")
        for k, (name, (kind, _)) in enumerate(EXHIBITS.items())
    ]
    for one, (_, data) in zip(exhibits, EXHIBITS.values(), strict=True):
        files.write_json(folder / one.data, data)
    files.write_lines(folder / "exhibits.jsonl", [one.to_dict() for one in exhibits])
    files.write_json(folder / "settings.json", {"seed": 7, "name": f"```\n{UGLY}"})
    files.write_json(
        folder / "environment.json", {"python": "3.11", "cuda": None, "versions": {"torch": UGLY}}
    )
    column = {"name": UGLY, "kind": "image", "role": "", "confidence": 0.98, "reason": "paths"}
    fields = [{"name": "picture", "encoder": "pixels", "columns": [UGLY]}]
    files.write_json(
        folder / "schema.json", {"columns": [column], "fields": fields, "unread": ["left"]}
    )
    picture(folder / "images" / "a b.png")
    picture(folder / "images" / "s.png", 48, "blue")
    return folder


def rendered(folder: Path) -> tuple[str, str]:
    html, markdown = report.render(folder)
    assert (html, markdown) == (folder / "report.html", folder / "report.md")
    return html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")


def redraw(folder: Path, name: str, data: object) -> None:
    files.write_json(folder / f"exhibits/{list(EXHIBITS).index(name)}.json", data)


@pytest.mark.parametrize(
    "verdict", ["no evidence of copying", "can't say: the planted copies were not caught"]
)
def test_a_share_of_copies_that_an_audit_can_not_tell_is_no_key_figure(
    verdict: str, tmp_path: Path
) -> None:
    sure = not verdict.startswith("can't")
    told = [
        Finding(name="balanced_accuracy", value=0.9, unit="share", n=9, source="evaluate"),
        Finding(name="copies", value=0.0, unit="share", verdict=verdict, sure=sure, source="audit"),
    ]
    files.write_lines(tmp_path / "findings.jsonl", [one.to_dict() for one in told])
    html, _ = rendered(tmp_path)
    assert ("<dt>copies</dt><dd>0.0 %" in html) == sure


def test_every_finding_is_in_both_pages_with_its_number(run: Path) -> None:
    html, markdown = rendered(run)
    for rows in (Page(html).rows, markdown_page(markdown)[0]):
        lines = [[" ".join(cell.split()) for cell in row] for row in rows]
        for one in findings():
            scope = [" ".join(value.split()) for value in one.scope.values()]
            with_number = [line for line in lines if printed(one) in line]
            assert any(all(value in " | ".join(line) for value in scope) for line in with_number), (
                one.sentence()
            )


def test_what_is_beside_the_number_is_there_too(run: Path) -> None:
    html, markdown = rendered(run)
    for text in (Page(html).text, markdown_page(markdown)[1]):
        for words in (
            "66.0 to 76.0",
            "-0.4 to +2.8",
            "300 of 1210 needed",
            "Wilson 1927",
            "Higher is better",
            "0.2 points",
            "11.1 points",
            "pool of 9",
            "not run",
            "no number",
            "1235000 bytes",
        ):
            assert words in text, words


def test_page_is_one_sound_file_without_network_or_script(run: Path) -> None:
    html, _ = rendered(run)
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert all(
        one["src"].startswith("data:image/png;base64,") and one["alt"] for one in page.all("img")
    )
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert {one["href"] for one in page.all("a")} <= {f"#{one}" for one in identifiers}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert "url(" not in html and "@import" not in html
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and all(
        after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)
    )


def test_words_of_the_data_stay_words(run: Path) -> None:
    html, markdown = rendered(run)
    page, (_, text, tokens) = Page(html), markdown_page(markdown)
    assert "<script" not in html and "49" not in [cell for row in page.rows for cell in row]
    for one in [UGLY, *NASTY]:
        assert one in page.text
        assert " ".join(one.split()) in text
    assert not [
        token
        for token in tokens
        if token.type in ("html_inline", "html_block", "em_open", "link_open")
    ]
    sources = [token.attrs["src"] for token in tokens if token.type == "image"]
    assert set(sources) == {"images/a%20b.png", "images/gone.png", "images/s.png"}
    assert any("about" in word for word in text.split())


def test_the_verdicts_sections_come_first(run: Path) -> None:
    html, markdown = rendered(run)
    order = ["augment", "audit", "generate", "evaluate", "search", "check", "fit", "zeta"]
    assert re.findall(r'<a href="#section-\d+">(\w+)</a>', html) == order
    assert re.findall(r"^## (\w+)(?::|$)", markdown, re.M) == order


@pytest.mark.parametrize("word", [*report.VERDICT_COLOURS, UGLY])
def test_verdict_is_on_top_in_words(run: Path, word: str) -> None:
    one = Finding(
        name="verdict",
        scope={"arm": "generated"},
        comparator="",
        value=0.0123,
        low=0.001,
        high=0.0281,
        unit="points",
        verdict=word,
        source="augment",
    )
    files.write_lines(run / "findings.jsonl", [one.to_dict()])
    html, markdown = rendered(run)
    above = Page(html[: html.index("<nav")] + "</body></html>").text
    assert not re.search(r"\b(rival|arm)s?\b", above)
    word = PLAIN_VERDICTS.get(word, word)
    assert word in above and "+1.2 points" in above and "+0.1 to +2.8" in above
    assert word in markdown_page(markdown[: markdown.index("##")])[1]


def test_key_figures(run: Path) -> None:
    html, _ = rendered(run)
    tiles = Page(re.search(r'<dl class="figures">.*?</dl>', html, re.S)[0]).text
    assert tiles.count("points") == 5 and all(
        v in tiles for v in ("71.3 points", "9.1 points", "0.4 points", "11.1 points")
    )


def test_long_tables_and_numbers_that_are_drawn_are_folded(run: Path) -> None:
    more = [
        Finding(name="grain", scope={"place": str(k)}, value=float(k), source="zeta")
        for k in range(30)
    ]
    files.write_lines(run / "findings.jsonl", [one.to_dict() for one in (*findings(), *more)])
    html, _ = rendered(run)
    folded = [Page(one) for one in re.findall(r"<details>.*?</details>", html, re.S)]
    assert any(len(one.rows) == 31 and "grain: 30 rows" in one.text for one in folded)
    assert any(len(one.rows) == 31 and "Every number of check" in one.text for one in folded)
    assert all(
        "stray" not in one.text for one in folded
    )  # of a verb that shows nothing else, and short


def test_one_line_joins_the_three_and_the_study_is_told_in_a_paragraph(run: Path) -> None:
    told = Finding(name="protocol", note=f"Fixed beforehand {UGLY}.", source="augment")
    more = [
        Finding(
            name="screened_out",
            scope={"generator": "flow, training seed 0", "why": "copy of a training image"},
            value=3.0,
            n=400,
            source="augment",
        ),
        Finding(
            name="frechet_distance_corrected",
            scope={"generator seed": "0"},
            value=3.8,
            floor=2.5,
            source="audit",
        ),
        Finding(
            name="next",
            scope={"arm": "generated"},
            note="About 1210 test units are needed.",
            source="augment",
        ),
        told,
    ]
    files.write_lines(run / "findings.jsonl", [one.to_dict() for one in (*findings(), *more)])
    html, markdown = rendered(run)
    above = Page(
        html[html.index('<section class="verdict') : html.index("</section>")] + "</section>"
    ).text
    parts = (
        "No evidence of help or harm, +1.2 points (-0.4 to +2.8)",
        "3 of 400 images are copies and were removed",
        "image quality: Fréchet distance 3.8, that of unseen real images 2.5",
        "The interval holds zero.",
        "About 1210 test units are",
    )
    for text in (above, markdown_page(markdown[: markdown.index("##")])[1]):
        places = [text.index(part) for part in parts]
        assert (
            places[:3] == sorted(places[:3]) and min(places[3:]) > places[2]
        )  # the line stands on top
    for text in (Page(html).text, markdown_page(markdown)[1]):
        assert "How the study was done" in text and f"Fixed beforehand {UGLY}." in text
        for word in report.GLOSSARY:
            assert word in text
        assert "What this cannot show" in text


def test_an_audit_alone_has_its_line_too(run: Path) -> None:
    files.write_lines(
        run / "findings.jsonl",
        [Finding(name="copies", value=0.01, n=400, unit="share", source="audit").to_dict()],
    )
    html, markdown = rendered(run)
    for text in (Page(html).text, markdown):
        assert (
            "was not studied (gobelin augment); 4 of 400 images are copies and were not removed"
            in text
        )


def test_missing_files_are_said_and_the_rest_is_shown(run: Path) -> None:
    for name in ("settings", "environment", "schema"):
        (run / f"{name}.json").unlink()
    (run / "exhibits/0.json").unlink()
    (run / "exhibits/1.json").write_text("{", encoding="utf-8")
    redraw(run, "augment/forest", {"rows": [{"value": 1}]})
    html, markdown = rendered(run)
    for text in (Page(html).text, markdown_page(markdown)[1]):
        for name in (
            "settings.json is missing",
            "environment.json is missing",
            "schema.json is missing",
            "71.3 points",
            "exhibits/0.json is not in the run folder",
            "exhibits/1.json is not the data of a bars",
            "exhibits/2.json is not the data of a forest (KeyError",
        ):
            assert name in text, name
    assert "images/gone.png" in Page(html).text


def test_an_empty_folder_has_a_page_and_no_folder_has_none(tmp_path: Path) -> None:
    html, markdown = rendered(tmp_path)
    assert "there is no finding yet" in Page(html).text and "there is no finding yet" in markdown
    with pytest.raises(GobelinError, match="no such run folder"):
        report.render(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "path", ["../secret.png", "images/../../secret.png", "/etc/hostname", "images/link.png"]
)
@pytest.mark.parametrize("where", ["image", "data"])
def test_paths_that_leave_the_folder_are_refused(run: Path, path: str, where: str) -> None:
    picture(run.parent / "secret.png")
    (run / "images/link.png").symlink_to(run.parent / "secret.png")
    if where == "image":
        redraw(run, "generate/sheet", {"groups": [{"label": "x", "images": [path]}]})
    else:
        files.write_lines(run / "exhibits.jsonl", [Exhibit("check/x", "table", path).to_dict()])
    with pytest.raises(GobelinError, match="leaves the run folder"):
        report.render(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "http://example.org/a.png", "", "images", 7])
def test_impossible_image_names_become_placeholders(run: Path, path: object) -> None:
    (run / "exhibits/5.json").write_text(
        json.dumps({"groups": [{"label": "here", "images": [path]}]}), encoding="utf-8"
    )
    html, markdown = rendered(run)
    assert "can't be shown" in Page(html).text and "here" in markdown


def test_half_a_character_is_told_in_place_of_the_exhibit(run: Path) -> None:
    data = {"groups": [{"label": "here", "images": ["caf\ud800.png"]}]}
    (run / "exhibits/5.json").write_text(json.dumps(data), encoding="utf-8")
    html, markdown = rendered(run)
    assert "half a character" in Page(html).text and "half a character" in markdown


@pytest.mark.parametrize("line", ["{", '{"name": "x", "colour": 1}', '{"scope": {}}', "[1]"])
def test_a_failing_render_leaves_the_old_report(run: Path, line: str) -> None:
    before = rendered(run)
    (run / "findings.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(GobelinError):
        report.render(run)
    assert (
        (run / "report.html").read_text(encoding="utf-8"),
        (run / "report.md").read_text(encoding="utf-8"),
    ) == before
    assert not list(run.glob(".writing-*"))


def test_rendering_twice_gives_the_same_and_tells_its_progress(run: Path) -> None:
    first, told = rendered(run), list[tuple[str, int, int]]()
    report.render(run, lambda what, done, total: told.append((what, done, total)))
    assert rendered(run) == first
    assert told == [("report", k + 1, len(EXHIBITS)) for k in range(len(EXHIBITS))]


def test_places_of_a_forest_read_back_as_its_numbers(run: Path) -> None:
    html, _ = rendered(run)
    plot = re.search(r"<h3>forest</h3>.*?</ol>", html, re.S)[0]
    ticks = [
        (float(at), float(text) / 100)
        for at, text in re.findall(r'<text[^>]* x="([\d.]+)%"[^>]*>([^<]+)<', plot)
    ]
    (a, low), (b, high) = ticks[0], ticks[-1]

    def value(percent: str) -> float:
        return low + (float(percent) - a) / (b - a) * (high - low)

    rows = EXHIBITS["augment/forest"][1]["rows"]
    points = [value(at) for at in re.findall(r'<circle class="point" cx="([\d.]+)%"', plot)]
    assert points == pytest.approx([row["value"] for row in rows], abs=2e-5)
    spans = re.findall(r'<line class="whisker" x1="([\d.]+)%" x2="([\d.]+)%" y1="0" y2="0"', plot)
    assert [value(x) for span in spans for x in span] == pytest.approx(
        [-0.004, 0.028, -0.05, -0.01], abs=2e-5
    )
    zero = re.search(r'class="zero" x1="([\d.]+)%', plot)[1]
    start, width = re.search(r'class="band" x="([\d.]+)%" width="([\d.]+)%', plot).groups()
    assert value(zero) == pytest.approx(0, abs=2e-5)
    assert (value(start), value(str(float(start) + float(width)))) == pytest.approx(
        (-0.01, 0.01), abs=2e-5
    )


def test_bars_of_scores_start_at_zero_and_end_at_a_hundred(run: Path) -> None:
    html, _ = rendered(run)
    plot = re.search(r"<h3>subsets</h3>.*?</figure>", html, re.S)[0]
    assert re.findall(r'class="bar" x="([\d.]+)%" width="([\d.]+)%"', plot) == [
        ("0.0", "30.0"),
        ("0.0", "55.0"),
    ]
    assert 'class="chance" x1="25.0%"' in plot and "chance, 25.0 %" in plot
    assert re.findall(r"<text[^>]*>([^<]+)<", plot) == ["0", "20", "40", "60", "80", "100"]


@pytest.mark.parametrize(
    "values",
    [[0, 1], [-0.06, 0.028], [5, 5], [0, 0], [1e-9, 3e-9], [-7e6, 12], [None, float("nan")]],
)
def test_an_axis_holds_its_values_in_few_round_steps(values: list[float | None]) -> None:
    scale = drawing.AxisScale.around(values)
    assert all(-1e-6 <= scale.at(v) <= 100 + 1e-6 for v in values if drawing.finite(v))
    places = [at for at, _ in scale.ticks()]
    assert 3 <= len(places) <= 11 and (places[0], places[-1]) == (0, 100)
    assert re.fullmatch("[125]0*", f"{scale.step:.0e}"[0])


def test_a_curve_breaks_where_a_value_is_missing_and_says_when_it_is_thinned(run: Path) -> None:
    drawn = drawing.curve(EXHIBITS["fit/loss"][1], run)
    first, second = drawn["lines"]
    assert first["pieces"] == [[(0.0, 0.0), (25.0, 25.0)], [(75.0, 75.0), (100.0, 100.0)]]
    assert (
        second["pieces"] == [[(50.0, 37.5)]]
        and second["dots"]
        and first["alt"] == "4 at 0 to 0 at 4"
    )
    redraw(
        run, "fit/loss", {"x": list(range(5000)), "series": {"a": [k / 5000 for k in range(5000)]}}
    )
    html, markdown = rendered(run)
    assert "One point in 9 of 5000 is drawn" in html and "One point in 417 of 5000" in markdown
    assert len(html) < 100_000


def test_images_are_embedded_small_and_without_what_a_camera_wrote(run: Path) -> None:
    original = picture(run / "images/a b.png", 32, "green")
    kept = pictures.picture(run, "images/a b.png", "x")
    assert base64.b64decode(kept.uri.split(",")[1]) == original
    assert (kept.width, kept.height, kept.pixelated, kept.link) == (
        64,
        64,
        True,
        "images/a%20b.png",
    )
    assert b"address" in picture(run / "images/photo.jpg", 900, "green", "JPEG")
    photo = pictures.picture(run, "images/photo.jpg", "x")
    raw = base64.b64decode(photo.uri.split(",")[1])
    assert b"address" not in raw and Image.open(io.BytesIO(raw)).size == (256, 256)
    assert (photo.width, photo.pixelated) == (128, False)
    (run / "images/broken.png").write_bytes(original[:40])
    assert pictures.picture(run, "images/broken.png", "x").uri == ""


def test_numbers_are_printed_as_findings_print_them() -> None:
    for value in (0.713, -0.0312, 0.0, 1234567.0, 1e-7, None):
        for unit in ("points", "", "minutes"):
            for comparator in ("", "real"):
                one = Finding(name="x", comparator=comparator, value=value, unit=unit)
                assert drawing.number(value, unit, bool(comparator)) == printed(one)
