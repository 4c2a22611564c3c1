"""From the command line to an image made from an image: paired training, strength, mask,
provenance, mistakes; and prompts for a generator that reads texts and no vectors. Oracle: the
planted pairs, and what a stand-in generator was given."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from presets import SMALL

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.provenance.marks import read_lineage
from gobelin.generation import sampling
from gobelin.generation.generators import Condition, Controls
from gobelin.interfaces.cli import main
from gobelin.quality.probes import IndependentEncoder
from gobelin.workbench.generate import condition_match, contact_sheet, filling
from gobelin.workbench.run.generator import Trained

TRAINED = [
    "generator.steps=200",
    "generator.settings.width=8",
    "generator.settings.batch=16",
    "generator.settings.rate=0.003",
]


def sets(*more: str) -> list[str]:
    return [word for one in (*SMALL, *more) for word in ("--set", one)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of a square on a ground and its negative; every tenth row lacks the source."""
    folder, rng, rows = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0), []
    (folder / "img").mkdir()
    for k in range(120):
        before = np.zeros((16, 16, 3), np.uint8) + rng.integers(0, 256, 3).astype(np.uint8)
        x, y = rng.integers(2, 8, 2)
        before[y : y + 6, x : x + 6] = rng.integers(0, 256, 3)
        for name, pixels in (("before", before), ("after", 255 - before)):
            Image.fromarray(pixels).save(folder / "img" / f"{name}{k}.png")
        source = f"img/before{k}.png" if k % 10 else ""
        rows.append(
            {
                "before": source,
                "after": f"img/after{k}.png",
                "caption": f"a thing number {k}",
                "label": "ab"[k % 2],
            }
        )
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    words = [
        "fit",
        folder / "data.csv",
        "--target",
        "label",
        "--run",
        folder / "run",
        "--generator",
        "translate",
    ]
    main([*map(str, words), *sets("generator.source=before", *TRAINED)])
    return folder / "run"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def test_a_translation_by_the_command_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = run.parent / "img" / "before7.png"
    main(
        [
            "generate",
            str(run),
            "--source",
            str(source),
            "-n",
            "3",
            "--steps",
            "4",
            "--out",
            str(tmp_path),
        ]
    )
    (first,) = tmp_path.glob("*-seed-0.png")
    begin = first.name.removesuffix("0.png")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"3 images in {tmp_path} ({begin}*.png)"
    assert said[1] == f"side by side: {tmp_path / begin.removesuffix('seed-')}sheet.png"
    wanted, copied = pixels(run.parent / "img" / "after7.png"), pixels(source)
    for k in range(3):
        made = pixels(tmp_path / f"{begin}{k}.png")
        assert np.abs(made - wanted).mean() < 0.5 * np.abs(copied - wanted).mean()
    assert read_lineage(first)["condition"] == {
        "source": "before7.png",
        "strength": 1.0,
    }


