"""Conditions written out by hand, image rows against the files, and a folder that is filled as the
images come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.core.files import read_lines
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field, Schema, Target
from gobelin.data.provenance.marks import read_lineage
from gobelin.embedding.alignment.align import Shared
from gobelin.generation import sampling
from gobelin.generation.conditions import condition, from_query, narrowed
from gobelin.generation.generators import Condition, Controls, ImageRows, check_condition
from gobelin.generation.image_rows import image_field, image_rows, mask_image, source_image
from gobelin.generation.sampling import Generation, sample, write

FIELDS = ("image", "caption", "table")


def space(n: int = 120) -> Shared:
    rng = np.random.default_rng(0)
    present = rng.random((n, 3)) < 0.7
    vectors = np.where(present[:, :, None], rng.normal(size=(n, 3, 4)), 0).astype(np.float32)
    return Shared(FIELDS, vectors, present, tuple(map(str, range(n))), "here")


def classes(n: int = 120) -> Target:
    label = np.where(np.arange(n) % 5 == 0, -1, np.arange(n) % 3)
    return Target("y", "class", label, ("a", "b", "c"), np.ones(3, bool))


@pytest.mark.parametrize("fields", [None, ("caption",), ("table", "image"), ()])
def test_a_condition_holds_these_fields_of_these_rows(fields: tuple[str, ...] | None) -> None:
    shared, target, rows = space(), classes(), np.array([5, 3, 3, 100])
    found = condition(shared, target, rows, fields)
    assert (
        found.fields == FIELDS
        and found.fingerprint == "here"
        and found.target.tolist() == [-1, 0, 0, -1]
    )
    for k, r in enumerate(rows):
        for f, name in enumerate(FIELDS):
            shown = shared.present[r, f] and (fields is None or name in fields)
            assert bool(found.present[k, f]) == shown
            assert np.array_equal(
                found.vectors[k, f], shared.vectors[r, f] if shown else np.zeros(4)
            )
    assert found.used() == ({"vectors"} if fields != () else set()) | {"target"}
    assert condition(shared, None, rows).target is None


def test_numbers_stay_numbers() -> None:
    target = Target("y", "number", np.array([1.5, np.nan, 3.0]))
    found = condition(space(3), target, np.array([0, 1, 2]))
    assert found.target.dtype == torch.float32 and torch.equal(
        found.target.isnan(), torch.tensor([False, True, False])
    )
    assert "target" not in condition(space(3), target, np.array([1]), ()).used()


@pytest.mark.parametrize(
    ("kind", "label", "wanted"), [("class", 2, 2), ("class", None, -1), ("number", 0.25, 0.25)]
)
def test_a_query_is_repeated(kind: str, label: float | None, wanted: float) -> None:
    shared = space()
    query = Shared(FIELDS, shared.vectors[:1], shared.present[:1], ("q",), "here")
    found = from_query(query, label, shared, kind, 5)
    assert len(found) == 5 and found.fingerprint == "here" and found.target.tolist() == [wanted] * 5
    for k in range(5):
        assert np.array_equal(found.vectors[k], shared.vectors[0]) and np.array_equal(
            found.present[k], shared.present[0]
        )


def test_a_query_of_nothing_uses_nothing() -> None:
    for kind in ("class", "number"):
        found = from_query(None, None, space(), kind, 3)
        assert (
            found.used() == set() and found.vectors.shape == (3, 3, 4) and not found.vectors.any()
        )


def test_image_rows_are_the_files_squared_with_their_own_condition(tmp_path: Path) -> None:
    """Each image is one colour, which is its row; some are missing, one is wide."""
    values: list[str | None] = []
    for k in range(12):
        shape = (8, 24, 3) if k == 7 else (10, 10, 3)
        Image.fromarray(np.full(shape, 20 * k, np.uint8)).save(tmp_path / f"{k}.png")
        values.append(None if k in (2, 5) else f"{k}.png")
    schema = Schema((Column("image", "image"),), (Field("image", "pixels", ("image",), "image"),))
    dataset = Dataset(pa.table({"image": values}), tmp_path)
    rows = np.array([9, 2, 7, 0, 5, 4])
    for workers in (1, 3):
        found = image_rows(dataset, rows, schema, space(12), classes(12), 16, workers)
        kept = [9, 7, 0, 4]
        assert (
            found.images.shape == (4, 16, 16, 3)
            and found.images.dtype == np.uint8
            and found.classes == ("a", "b", "c")
        )
        for image, r in zip(found.images, kept, strict=True):
            assert (image[8, 8] == 20 * r).all()
            assert (
                image[0] == (255 if r == 7 else 20 * r)
            ).all()  # the wide one has white above and below
        assert np.array_equal(found.condition.vectors, space(12).vectors[kept])
        assert found.condition.target.tolist() == classes(12).values[kept].tolist()
    weighed = image_rows(
        dataset, rows, schema, space(12), classes(12), 16, 1, weights=np.arange(12) / 12
    )
    assert weighed.weights.tolist() == [k / 12 for k in kept] and weighed.first(
        2
    ).weights.tolist() == [9 / 12, 7 / 12]
    asked = dataset, rows, schema, space(12), classes(12), 16, 1
    grouped = image_rows(*asked, groups=10 * np.arange(12), least_groups=3)
    assert grouped.first(3).group_numbers.tolist() == [90, 70, 0] and grouped.least_groups == 3
    with pytest.raises(GobelinError, match="no training row has an image"):
        image_rows(dataset, np.array([2, 5]), schema, space(12), classes(12), 16, 1)


def test_the_image_field_is_the_first_that_an_image_encoder_reads() -> None:
    words = Field("words", "characters", ("w",), "text")
    schema = Schema(
        (),
        (words, Field("photo", "pixels", ("p",), "image"), Field("scan", "image", ("s",), "image")),
    )
    assert image_field(schema) == "photo"
    with pytest.raises(GobelinError, match="no image column"):
        image_field(Schema((), (words,)))


@pytest.mark.parametrize(
    "wrong",
    [{"size": 15}, {"size": 257}, {"minutes": 0}, {"minutes": -1}, {"seeds": 0}, {"steps": -1}],
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(GobelinError, match=next(iter(wrong))):
        Generation(**wrong)
    Generation(size=16), Generation(size=256), Generation(steps=0, seeds=1)


class Echo:
    """A sampler whose image k is filled with seeds[k]; it counts what was asked of it."""

    accepts = frozenset({"vectors", "target"})
    size = (4, 4, 3)

    def __init__(self) -> None:
        self.made = 0

    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        for start in range(0, len(seeds), controls.batch):
            block = np.stack(
                [np.full(self.size, s, np.uint8) for s in seeds[start : start + controls.batch]]
            )
            self.made += len(block)
            yield block


def test_images_are_written_block_by_block(tmp_path: Path) -> None:
    """While block b is being made, all blocks before it lie on the disk, and none after."""
    sampler, seen = Echo(), []

    def watched() -> Iterator[np.ndarray]:
        for block in sampler.sample(
            from_query(None, None, space(), "class", 7), range(7), Controls(batch=3)
        ):
            seen.append((sampler.made, len(list(tmp_path.glob("*.png")))))
            yield block

    names = [f"seed-{k}" for k in range(7)]
    written = write(watched(), names, [{"seed": k} for k in range(7)], tmp_path)
    assert seen == [(3, 0), (6, 3), (7, 6)] and written == [f"{n}.png" for n in names]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(written)
    for k, name in enumerate(written):
        assert (np.asarray(Image.open(tmp_path / name)) == k).all() and read_lineage(
            tmp_path / name
        ) == {"seed": k}


def test_an_interrupted_stream_leaves_what_was_finished(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield np.zeros((2, 4, 4, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(broken(), ["a", "b", "c"], [{}, {}, {}], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_sampling_checks_first_and_tells_how_far_it_is() -> None:
    told, sampler, wanted = [], Echo(), from_query(None, 1, space(), "class", 5)
    blocks = sample(
        sampler, "echo", "here", wanted, range(5), Controls(batch=2), lambda *w: told.append(w[1:])
    )
    assert [b[:, 0, 0, 0].tolist() for b in blocks] == [[0, 1], [2, 3], [4]] and told == [
        (2, 5),
        (4, 5),
        (5, 5),
    ]
    with pytest.raises(GobelinError, match="4 seeds for 5"):
        list(sample(sampler, "echo", "here", wanted, range(4), Controls()))
    assert sampler.made == 5


def test_a_condition_that_a_sampler_cannot_use_is_an_error() -> None:
    shared = space(2)
    sampler, full = Echo(), condition(shared, classes(2), np.array([0, 1]))
    check_condition("echo", sampler, full, [0, 1], "here")
    source = np.zeros((2, 4, 4, 3), np.uint8)
    for part in ({"text": ["x", None]}, {"source": source}, {"mask": np.ones((2, 4, 4), bool)}):
        given = Condition(
            FIELDS, full.vectors, full.present, full.target, fingerprint="here", **part
        )
        with pytest.raises(
            GobelinError, match=f"echo can't use {next(iter(part))}; it accepts target, vectors"
        ):
            check_condition("echo", sampler, given, [0, 1], "here")
    nothing_said = Condition(
        FIELDS, full.vectors, full.present, full.target, [None, None], fingerprint="here"
    )
    check_condition("echo", sampler, nothing_said, [0, 1], "here")
    with pytest.raises(
        GobelinError, match="comes from the space here, echo was trained in elsewhere"
    ):
        check_condition("echo", sampler, full, [0, 1], "elsewhere")
    bare = from_query(None, 1, shared, "class", 2)
    check_condition("echo", sampler, bare, [0, 1], "elsewhere")  # a class needs no space


def test_a_generator_is_saved_with_its_space(tmp_path: Path, runtime: Runtime) -> None:
    shared, target = space(24), classes(24)
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    rows = ImageRows(images, condition(shared, target, np.arange(24)), target.classes)
    how = Generation(size=16, steps=2, settings={"width": 8, "batch": 8})
    sampler = sampling.train(how, 3, rows, rows, tmp_path / "work", runtime, how.steps)
    (tmp_path / "made").mkdir()
    sampling.save(sampler, how, shared.fingerprint, tmp_path / "made")
    loaded, name, trained_in = sampling.load(tmp_path / "made", runtime)
    assert (name, trained_in) == (
        "vaegan",
        "here",
    ) and loaded.fingerprint() == sampler.fingerprint()
    wanted = condition(shared, target, np.array([0, 1]))
    one, other = (
        np.concatenate(list(sample(s, name, trained_in, wanted, [1, 2], Controls())))
        for s in (sampler, loaded)
    )
    assert np.array_equal(one, other)
    again = sampling.train(how, 4, rows, rows, tmp_path / "again", runtime, how.steps)
    assert again.fingerprint() != sampler.fingerprint()


def test_what_was_seen_while_it_trained_is_kept(tmp_path: Path, runtime: Runtime) -> None:
    """A grid and a score a look, and nothing where there was no look: too few validation rows, or
    too few steps."""
    shared, target = space(40), classes(40)
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    rows = ImageRows(images, condition(shared, target, np.arange(40)), target.classes)
    how = Generation(
        size=16, steps=150, settings={"width": 8, "batch": 8, "prior_width": 16, "prior_depth": 1}
    )
    for name, valid, steps, seen in (
        ("seen", rows, 150, True),
        ("few", rows.first(15), 150, False),
        ("short", rows, 20, False),
    ):
        sampler = sampling.train(how, 3, rows, valid, tmp_path / name / "work", runtime, steps)
        (tmp_path / name / "made").mkdir()
        sampling.keep_samples(sampler, tmp_path / name / "work", tmp_path / name / "made")
        samples = tmp_path / name / "made" / "samples"
        assert samples.exists() == seen
        if seen:
            looks = read_lines(samples / "held_out.jsonl")
            assert looks[-1]["step"] == 150 and all(look["held_out"] > 0 for look in looks)
            assert {p.name for p in samples.glob("*.png")} == {
                f"{look['step']}.png" for look in looks
            }


# sources, masks, captions


def pictures(folder: Path) -> tuple[Dataset, Schema]:
    """Eight rows: the image is 20 k, its source 255 - 20 k; row 2 has no source, row 5 no image,
    row 3 no caption."""
    columns: dict[str, list[object]] = {"before": [], "after": [], "words": []}
    for k in range(8):
        for name, level in (("before", 255 - 20 * k), ("after", 20 * k)):
            Image.fromarray(np.full((10, 10, 3), level, np.uint8)).save(folder / f"{name}{k}.png")
        columns["before"].append(None if k == 2 else f"before{k}.png")
        columns["after"].append(None if k == 5 else f"after{k}.png")
        columns["words"].append(None if k == 3 else f"number {k}")
    fields = (
        Field("before", "pixels", ("before",), "image"),
        Field("after", "pixels", ("after",), "image"),
        Field("words", "characters", ("words",), "text"),
    )
    return Dataset(pa.table(columns), folder), Schema((), fields)


def test_rows_carry_their_source_and_their_caption(tmp_path: Path) -> None:
    dataset, schema = pictures(tmp_path)
    assert (image_field(schema), image_field(schema, "before"), image_field(schema, "after")) == (
        "before",
        "after",
        "before",
    )
    asked = dataset, np.arange(8), schema, space(8), classes(8), 16, 1
    found = image_rows(*asked, "before", frozenset({"source", "text", "vectors"}))
    kept = [0, 1, 3, 4, 6, 7]
    assert found.condition.used() == {
        "vectors",
        "target",
        "text",
        "source",
    } and found.condition.source.shape == (6, 16, 16, 3)
    for k, r in enumerate(kept):
        assert (found.images[k] == 20 * r).all() and (
            found.condition.source[k] == 255 - 20 * r
        ).all()
    assert found.condition.text == [None if r == 3 else f"number {r}" for r in kept]
    assert np.array_equal(found.condition.vectors, space(8).vectors[kept])
    bare = image_rows(*asked, "before", frozenset({"vectors"}))  # a generator that can't use them
    assert len(bare) == 7 and bare.condition.source is None and bare.condition.text is None


def test_a_source_column_that_cant_be_is_named(tmp_path: Path) -> None:
    dataset, schema = pictures(tmp_path)
    with pytest.raises(
        GobelinError, match=r"generator\.source: no image column 'befor'. Did you mean 'before'"
    ):
        image_field(schema, "befor")
    with pytest.raises(GobelinError, match="no image column 'words'"):
        image_field(schema, "words")
    with pytest.raises(GobelinError, match="'before' is the only image column"):
        image_field(Schema((), schema.fields[:1]), "before")
    with pytest.raises(GobelinError, match="has an image and one in 'before'"):
        image_rows(
            dataset,
            np.array([2, 5]),
            schema,
            space(8),
            classes(8),
            16,
            1,
            "before",
            frozenset({"source"}),
        )


def test_a_query_of_many_images_holds_its_source_once() -> None:
    source, mask = np.arange(48, dtype=np.uint8).reshape(4, 4, 3), np.eye(4, dtype=bool)
    found = from_query(
        None, None, space(), "class", 1_000_000, text="a red bird", source=source, mask=mask
    )
    assert (
        found.source.strides[0] == 0
        and found.mask.strides[0] == 0
        and found.used() == {"text", "source", "mask"}
    )
    some = found.rows([5, 999_999])
    assert np.array_equal(some.source, [source, source]) and np.array_equal(some.mask, [mask, mask])
    assert some.text == ["a red bird"] * 2


def test_a_condition_is_narrowed_to_what_a_sampler_accepts() -> None:
    shared = space(2)
    full = condition(shared, classes(2), np.array([0, 1]))
    given = Condition(
        FIELDS, full.vectors, full.present, torch.tensor([1, 2]), ["x", "y"], fingerprint="here"
    )
    for parts in (
        frozenset(),
        frozenset({"text"}),
        frozenset({"vectors", "target"}),
        frozenset({"target", "text", "source"}),
    ):
        found = narrowed(given, parts)
        assert found.used() == given.used() & parts and len(found) == 2 and found.fields == FIELDS


@pytest.mark.parametrize(
    ("wide", "high", "size"),
    [(20, 10, (16, 16, 3)), (10, 20, (16, 16, 3)), (20, 20, (16, 8, 1)), (9, 9, (8, 12, 4))],
)
def test_source_and_mask_files_keep_their_place(
    tmp_path: Path, wide: int, high: int, size: tuple[int, int, int]
) -> None:
    """The left half of a source is black and marked: it is black and marked in the fitted ones too,
    and the padding is kept."""
    pixels = np.full((high, wide), 255, np.uint8)
    pixels[:, : wide // 2] = 0
    Image.fromarray(pixels).save(tmp_path / "source.png")
    Image.fromarray(255 - pixels).save(tmp_path / "mask.png")
    source, shape = source_image(tmp_path / "source.png", size)
    mask = mask_image(tmp_path / "mask.png", size, shape)
    assert source.shape == size and mask.shape == size[:2] and shape == (wide, high)
    assert (
        mask.any() and (source[..., 0][mask] < 255).all() and (source[..., :3][~mask] > 250).all()
    )
    if size[2] == 4:
        assert (source[..., 3] == 255).all()


def test_mask_files_that_cant_be_used(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 100).save(tmp_path / "dark.png")
    (tmp_path / "words.png").write_text("no image")
    for name, shape, said in (
        ("dark.png", (8, 8), "marks nothing"),
        ("dark.png", (9, 8), "is 8 x 8 pixels, the source 9 x 8"),
        ("none.png", (8, 8), "no such file"),
        ("words.png", (8, 8), "is not an image"),
    ):
        with pytest.raises(GobelinError, match=said):
            mask_image(tmp_path / name, (8, 8, 3), shape)
