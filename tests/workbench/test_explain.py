"""The verb `explain`, on a small run. Oracles: the probabilities that `predict` gives, a planted
watermark, and the messages of mistakes."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from PIL import Image
from presets import SMALL

from gobelin import Workbench
from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.core.files import load_arrays
from gobelin.data.provenance.marks import is_marked, save_png
from gobelin.generation.generators import Condition
from gobelin.interfaces.cli import main
from gobelin.workbench.explain import generated, summary
from gobelin.workbench.run import lineage
from gobelin.workbench.run.verbs import discard_resting_on


@pytest.fixture(scope="module")
def bench(shapes_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("explained") / "run"
    out = Workbench(shapes_file, "shape", folder, config.assignments(SMALL))
    out.fit()
    return out


@pytest.fixture(scope="module")
def saved(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bench.save_pretrained(tmp_path_factory.mktemp("saved") / "run")


def with_fields(bench: Workbench, count: int = 3) -> str:
    """The id of a row with so many fields."""
    x = bench.run.features.embeddings
    return str(x.ids[int(np.flatnonzero(x.present.sum(1) == count)[0])])


def test_the_effects_of_a_row_add_up_to_the_log_odds_that_predict_gives(
    bench: Workbench, tmp_path: Path
) -> None:
    row = with_fields(bench)
    found = bench.explain(row=row, out=tmp_path / "why")
    dataset = bench.run.checked.rows.dataset
    predictions = bench.predict(dataset.rows([dataset.ids.index(row)]))
    answer = next(f for f in found if f.name == "explained_answer")
    assert answer.scope == {"class": predictions.labels[0]} and answer.rows == (row,)
    p = float(predictions.probabilities.max())
    assert answer.value == pytest.approx(math.log(p / (1 - p)), abs=1e-5)
    (told,) = found.rows
    effects = [f.value for f in found if f.name == "effect" and set(f.scope) == {"field"}]
    assert len(effects) == 3
    base = told.fields.attribution.base
    assert sum(filter(None, effects)) + base == pytest.approx(answer.value, abs=1e-6)
    stored = json.loads(next((tmp_path / "why").glob("*.json")).read_text(encoding="utf-8"))
    assert {e["parts"] for e in stored["explanations"]} == {"fields", "pixels", "words", "columns"}
    for name in stored["pictures"]:
        with Image.open(tmp_path / "why" / name) as picture:
            assert picture.format == "PNG"
    told_lines = "\n".join(found.lines())
    assert row in told_lines and "Shapley values of all 8 subsets" in told_lines


def test_another_class_can_be_explained_and_one_field_alone_be_looked_into(
    bench: Workbench,
) -> None:
    row = with_fields(bench)
    classes = bench.run.predictor.model.classes
    answers = [bench.explain(row=row, label=c, fields=["caption"]).rows[0] for c in classes[:2]]
    assert [a.answer for a in answers] == list(classes[:2])
    assert [one.field for one in answers[0].inside] == ["caption"]


def test_a_query_and_other_rows_are_explained(bench: Workbench, tmp_path: Path) -> None:
    asked = bench.explain(text="a large red square")
    assert [one.unit for one in asked.rows[0].all] == ["field", "word"]
    table = pa.table({"caption": ["a red square", "a circle", None], "side": [12, 20, None]})
    pa_csv.write_csv(table, tmp_path / "new.csv")
    found = bench.explain(data=tmp_path / "new.csv")
    assert [r.row.id for r in found.rows] == ["0", "1"]  # the third row has nothing
    together = bench.explain(data=tmp_path / "new.csv", summary=True)
    assert {f.scope["field"] for f in together if f.name == "share_of_effects"} >= {"caption"}


@pytest.mark.parametrize("left", [["caption"], ["image"], ["image", "caption"]])
def test_the_last_line_tells_only_of_what_can_be_hidden(
    shapes_file: Path, tmp_path: Path, left: list[str]
) -> None:
    said = config.merge(config.assignments(SMALL), {"leave_out": left})
    work = Workbench(shapes_file, "shape", tmp_path / "run", said)
    work.fit()
    last = work.explain(row=with_fields(work)).lines()[-1]
    assert "columns stand those of" in last
    assert ("hidden words" in last) == ("caption" not in left)
    assert ("hidden pixels" in last) == ("image" not in left)


def test_a_saved_run_explains_what_is_given(saved: Path) -> None:
    bench = Workbench.open(saved)
    found = bench.explain(text="a large red square", row="side=12")
    (told,) = found.rows
    assert told.fields.attribution.values.sum() == pytest.approx(
        told.fields.attribution.whole - told.fields.attribution.base, abs=1e-9
    )
    assert "saved without its data" in found.lines()[-1]
    with pytest.raises(GobelinError, match="saved without its data, which explain --row 00001"):
        bench.explain(row="00001")
    with pytest.raises(GobelinError, match="saved without its data, which explain --summary"):
        bench.explain(summary=True)


def test_a_generated_image_is_explained_for_the_class_that_it_was_generated_for(
    bench: Workbench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes = bench.run.predictor.model.classes
    pixels = np.full((32, 32, 3), 200, np.uint8)
    for label in classes[:2]:
        path = tmp_path / f"{label}.png"
        save_png(path, pixels, {"generator": "vaegan", "condition": {"label": label}})
        found = bench.explain(image=path, out=tmp_path / label)
        assert found.rows[0].answer == label and f"generated for {label!r}" in caplog.text
        (overlay,) = (tmp_path / label).glob("*pixels.png")
        assert is_marked(overlay.read_bytes())


MISTAKES: dict[tuple[str, ...], list[str]] = {
    (): ["explain: nothing to explain", "--row ID", "--summary", "in Python row="],
    ("--row", "nobody"): ["explain --row nobody", "no row has this id"],
    ("--row", "00001", "--text", "x"): ["explain --row 00001", "'text'"],
    ("--row", "00001", "--label", "circel"): ["--label circel", "Did you mean 'circle'?"],
    ("--row", "00001", "--in", "photo"): ["--in photo", "no such field"],
    ("--text", "x", "--in", "image"): ["--in image", "has no image"],
    ("--text", "x", "--summary"): ["'text' and --summary"],
    ("--summary", "--label", "circle"): ["--summary: takes no --label"],
    ("--data", "nowhere.csv"): ["nowhere.csv", "no such file"],
    ("--audio", "a.wav"): ["'audio'"],
    ("--row", "00001", "--out", __file__): ["--out", "is a file"],
    ("--row", "00001", "--out", f"{__file__}/why"): ["is in the way"],
    ("--row", "00001", "--out", "/dev/null"): ["--out /dev/null"],
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_what_cant_be_explained_is_said_in_one_line(
    words: tuple[str, ...], bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["explain", str(bench.folder), *words])
    said = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and len(said.splitlines()) == 1, said
    assert all(part in said for part in MISTAKES[words]), said


@pytest.fixture(scope="module")
def watermarked(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Images of noise: the class is the colour of a mark in the lower left corner."""
    folder, rng = tmp_path_factory.mktemp("watermark"), np.random.default_rng(0)
    return marked_run(folder, rng, 120)


