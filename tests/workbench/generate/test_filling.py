"""Filling in a hidden image, on planted rows where it must pay and where it can't, and each filling
against a second way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import processor
import pytest
from sklearn.linear_model import Ridge

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Target
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.features import Embeddings
from gobelin.prediction import predictor
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.predictor import Model
from gobelin.workbench.generate import filling
from gobelin.workbench.generate.filling import FILLED, gains, nearest_features, ridge_features

N, D = 400, 6
WITHOUT = np.arange(200, 300)  # training rows without a label, the only ones that have both fields
VALID = np.arange(300, N)


def planted(seed: int = 0) -> tuple[Embeddings, np.ndarray]:
    """The text says what the image shows (a rotation of it). Labelled training rows have the image
    alone, so a head learns nothing of the text: a row whose image is hidden can be read only
    through its image, made from its text."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, N)
    image = 4 * np.eye(3)[label] @ rng.normal(size=(3, D)) + rng.normal(size=(N, D))
    text = image @ np.linalg.qr(rng.normal(size=(D, D)))[0]
    present = np.ones((N, 2), bool)
    present[:200, 1] = False
    features = {
        "image": image.astype(np.float32),
        "text": np.where(present[:, [1]], text, 0).astype(np.float32),
    }
    return (
        Embeddings(("image", "text"), features, present, tuple(map(str, range(N))), "space"),
        label,
    )


X, LABEL = planted()
TARGET = Target("y", "class", LABEL, ("a", "b", "c"), np.ones(3, bool))


@pytest.fixture(scope="module")
def model(runtime: Runtime) -> Model:
    taught = np.arange(200)
    fusion = catalog.build("fusion", "concat", {"steps": 80})
    how = Training(
        Predict(decays=(1e-3,)), X, TARGET, taught, list(X.ids), np.ones(N, np.float32), runtime
    )
    return predictor.fit("concat", fusion, how)


def filled(features: np.ndarray) -> list[Embeddings]:
    return filling._shown(X.rows(VALID).only(["text"]), "image", features[None])


def test_a_filling_that_pays_is_found_and_one_that_is_noise_is_not(model: Model) -> None:
    rng = np.random.default_rng(1)
    groups = [str(r) for r in VALID]
    fills = {
        "ridge": filled(ridge_features(X, "image", ["text"], WITHOUT, VALID)),
        "real": filled(X.features["image"][VALID]),
        "other": filled(X.features["image"][rng.permutation(VALID)]),
    }
    found = {
        f.scope["by"]: f
        for f in gains(model, [X.rows(VALID).only(["text"])], fills, TARGET.rows(VALID), groups)
    }
    assert (
        found["ridge"].verdict == found["real"].verdict == "helped" and found["ridge"].value > 0.4
    )
    assert found["other"].verdict != "helped" and found["real"].value >= found["ridge"].value - 0.05
    assert all(
        f.name == FILLED and f.comparator == "masked image" and f.n == len(VALID)
        for f in found.values()
    )


def test_several_fillings_of_a_row_are_averaged(model: Model) -> None:
    """The probabilities of two fillings, averaged by hand, in the mix that decides."""
    one, two = X.features["image"][VALID], X.features["image"][VALID[::-1]]
    weighed = [model.predict(filled(f)[0]).weighed for f in (one, two)]
    by_hand = np.mean(weighed, axis=0).argmax(1) == LABEL[VALID]
    both = filling._right(model, [*filled(one), *filled(two)], TARGET.rows(VALID))
    assert np.array_equal(both, by_hand.astype(float))


def test_a_number_is_judged_by_its_error(runtime: Runtime) -> None:
    number = Target("y", "number", X.features["image"][:, 0].astype(float))
    how = Training(
        Predict(decays=(1e-4,)),
        X,
        number,
        np.arange(200),
        list(X.ids),
        np.ones(N, np.float32),
        runtime,
    )
    fitted = predictor.fit("concat", catalog.build("fusion", "concat", {"steps": 80}), how)
    groups, hidden = [str(r) for r in VALID], [X.rows(VALID).only(["text"])]
    (found,) = gains(
        fitted, hidden, {"real": filled(X.features["image"][VALID])}, number.rows(VALID), groups
    )
    wrong = [
        fitted.predict(x[0]).values - number.values[VALID]
        for x in (hidden, filled(X.features["image"][VALID]))
    ]
    assert found.verdict == "helped"
    assert found.value == pytest.approx(
        np.sqrt((wrong[0] ** 2).mean()) - np.sqrt((wrong[1] ** 2).mean())
    )


def test_the_nearest_row_lends_its_features() -> None:
    """Against a search by hand over cosines; the image's own vectors are not looked at."""
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(N, 2, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    shared = Shared(("image", "text"), vectors, np.ones((N, 2), bool), X.ids, "space")
    found = nearest_features(X, shared, "image", ["text"], WITHOUT, VALID)
    best = WITHOUT[(vectors[VALID, 1] @ vectors[WITHOUT, 1].T).argmax(1)]
    assert np.array_equal(found, X.features["image"][best])


def test_the_ridge_regression_is_the_closed_form() -> None:
    """With its own penalty, scikit-learn's ridge on the raw features says the same, for a rotation
    changes nothing."""
    found = ridge_features(X, "image", ["text"], WITHOUT, VALID)
    text = X.features["text"].astype(float)
    scale = np.sqrt(text[WITHOUT].var(0).mean())
    each = [
        Ridge(p)
        .fit(text[WITHOUT] / scale, X.features["image"][WITHOUT])
        .predict(text[VALID] / scale)
        for p in filling.PENALTIES
    ]
    assert min(np.abs(found - one).max() for one in each) < 1e-3


def test_the_showcase_of_a_generator_says_it(shapes_file: Path, tmp_path: Path) -> None:
    settings = {
        "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
        "fusion": {"settings": {"steps": 40}},
        "predict": {"decays": (1e-3,), "folds": 2},
        "align": {"steps": 0},
        "generator": {"name": "procedural", "size": 16},
        "runtime": processor.SETTINGS,
    }
    bench = Workbench(shapes_file, "shape", tmp_path / "run", settings)
    bench.fit(generator=True)
    assert not [f for f in bench.evaluate() if f.name == FILLED]
    found = {f.scope["by"]: f for f in bench.showcase([]) if f.name == FILLED}
    assert set(found) == {"made", "nearest", "ridge", "the real image"}
    assert all(
        f.low <= f.value <= f.high and f.verdict in ("helped", "harmed", "no evidence")
        for f in found.values()
    )
