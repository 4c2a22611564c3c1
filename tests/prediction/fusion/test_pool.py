"""The pool beyond the contract of all fusions: the mix of classes, and what it saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.files import load_arrays, save_arrays
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads.job import Job

RNG = np.random.default_rng(0)
N = 300
LABEL = RNG.choice(3, N, p=[0.7, 0.2, 0.1])
HEADS = {"members": [{"head": h, "trees": 10} for h in ("linear", "dropout", "boosted", "forest")]}


def rows() -> Embeddings:
    x = RNG.normal(size=(N, 6)) + LABEL[:, None] * np.linspace(0, 1, 6)
    two = {"a": x.astype(np.float32), "b": RNG.normal(size=(N, 3)).astype(np.float32)}
    return Embeddings(("a", "b"), two, np.ones((N, 2), bool), tuple(map(str, range(N))), "s")


TARGET = Target("y", "class", LABEL, ("a", "b", "c"), np.ones(3, bool))


def job(weights: np.ndarray) -> Job:
    return Job(np.arange(N), weights.astype(np.float32))


def test_weights_of_classes_move_the_logits_and_nothing_else(runtime: Runtime) -> None:
    """Saerens et al. 2002: in a mix where class c is w_c times as common, its logit is larger by
    log w_c, up to a number that all classes share."""
    x, times = rows(), np.array([1.0, 3.0, 8.0])
    pool = catalog.build("fusion", "pool", HEADS)
    jobs = [job(np.ones(N)), job(times[LABEL])]
    plain, weighed = pool.fit(x, TARGET, jobs, np.arange(N), runtime, silent)
    moved = weighed.scores(x) - plain.scores(x)
    assert np.allclose(moved - moved[:, :1], np.log(times / times[0]), atol=1e-4)


def test_what_is_saved_are_plain_arrays_and_a_damaged_table_is_refused(
    runtime: Runtime, tmp_path: Path
) -> None:
    x, pool = rows(), catalog.build("fusion", "pool", HEADS)
    (fitted,) = pool.fit(x, TARGET, [job(np.ones(N))], np.arange(N), runtime, silent)
    fitted.save(tmp_path)
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors"}
    assert np.array_equal(pool.load(tmp_path).scores(x), fitted.scores(x))
    arrays = load_arrays(tmp_path / "weights.safetensors")
    arrays["2/left"] = np.zeros_like(arrays["2/left"])  # node 0 is its own child
    save_arrays(tmp_path / "weights.safetensors", arrays)
    with pytest.raises(ValueError, match="points outside"):
        pool.load(tmp_path)


def test_a_number_is_answered_in_its_own_unit(runtime: Runtime) -> None:
    x = rows()
    values = 1000 + 50 * x.features["a"][:, 5].astype(np.float64)
    pool = catalog.build("fusion", "pool", HEADS)
    (fitted,) = pool.fit(
        x, Target("y", "number", values), [job(np.ones(N))], np.arange(N), runtime, silent
    )
    error = fitted.scores(x)[:, 0] - values
    assert np.sqrt((error**2).mean()) < 0.5 * values.std() and abs(error.mean()) < 5


def test_heads_without_a_field_answer_for_rows_that_lack_it(runtime: Runtime) -> None:
    """Planted: the class stands in `a`. A row without it gets about the classes' shares."""
    x, pool = rows(), catalog.build("fusion", "pool", HEADS)
    (fitted,) = pool.fit(x, TARGET, [job(np.ones(N))], np.arange(N), runtime, silent)
    p = np.exp(fitted.scores(replace(x, present=np.tile([False, True], (N, 1)))))
    assert np.allclose(p.mean(0) / p.sum(1).mean(), np.bincount(LABEL) / N, atol=0.1)


def test_rows_without_words_are_answered(runtime: Runtime) -> None:
    """As rows of generated images, which have no text. With words that tell the class, and the
    words left out, the answer is that of rows whose words are the mean."""
    x = rows()
    words = {"a": (np.eye(3)[LABEL] + 0.1 * RNG.normal(size=(N, 3))).astype(np.float32)}
    spoken = replace(x, words=words)
    pool = catalog.build("fusion", "pool", {"members": [{"words": True}]})
    (fitted,) = pool.fit(spoken, TARGET, [job(np.ones(N))], np.arange(N), runtime, silent)
    mean = fitted.inputs.words["a"].mean[None].repeat(N, 0)
    assert np.allclose(fitted.scores(x), fitted.scores(replace(x, words={"a": mean})))
    both = spoken.join(x)
    assert not both.words["a"][N:].any() and np.array_equal(both.words["a"][:N], words["a"])
