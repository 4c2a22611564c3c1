"""Planted truths, 2,000 training rows: noise, the one field that tells, a pair; and whether heads
know what a missing field is.

Oracles: how the rows were made, and the members of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Target
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.prediction import pool_choice, predictor
from gobelin.prediction.attribution.parts import Attribution, answers_of
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.explainers import Question
from gobelin.prediction.predictor import Model

TRAIN, N = 2000, 2060
EMBEDDER = Embedder(None, {})  # type: ignore[arg-type] - fields are explained by their features


def rows_of(features: dict[str, np.ndarray]) -> Embeddings:
    floats = {f: x.astype(np.float32) for f, x in features.items()}
    ids = tuple(map(str, range(N)))
    return Embeddings(tuple(floats), floats, np.ones((N, len(floats)), bool), ids, "planted")


def fitted(x: Embeddings, label: np.ndarray, members: Sequence[Mapping[str, Any]] = ()) -> Model:
    """The default pool, chosen as `--fusion auto` does, or a pool of these heads."""
    classes = tuple("abc"[: label.max() + 1])
    target = Target("y", "class", label, classes, np.ones(len(classes), bool))
    weights = np.ones(N, np.float32)
    training = Training(Predict(), x, target, np.arange(TRAIN), list(x.ids), weights, Runtime())
    settings: Mapping[str, Any] = {"members": list(members)}
    if not members:
        settings = pool_choice.choose(training).settings
    return predictor.fit("pool", catalog.build("fusion", "pool", settings), training)


def explained(model: Model, x: Embeddings, rows: Sequence[Embeddings] = ()) -> list[Attribution]:
    """These rows, or sixty that the model has not seen."""
    modality, out = catalog.build("explainers", "modality"), []
    for row in rows or [x.rows([TRAIN + k]) for k in range(N - TRAIN)]:
        drawn = x.rows(np.arange(0, TRAIN, 20))
        output = int(model.predict(row).class_indices[0])
        question = Question(
            row,
            {},
            x.fields,
            EMBEDDER,
            Path(),
            lambda rows: answers_of(model.predict(rows)),
            output,
            drawn,
            {},
            0,
        )
        found = modality.explain(modality.parts(question), 0)
        assert found.values.sum() == pytest.approx(found.whole - found.base, abs=1e-6)
        out.append(found)
    return out


@pytest.fixture(scope="module")
def carried() -> tuple[Embeddings, Model]:
    """A field holds the class, another holds nothing."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, N)
    carrier = rng.normal(size=(3, 8))[label] * 1.2 + rng.normal(size=(N, 8))
    x = rows_of({"noise": rng.normal(size=(N, 3)), "carrier": carrier})
    return x, fitted(x, label)


def test_noise_gets_under_two_per_cent_and_the_field_that_tells_over_95(
    carried: tuple[Embeddings, Model],
) -> None:
    x, model = carried
    shares = np.mean([one.shares for one in explained(model, x)], 0)
    assert shares[1] > 0.95 and shares[0] < 0.02, shares


def test_what_a_row_lacks_is_missing_in_every_answer(carried: tuple[Embeddings, Model]) -> None:
    """The answer that the effects add up to is the one that the row gets, and without the fields
    that it has, it has none. Oracle: the model's own answer."""
    x, model = carried
    row = x.rows([TRAIN]).only(("carrier",))
    other = model.predict(x.rows(np.arange(0, TRAIN, 20)).only(("carrier",)))
    [found] = explained(model, x, [row])
    output = int(model.predict(row).class_indices[0])
    assert found.parts == ("carrier",)
    assert found.whole == pytest.approx(answers_of(model.predict(row))[0, output])
    assert found.base == pytest.approx(answers_of(other)[:, output].mean())


def test_a_pair_shows_as_an_interaction_and_not_as_effects_of_each_alone() -> None:
    """The class is whether two signs agree, beside a field of noise."""
    rng = np.random.default_rng(1)
    signs = rng.choice([-1, 1], size=(N, 2))
    x = rows_of(
        {
            "one": signs[:, [0]] + 0.2 * rng.normal(size=(N, 1)),
            "two": signs[:, [1]] + 0.2 * rng.normal(size=(N, 1)),
            "noise": rng.normal(size=(N, 2)),
        }
    )
    # what `--fusion auto` chooses for these rows, to two digits
    heads = {"linear": 0.08, "dropout": 0.08, "boosted": 0.84}
    members = [{"head": head, "share": share} for head, share in heads.items()]
    found = explained(fitted(x, (signs.prod(1) > 0).astype(int), members), x)
    pairs = np.mean([one.pairs for one in found], 0)
    alone = np.abs(np.mean([one.main for one in found], 0))
    assert pairs[0, 1] > 10 * max(alone) and pairs[0, 1] > 20 * np.abs(pairs[2]).max()


def test_every_head_of_the_default_knows_a_missing_field_or_is_silent_about_it(
    carried: tuple[Embeddings, Model],
) -> None:
    """A head has learned with fields hidden, or it takes no part in the answer for a row that lacks
    a field that it reads. So hiding a field as missing changes which heads answer, and that is why
    other rows' values take its place."""
    x, model = carried
    lacking = x.rows(np.arange(5)).only(("carrier",))
    pool: Any = model.predictor
    heard = {
        (one.member.head, one.member.fields): bool(pool.inputs.heard(one.member, lacking).all())
        for one in pool.fitted
    }
    assert any(head == "dropout" for head, _ in heard) and len(heard) > 1
    for (head, fields), answers in heard.items():
        reads_noise = not fields or "noise" in fields
        assert answers == (head == "dropout" or not reads_noise), (head, fields)
