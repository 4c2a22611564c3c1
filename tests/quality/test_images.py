"""Quality of made images: the distance recomputed from the encoder by hand, planted good and bad
generators, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import processor
import pytest
from scipy import linalg, ndimage

from gobelin import Workbench
from gobelin.augmentation import exhibits as study_exhibits
from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.image.images import png_bytes
from gobelin.data.samples.shapes import Shapes
from gobelin.embedding.encoders import TrainingCells
from gobelin.evidence.findings import Finding
from gobelin.quality.images import ImageSet, quality, second_name
from gobelin.quality.judge import Judge
from gobelin.report.exhibits import Exhibits

SIZE = 16
HOW = Judge(metrics=("coverage", "frechet", "kernel"), space_settings={"filters": 2})


def drawn(n: int, seed: int, colour: float = 0.0) -> ImageSet:
    """Bars of two directions, the classes, of any width, place and brightness. colour: how far they
    turn from grey to red."""
    rng = np.random.default_rng(seed)
    images = rng.normal(90, 8, (n, SIZE, SIZE, 3))
    labels = np.where(np.arange(n) % 3, "across", "down")
    for image, label in zip(images, labels, strict=True):
        start, width = rng.integers(0, 10), rng.integers(2, 6)
        part = (
            image[start : start + width] if label == "across" else image[:, start : start + width]
        )
        part += rng.uniform(50, 110) * np.array([1 + colour, 1 - colour, 1 - colour])
    return ImageSet(np.clip(images, 0, 255).astype(np.uint8), labels)


def noise(n: int) -> ImageSet:
    return ImageSet(
        np.random.default_rng(9).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8),
        np.repeat("across", n),
    )


TRAIN, HELD_OUT = drawn(500, 0), drawn(300, 1)


def values(found: list[Finding], label: str = "") -> dict[str, float]:
    return {
        f.name: f.value for f in found if f.scope.get("class", "") == label and f.value is not None
    }


def test_the_distance_is_that_of_the_encoders_features(runtime: Runtime) -> None:
    made = drawn(400, 2, 0.2)
    found = values(quality(HOW, TRAIN, HELD_OUT, made, "image", runtime))
    component = catalog.build("encoders", "convolution", {"filters": 2})
    cells = [{"image": png_bytes(i)} for i in TRAIN.images]
    encoder = component.fit(
        TrainingCells(cells),
        Field("image", "convolution", ("image",), "image"),
        {"image": "image"},
        runtime,
    )
    x, y = (
        encoder.embed(
            [encoder.decode({"image": png_bytes(i)}, Path())[0] for i in one.images]
        ).astype(float)
        for one in (TRAIN, made)
    )
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert found["frechet_distance"] == pytest.approx(expected, rel=1e-5)


def test_good_images_lie_near_the_floor_and_bad_ones_do_not(runtime: Runtime) -> None:
    whole = quality(HOW, TRAIN, HELD_OUT, drawn(300, 3), "image", runtime)
    good, red, bad = (
        values(quality(HOW, TRAIN, HELD_OUT, m, "image", runtime))
        for m in (drawn(300, 3), drawn(300, 4, 0.4), noise(300))
    )
    floors = {f.name: f.floor for f in whole if "class" not in f.scope}
    for name in ("precision", "recall", "coverage"):
        assert (
            good[name] == pytest.approx(floors[name], abs=0.1) and good[name] > red[name] + 0.2
        ), name
        assert bad[name] < 0.05, name
    assert (
        floors["frechet_distance"] * 0.5 < good["frechet_distance"] < floors["frechet_distance"] * 2
    )
    assert good["frechet_distance"] * 3 < red["frechet_distance"] < bad["frechet_distance"]


def test_every_metric_speaks_with_its_circumstances(runtime: Runtime) -> None:
    found = quality(replace(HOW, metrics=()), TRAIN, HELD_OUT, drawn(300, 3), "image", runtime)
    alone = [catalog.build("metrics", name) for name in catalog.names("metrics")]
    assert len({f.name for f in found}) >= len(alone) and {f.source for f in found} == {"metrics"}
    for one in found:
        assert (
            "feature net convolution, resize 16 pixels (area average" in one.note
            and one.better in ("higher", "lower")
            and one.n > 0
        )


def test_the_table_tells_the_circumstances(runtime: Runtime, tmp_path: Path) -> None:
    found = quality(
        replace(HOW, metrics=("coverage", "transfer")),
        TRAIN,
        HELD_OUT,
        drawn(300, 3),
        "image",
        runtime,
    )
    exhibits = Exhibits("audit", tmp_path, "verbs/audit", "")
    study_exhibits.quality(found, exhibits)
    (shown,) = exhibits.items
    table = json.loads((tmp_path / "quality.json").read_text(encoding="utf-8"))
    assert [row[table["columns"].index("n")] for row in table["rows"]] == ["300"] * 5
    assert shown.caption.count("Feature net convolution, resize 16 pixels") == 1
    assert "Chance of trained on generated images: 50.0 %." in shown.caption


def test_by_class_where_there_are_images_enough(runtime: Runtime) -> None:
    """40 rows of a class need a distance with fewer features; 4 rows give one line that says so."""
    few = ImageSet(
        drawn(300, 3).images, np.array(["across"] * 240 + ["down"] * 4 + ["never seen"] * 56)
    )
    found = quality(HOW, TRAIN, HELD_OUT, few, "image", runtime)
    assert {f.scope.get("class", "") for f in found} == {"", "across", "down"}
    assert {"precision", "coverage", "kernel_distance", "frechet_distance"} <= set(
        values(found, "across")
    )
    (silent,) = [f for f in found if f.scope.get("class") == "down"]
    assert silent.value is None and silent.verdict == "too few images to say"
    own = [ImageSet(s.images[s.labels == "across"], None) for s in (TRAIN, HELD_OUT, few)]
    settings = replace(
        HOW, space="pixels", space_settings={"frequencies": 2}
    )  # which learns nothing, so is the same for both
    of_class = values(quality(settings, TRAIN, HELD_OUT, few, "image", runtime), "across")
    assert of_class == values(quality(settings, *own, "image", runtime))


def test_the_space_is_never_the_generators_own(runtime: Runtime) -> None:
    made = drawn(60, 2)
    for own, other in (
        ("image", "convolution"),
        ("convolution", "pixels"),
        ("pixels", "convolution"),
    ):
        how = Judge(metrics=("coverage",))
        assert all(
            f"feature net {other}" in f.note
            for f in quality(how, TRAIN, HELD_OUT, made, own, runtime)
        )
    with pytest.raises(GobelinError, match="its own space flatters it"):
        quality(Judge(space="pixels"), TRAIN, HELD_OUT, made, "pixels", runtime)


def test_what_can_not_be_asked(runtime: Runtime) -> None:
    with pytest.raises(GobelinError, match="reads text"):
        quality(Judge(space="characters"), TRAIN, HELD_OUT, TRAIN, "image", runtime)
    with pytest.raises(GobelinError, match="no images"):
        quality(HOW, TRAIN, HELD_OUT, ImageSet(TRAIN.images[:0]), "image", runtime)
    silent = quality(HOW, TRAIN, ImageSet(TRAIN.images[:0]), drawn(60, 2), "image", runtime)
    assert all(f.floor is None for f in silent)


def test_audit_says_how_good_images_are(tmp_path: Path) -> None:
    """The verb, of a run whose image encoder is the space that would else be taken."""
    settings = {
        "runtime": processor.SETTINGS,
        "encoders": {
            "image": {"name": "convolution", "filters": 8},
            "text": {"name": "characters"},
        },
        "align": {"width": 16, "steps": 20},
        "fusion": {"settings": {"steps": 20}},
        "generator": {"steps": 8, "size": 16, "settings": {"width": 8, "batch": 16}},
        "augment": {"ratio": 0.5},
        "judge": {"planted": 20, "metrics": ["coverage", "kernel"]},
    }
    source = Shapes(rows=160).write(tmp_path / "data", seed=3)
    bench = Workbench(source, target="shape", run=tmp_path / "run", settings=settings)
    bench.fit(generator=True)
    found = [f for f in bench.audit() if "feature net" in f.note]
    assert {f.scope["generator seed"] for f in found} == {"0"} and all(
        "feature net pixels" in f.note and f.source == "audit" for f in found
    )
    whole = {f.name: f for f in found if "class" not in f.scope}
    assert {"precision", "recall", "density", "coverage", "kernel_distance"} <= set(whole)
    assert whole["precision"].value < whole["precision"].floor  # eight steps of training make noise


def test_volumes_are_judged_in_a_space_of_volumes() -> None:
    """Real volumes score as real ones, noise far from it; the run's own encoder is not the judge.
    Oracle: planted sets."""
    rng = np.random.default_rng(0)

    def smooth(n: int) -> np.ndarray:
        rough = ndimage.gaussian_filter(rng.normal(size=(n, 8, 8, 8, 1)), (0, 1, 1, 1, 0))
        return np.clip(128 + 60 * rough / rough.std(), 0, 255).astype(np.uint8)

    noise = rng.integers(0, 256, (120, 8, 8, 8, 1)).astype(np.uint8)
    train, holdout, alike = smooth(120), smooth(120), smooth(120)
    scores = []
    for made in (alike, noise):
        sets = (ImageSet(train), ImageSet(holdout), ImageSet(made))
        found = quality(Judge(metrics=("frechet",)), *sets, "volume", processor.RUNTIME)
        scores.append(next(f for f in found if f.name == "frechet_distance"))
    assert "against 120 real" in scores[0].note
    alike_score, noise_score = (score.value / score.floor for score in scores)
    assert alike_score < 1.5 and noise_score > 4
    assert second_name(Judge(), "voxels", train) == "volume"
