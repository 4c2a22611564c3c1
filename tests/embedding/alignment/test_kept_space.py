"""A space kept from another run: old vectors to the bit, a field more, and what is refused; bridges
from an encoder's names."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import processor
import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.encoders import Classes, NamesClasses
from gobelin.embedding.encoders.image import Image
from gobelin.embedding.features import Embedder
from gobelin.workbench.zero_shot import unseen_rows

LIGHT: dict[str, Any] = {
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "align": {"width": 8, "steps": 0},
    "predict": {"folds": 2, "decays": [0.01]},
    "runtime": processor.SETTINGS,
    "fusion": {"settings": {"steps": 10}},
}


def without(source: Path, columns: Sequence[str], into: Path) -> Path:
    with source.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = [c for c in rows[0] if c not in columns]
    with into.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return into


@pytest.fixture(scope="module")
def own_shapes(shapes_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, beside which these tests write tables of their own."""
    folder = tmp_path_factory.mktemp("kept") / "shapes"
    return Path(shutil.copytree(shapes_file.parent, folder)) / shapes_file.name


@pytest.fixture(scope="module")
def first(own_shapes: Path) -> Workbench:
    with own_shapes.open(encoding="utf-8") as file:
        facts = [c for c in csv.DictReader(file).fieldnames or () if c not in WORDS]
    bench = Workbench(
        without(own_shapes, facts, own_shapes.parent / "few.csv"),
        "shape",
        own_shapes.parent / "first",
        LIGHT,
    )
    _ = bench.check(), bench.run.space.alignment
    return bench


WORDS = ("id", "image", "caption", "shape", "group")


def test_a_kept_space_moves_nothing_and_takes_a_field_more(
    first: Workbench, shapes_file: Path, tmp_path: Path
) -> None:
    settings = {**LIGHT, "align": {**LIGHT["align"], "base": str(first.folder)}}
    second = Workbench(shapes_file, "shape", tmp_path / "second", settings)
    second.check()
    old, new = first.run.space.shared, second.run.space.shared
    more = set(new.fields) - set(old.fields)
    assert more and set(old.fields) < set(new.fields)
    for field in old.fields:
        assert np.array_equal(old.of(field), new.of(field))
    assert second.run.space.alignment.fingerprint() != first.run.space.alignment.fingerprint()
    for field in more:  # it stands where its rows stand: nearer to them than to other rows
        both = new.has(field) & old.present.any(1)
        cosines = new.of(field)[both] @ old.pooled()[both].T
        assert cosines.diagonal().mean() > np.mean(cosines) + 0.05


def test_how_sure_a_label_is_is_learned_in_the_space_that_is_used(
    first: Workbench, shapes_file: Path, tmp_path: Path
) -> None:
    """In a kept space: training rows stand, for the temperature of `describe`, where they stand in
    it."""
    settings = {**LIGHT, "align": {**LIGHT["align"], "base": str(first.folder)}}
    bench = Workbench(shapes_file, "shape", tmp_path / "run", settings)
    bench.check()
    unseen, shared = unseen_rows(bench.run), bench.run.space.shared
    train = bench.run.checked.rows.part("train")
    assert len(unseen) == len(train) and unseen.fields == shared.fields
    for field in first.run.space.shared.fields:
        mine, known = unseen.of(field)[unseen.has(field)], shared.of(field)[train]
        assert len(mine) == shared.has(field)[train].sum() > 0
        assert (mine @ known.T).max(1) == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_kept_is_refused(first: Workbench, own_shapes: Path, tmp_path: Path) -> None:
    def bench(name: str, data: Path = own_shapes, **settings: Any) -> Workbench:
        return Workbench(data, "shape", tmp_path / name, {**LIGHT, **settings})

    kept = {**LIGHT["align"], "base": str(first.folder)}
    with pytest.raises(GobelinError, match="has no shared space"):
        bench("a", align={**kept, "base": str(tmp_path)}).check()
    lacking = without(own_shapes, ["caption"], own_shapes.parent / "silent.csv")
    with pytest.raises(GobelinError, match="has the field 'caption'"):
        _ = bench("b", lacking, align=kept).run.space.alignment
    with pytest.raises(GobelinError, match="other encoders"):
        coarse = {**LIGHT["encoders"], "text": {"name": "words"}}
        _ = bench("c", align=kept, encoders=coarse).run.space.alignment


class Named:
    """An encoder that names its own columns."""

    def __init__(self, inner: Any, classes: Classes) -> None:
        self.inner, self.named = inner, classes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def classes(self) -> Classes:
        return self.named


def test_a_bridge_holds_the_names_read_by_the_field_of_words(
    shapes_reader: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = shapes_reader.encoders["image"].width
    named = Classes(
        np.ones((width, 2), np.float32), np.zeros(2, np.float32), ("red disc", "blue square")
    )
    inner = shapes_reader.encoders["image"]
    members = {
        k: lambda *a, k=k: getattr(inner, k)(*a)
        for k in ("key", "decode", "embed", "fingerprint", "save")
    }
    told = type(
        "Told",
        (Named,),
        {"width": width, "module": None, **{k: staticmethod(v) for k, v in members.items()}},
    )
    assert isinstance(told(inner, named), NamesClasses)
    reader = Embedder(shapes_reader.schema, {**shapes_reader.encoders, "image": told(inner, named)})
    (bridge,) = kept_space.bridges_of(reader)
    read = shapes_reader.embed_column("caption", "caption", ["red disc", "blue square"], Path())
    assert (bridge.field, bridge.to) == ("image", "caption") and np.array_equal(
        bridge.words, read.features["caption"]
    )
    assert kept_space.bridges_of(shapes_reader) == []
    cached = replace(reader, cache=tmp_path)
    (once,) = kept_space.bridges_of(cached)
    monkeypatch.setattr(cached.encoders["caption"], "embed", None)
    (again,) = kept_space.bridges_of(cached)  # a thousand names are encoded once a run
    assert np.array_equal(once.words, bridge.words) and np.array_equal(again.words, bridge.words)


def test_the_image_encoder_names_what_its_network_was_trained_on(runtime: Runtime) -> None:
    """A thousand names in the order of the network's outputs."""
    pytest.importorskip("efficientnet_lite_pytorch")
    fitted = Image().fit([], None, {}, runtime)  # type: ignore[arg-type]
    named = fitted.classes()
    if named is None:
        pytest.skip("the list of names is not installed")
    assert named.weight.shape == (1280, 1000) and len(named.texts) == len(named.bias) == 1000
    assert named.texts[0].startswith("tench") and "goldfish" in named.texts[1]