def test_strength_and_mask_reach_the_generator(run: Path, tmp_path: Path) -> None:
    source, mask = run.parent / "img" / "before8.png", np.zeros((16, 16), np.uint8)
    mask[:, 8:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    bench = Workbench.open(run)
    (same,) = bench.generate([3], source=source, strength=0.0)
    assert (pixels(same) == pixels(source)).all()
    (part,) = bench.generate(
        [3], source=str(source), mask=tmp_path / "mask.png", label="a", guidance=1.0
    )
    assert (pixels(part)[:, :8] == pixels(source)[:, :8]).all() and (
        pixels(part)[:, 8:] != pixels(source)[:, 8:]
    ).any()
    said = {"label": "a", "source": "before8.png", "mask": "mask.png", "strength": 1.0}
    assert read_lineage(part)["condition"] == said and part.name != same.name


def test_a_column_may_have_the_name_of_an_option(run: Path) -> None:
    with pytest.raises(GobelinError, match="no field, column or flag 'source'"):
        main_error(["generate", str(run), "--query", "source=3"])


def main_error(words: list[str]) -> None:
    """The command's mistake as it is raised below the command line."""
    from gobelin.interfaces.cli import cli

    cli(args=words, standalone_mode=False, obj={})


MISTAKES = {
    ("--source", "nope.png"): "--source nope.png: no such file",
    ("--source", "{data}"): "is not an image",
    ("--source", "{source}", "--mask", "nope.png"): "--mask nope.png: no such file",
    ("--source", "{source}", "--mask", "{small}"): "is 5 x 5 pixels, the source 16 x 16",
    ("--source", "{source}", "--mask", "{black}"): "marks nothing",
    ("--mask", "{black}"): "--source FILE too",
    ("--strength", "0.5"): "--source FILE too",
    ("--source", "{source}", "--strength", "1.5"): "--strength 1.5: from 0 to 1",
    ("--source", "{source}", "--strength", "nan"): "--strength nan: from 0 to 1",
    ("--guidance", "-1"): "--guidance -1.0: from 0 to 100",
    ("--steps", "-1"): "--steps -1: from 0 to 10000",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line(
    words: tuple[str, ...], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (5, 5), 255).save(tmp_path / "small.png")
    Image.new("L", (16, 16), 0).save(tmp_path / "black.png")
    files = {"{source}": run.parent / "img" / "before7.png", "{data}": run.parent / "data.csv"}
    files |= {f"{{{name}}}": tmp_path / f"{name}.png" for name in ("small", "black")}
    before = sorted(run.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(["generate", str(run), *(str(files.get(w, w)) for w in words)])
    out, said = capsys.readouterr()
    assert (
        stop.value.code == 2
        and out == ""
        and len(said.strip().splitlines()) == 1
        and MISTAKES[words] in said
    ), said
    assert sorted(run.rglob("*")) == before


def test_a_generator_that_starts_from_no_image_takes_no_source_column(
    run: Path, tmp_path: Path
) -> None:
    fit = [
        "fit",
        str(run.parent / "data.csv"),
        "--target",
        "label",
        "--run",
        str(tmp_path / "r"),
        "--generator",
    ]
    with pytest.raises(
        GobelinError, match=r"generator\.source: vaegan starts from no image, found 'before'"
    ):
        main_error([*fit, "vaegan", *sets("generator.source=before")])
    with pytest.raises(
        GobelinError, match=r"generator\.source: no image column 'befor'. Did you mean 'before'"
    ):
        main_error([*fit, "translate", *sets("generator.source=befor")])


class Reader:
    """A sampler that reads prompts and no vectors, and remembers what it was given."""

    accepts = frozenset({"text", "source", "target"})
    size = (16, 16, 3)

    def __init__(self) -> None:
        self.given: list[Condition] = []

    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        self.given.append(condition)
        yield np.zeros((len(seeds), *self.size), np.uint8)

    def fingerprint(self) -> str:
        return "0" * 64


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """In the trained generator's place."""
    one = Reader()
    monkeypatch.setattr(
        "gobelin.generation.sampling.load",
        lambda folder, runtime, over: (one, "reader", "no space"),
    )
    return one


def test_a_text_is_a_prompt_where_vectors_are_not_accepted(
    run: Path, reader: Reader, tmp_path: Path
) -> None:
    bench = Workbench.open(run)
    bench.generate([0, 1], text="a red bird", label="b", out=tmp_path)
    bench.generate(
        [0],
        query={"caption": "a blue bird"},
        source=run.parent / "img" / "before7.png",
        out=tmp_path,
    )
    first, second = reader.given
    assert (
        first.used() == {"text", "target"}
        and first.text == ["a red bird"] * 2
        and first.target.tolist() == [1, 1]
    )
    assert second.used() == {"text", "source"} and second.text == ["a blue bird"]
    with pytest.raises(
        GobelinError, match="reader does not accept 'image'; it accepts source, target, text"
    ):
        bench.generate([0], image=str(run.parent / "img" / "after7.png"))
    with pytest.raises(GobelinError, match="--text: is empty"):
        bench.generate([0], text=" ")
    with pytest.raises(GobelinError, match="reader can't use mask"):
        Image.new("L", (16, 16), 255).save(tmp_path / "mask.png")
        bench.generate([0], source=run.parent / "img" / "before7.png", mask=tmp_path / "mask.png")


def test_a_text_is_prompt_and_vector_where_both_are_accepted(
    run: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.accepts = frozenset({"text", "vectors"})
    monkeypatch.setattr(
        sampling, "check_condition", lambda *given: None
    )  # the stand-in has no space
    Workbench.open(run).generate([0], text="a red bird")
    assert reader.given[0].used() == {"text", "vectors"}


def test_the_contact_sheet_shows_sources_and_leaves_out_what_cant_be_asked(
    run: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_sheet, "_agreement", lambda run, trained: [])
    monkeypatch.setattr(condition_match, "match", lambda run, generators: [])
    monkeypatch.setattr(filling, "filled", lambda predictor, generator: [])
    Workbench.open(run).showcase(
        [{"text": "a red bird"}, {"image": str(run.parent / "img" / "after7.png")}]
    )
    kinds = [sorted(one.used()) for one in reader.given]
    assert kinds.count(["target"]) == 2 and kinds.count(["text"]) == 1 and kinds.count([]) == 1
    assert kinds.count(["source"]) >= 3 and not any("vectors" in k for k in kinds)


def test_condition_match_asks_by_the_source_image_alone(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the image to be made is the source's negative, so a sampler of negatives is read as
    the real images are."""
    heard: list[Condition] = []

    class Negative(Reader):
        accepts = frozenset({"source"})

        def sample(
            self, condition: Condition, seeds: Sequence[int], controls: Controls
        ) -> Iterator[np.ndarray]:
            heard.append(condition)
            yield 255 - condition.source

    opened = Workbench.open(run).run
    eyes = IndependentEncoder(
        "pixels", catalog.build("encoders", "pixels").fit([], None, {}, opened.data.runtime)
    )
    monkeypatch.setattr(IndependentEncoder, "choose", staticmethod(lambda *given: eyes))
    found = condition_match.match(opened, [Trained(Negative(), "negative", "no space")])
    measured = {f.scope.get("of", f.comparator): f for f in found if f.value is not None}
    assert {f.scope.get("field") for f in measured.values()} == {"before"} and [
        c.used() for c in heard
    ] == [{"source"}]
    assert (
        measured[""].value == pytest.approx(measured["real image of that row"].value)
        and measured[""].low > 1 / 32
    )
    assert sum(f.value is None for f in found) == 3  # the image itself, the caption and the class


def test_generators_are_listed_with_their_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "generators", "--json"])
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(rows) == catalog.names("generators") and all(
        r["licence"] and r["cost"] for r in rows.values()
    )
    assert (
        rows["translate"]["conditions"] == "mask, source, target, vectors"
        and rows["procedural"]["conditions"] == "nothing"
    )
    main(["list", "generators"])
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("conditions", "licence", "cost"))