def marked_run(folder: Path, rng: np.random.Generator, rows: int, *settings: str) -> Workbench:
    names, labels = [], rng.choice(["cat", "dog"], rows)
    for k, label in enumerate(labels):
        pixels = rng.integers(60, 200, (32, 32, 3), dtype=np.uint8)
        pixels[24:, :8] = (230, 20, 20) if label == "cat" else (20, 20, 230)
        names.append(f"{k}.png")
        Image.fromarray(pixels).save(folder / names[-1])
    table = pa.table({"photo": names, "animal": labels.tolist()})
    pa_csv.write_csv(table, folder / "records.csv")
    chosen = config.assignments((*SMALL, *settings))
    out = Workbench(folder / "records.csv", "animal", folder / "run", chosen)
    out.fit()
    return out


def test_gradients_find_the_mark_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through an encoder that is a network; in the row, its files, the summary and the report."""
    small = ("encoders.image.name=convolution", "encoders.image.filters=8", "fusion.name=concat")
    bench = marked_run(tmp_path, np.random.default_rng(1), 80, *small)
    for name, value in (("ROWS", 6), ("INSIDE", 4), ("ORDERS", 16), ("AGAIN", 1)):
        monkeypatch.setattr(summary, name, value)
    found = bench.explain(summary=True)
    decisive = {next(k for k in f.scope if k != "field"): f for f in found if f.name == "decisive"}
    assert {f.verdict for f in decisive.values()} == {"the lower left corner decides"}
    assert set(decisive) == {"place", "place by gradients"}
    lines = "\n".join(found.lines())
    assert "Shares of effects, places of photo, by gradients: lower left corner" in lines
    assert "Gradients of photo: Faithful to the predictor" in lines and "alone" not in lines
    page = bench.report().read_text(encoding="utf-8")
    assert "A right answer: gradients" in page and "Integrated gradients, 50 steps" in page
    row = bench.explain(row="3", out=tmp_path / "why")
    one = next(e for e in row.rows[0].all if e.explainer == "gradients").attribution
    assert one.values.sum() == pytest.approx(one.whole - one.base, rel=0.02)
    (maps,) = (tmp_path / "why").glob("*maps.safetensors")
    assert set(load_arrays(maps)) == {"photo", "photo by gradients"}
    assert len(list((tmp_path / "why").glob("*-photo-*.png"))) == 2


def test_a_model_that_reads_a_watermark_is_caught(watermarked: Workbench) -> None:
    found = watermarked.explain(summary=True)
    (decisive,) = [f for f in found if f.name == "decisive"]
    assert decisive.verdict == "the lower left corner decides"
    assert "the lower left corner decides" in found.lines()[0]
    assert found.lines()[-1].endswith(
        "Pixels of photo are explained by occlusion alone, not by gradients (its encoder is no"
        " network that one can follow)."
    )
    # the run has one field: there is no order of its fields that could be right or wrong
    assert not [f for f in found if f.name == "faithfulness" and f.scope["parts"] == "fields"]
    faithful = [f for f in found if f.name == "faithfulness" and f.scope["parts"] == "pixels"]
    assert faithful[0].verdict == "better than random"
    assert watermarked.findings("explain") == list(found)
    page = watermarked.report().read_text(encoding="utf-8")
    assert "What do the predictions rest on?" in page and "A right answer: pixels" in page
    assert (watermarked.folder / "images" / "explain").is_dir()
    # a row quotes what was found on held-out rows
    row = watermarked.explain(row="3")
    assert "few parts" not in "\n".join(row.lines())
    quoted = [f for f in row if f.name == "faithfulness" and f.scope["parts"] == "pixels"]
    assert quoted[0].value == pytest.approx(faithful[0].value)


def test_of_generated_images_the_part_of_the_request_that_they_follow_decides(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sampler that paints real images of the class that is asked for, and of no class without
    one, whatever the text: the class has all of the effect, the text none."""
    bench = Workbench.open(bench.folder, settings={"generator": {"steps": 2}})
    bench.fit(generator=True)
    run, rows = bench.run, bench.run.checked.rows
    images = run.generator.images(rows.part("train")).images
    label = rows.target.values[rows.part("train")]
    classes = run.predictor.model.classes

    def paint(self: object, condition: Condition, seeds: list[int], *rest: object) -> object:
        assert condition.target is not None
        for target, seed in zip(condition.target.tolist(), seeds, strict=True):
            some = np.flatnonzero(label == target) if target >= 0 else np.arange(len(label))
            yield images[some[[seed % len(some)]]]

    monkeypatch.setattr("gobelin.workbench.run.generator.Trained.sample", paint)
    bench.explain(summary=True)
    found = bench.explain(generated=True, label=classes[0], text="a large thing")
    request = next(f for f in found if f.name == "faithfulness" and "field" not in f.scope)
    # the image of a class differs in its log odds, so hiding the class last keeps it longest
    assert request.verdict == "better than random" and request.n == 16
    effects = {f.scope["part of the request"]: f for f in found if f.name == "effect"}
    places = [f for f in found if f.name == "place"]
    assert places and all(f.scope["field"] == "image" for f in places)
    assert f"read as {classes[0]}:" in "\n".join(found.lines()[4:])
    assert set(effects) == {"class", "caption"}
    assert all(f.scope["class"] == classes[0] for f in found)
    assert effects["caption"].value == pytest.approx(0.0, abs=1e-9)
    low = effects["class"].low
    assert low is not None and low > 0
    whole, base = found.lines()[5], found.lines()[2]
    assert whole != base and "16 generated images are read as" in found.lines()[0]
    # the report shows it beside what was found of rows, and each picture bears the mark
    assert list(found) == [f for f in bench.findings("explain") if f in found]
    page = bench.report().read_text(encoding="utf-8")
    for what in (f"{classes[0]}: what was asked for", f"{classes[0]}: pixels of image"):
        assert f"Generated images, {what}" in page
    assert "A right answer: pixels of image" in page and "generated images: gain over" in page
    pictures = sorted((bench.folder / "images" / "explain").glob("generated-*.png"))
    assert len(pictures) == 2 * generated.SHOWN
    assert all(is_marked(p.read_bytes()) for p in pictures)
    inside = [base64.b64decode(t) for t in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    assert {p.read_bytes() for p in pictures} <= set(inside)  # not drawn anew without it
    # files, and what is kept: no image is generated for the same request again
    again = bench.explain(
        generated=True, label=classes[0], text="a large thing", out=tmp_path / "why"
    )
    assert list(again) == list(found) and again.lines()[:-1] == found.lines()
    written = sorted(p.name for p in (tmp_path / "why").iterdir())
    assert "0-request-parts-of-the-request.png" in written
    told = json.loads((tmp_path / "why" / "0-request.json").read_text(encoding="utf-8"))
    (one,) = told["explanations"]
    assert sum(v["value"] for v in one["values"]) == pytest.approx(one["answer"] - one["base"])
    assert all(is_marked(p.read_bytes()) for p in (tmp_path / "why").glob("*pixels.png"))
    made = [m for m in lineage.stored(bench.run.folder)["made"] if m["verb"] == "explain"]
    assert sum(m["count"] for m in made) == 2 * generated.SHOWN  # in the run, and in `why`
    files = {p.name for m in made for p in Path(m["folder"]).glob(f"{m['name']}*.png")}
    assert files == {*(p.name for p in pictures), *(n for n in written if "pixels" in n)}
    monkeypatch.setattr("gobelin.workbench.run.generator.Trained.sample", None)
    assert bench.explain(generated=True, label=classes[0], text="a large thing") == found
    with pytest.raises(GobelinError, match="takes no --summary"):
        bench.explain(generated=True, summary=True)
    with pytest.raises(GobelinError, match="nothing is asked for"):
        bench.explain(generated=True)
    discard_resting_on(bench.run.folder, "generator")  # which is made again
    assert not bench.run.folder.has("verbs/explain_generated")
    assert bench.run.folder.has("verbs/explain")


def test_letters_that_the_pictures_cant_show_are_named(
    bench: Workbench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("gobelin.report.lettering._installed", tuple)  # a machine without fonts
    asked = ["explain", str(bench.run.folder.folder), "--out", str(tmp_path), "--text"]
    main([*asked, "a red thing"])
    assert "stand as boxes" not in capsys.readouterr().out
    main([*asked, "红 chose carrée"])
    line = next(x for x in capsys.readouterr().out.splitlines() if "stand as boxes" in x)
    assert "'é红'" in line and "Noto CJK" in line
