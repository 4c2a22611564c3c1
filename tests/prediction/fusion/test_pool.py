"""The pool beyond the contract of all fusions: the mix of classes, and what it saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rows_in import rows_found
from scipy import special

from gobelin.core import catalog
from gobelin.core.files import load_arrays, read_json, save_arrays, write_json
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads.job import Job

RNG = np.random.default_rng(0)
N = 300
LABEL = RNG.choice(3, N, p=[0.7, 0.2, 0.1])
KINDS_OF_HEAD = ("linear", "kernel", "near", "dropout", "boosted", "deep", "forest")
HEADS = {"members": [{"head": h, "trees": 10} for h in KINDS_OF_HEAD]}


def rows() -> Embeddings:
    x = RNG.normal(size=(N, 6)) + LABEL[:, None] * np.linspace(0, 1, 6)
    two = {"a": x.astype(np.float32), "b": RNG.normal(size=(N, 3)).astype(np.float32)}
    return Embeddings(("a", "b"), two, np.ones((N, 2), bool), tuple(map(str, range(N))), "s")


NAMES = ("a", "b", "c")
TARGET = Target("y", "class", LABEL, NAMES, np.ones(3, bool))
ORDERED = {"members": [*HEADS["members"], {"head": "ordered"}]}
HELD = np.stack([LABEL > 0, LABEL > 1, RNG.random(N) < 0.2], 1).astype(np.int64)
# target, settings, and how scores become probabilities
KINDS = {
    "ordinal": (Target("y", "ordinal", LABEL, NAMES, np.ones(3, bool)), ORDERED, np.exp),
    "labels": (Target("y", "labels", HELD, NAMES, np.ones(3, bool)), HEADS, special.expit),
}


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
    left = f"{KINDS_OF_HEAD.index('boosted')}/left"
    arrays[left] = np.zeros_like(arrays[left])  # node 0 is its own child
    save_arrays(tmp_path / "weights.safetensors", arrays)
    with pytest.raises(ValueError, match="points outside"):
        pool.load(tmp_path)


@pytest.mark.parametrize("width", [3, 64, 65, 200])
def test_a_wide_table_is_read_as_it_was_also_by_an_older_pool(
    width: int, runtime: Runtime, tmp_path: Path
) -> None:
    """A pool that names no field that its trees read whole is of before there were any."""
    x, pool = rows(), catalog.build("fusion", "pool", HEADS)
    wide = RNG.normal(size=(N, width)).astype(np.float32)
    x = replace(x, features={**x.features, "b": wide})
    for tables in (frozenset({"a", "b"}), frozenset[str]()):
        given = replace(x, tables=tables)
        (fitted,) = pool.fit(given, TARGET, [job(np.ones(N))], np.arange(N), runtime, silent)
        fitted.save(tmp_path)
        assert np.array_equal(pool.load(tmp_path).scores(x), fitted.scores(x))
    config = read_json(tmp_path / "config.json")
    assert config.pop("whole") == (["a", "b"] if width <= 64 else ["a"])
    write_json(tmp_path / "config.json", config)
    assert np.array_equal(pool.load(tmp_path).scores(x), fitted.scores(x))


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


@pytest.mark.parametrize("kind", KINDS)
def test_levels_and_labels_are_told_saved_and_told_again(
    kind: str, runtime: Runtime, tmp_path: Path
) -> None:
    """Planted in `a`. A row without it gets about the shares of the rows; one without any field
    too, as every head then answers."""
    target, settings, probabilities = KINDS[kind]
    x, pool = rows(), catalog.build("fusion", "pool", settings)
    train, weights = np.arange(200), np.ones(200, np.float32)
    (fitted,) = pool.fit(x, target, [Job(train, weights)], train, runtime, silent)
    p = probabilities(fitted.scores(x))
    truth = HELD if kind == "labels" else np.eye(3)[LABEL]
    shares = truth[:200].mean(0)
    own = -np.log(np.where(truth[200:] == 1, p[200:], 1 - p[200:])).mean()
    guessed = -np.log(np.where(truth[200:] == 1, shares, 1 - shares)).mean()
    assert own < 0.9 * guessed
    hidden = probabilities(fitted.scores(replace(x, present=np.tile([False, True], (N, 1)))))
    assert np.allclose(hidden.mean(0), shares, atol=0.1)
    fitted.save(tmp_path)
    assert np.array_equal(pool.load(tmp_path).scores(x), fitted.scores(x))
    assert pool.load(tmp_path).fingerprint() == fitted.fingerprint()


def test_one_label_is_no_number(runtime: Runtime) -> None:
    target = Target("y", "labels", HELD[:, :1], NAMES[:1], np.ones(1, bool))
    pool = catalog.build("fusion", "pool", HEADS)
    (fitted,) = pool.fit(rows(), target, [job(np.ones(N))], np.arange(N), runtime, silent)
    p = special.expit(fitted.scores(rows()))
    assert p.shape == (N, 1) and p[HELD[:, 0] == 1].mean() > p[HELD[:, 0] == 0].mean() + 0.1


@pytest.mark.parametrize("kind", [*KINDS, "class", "number"])
def test_no_head_saves_a_row(kind: str, runtime: Runtime, tmp_path: Path) -> None:
    """With an outlier that would be a component alone, and more features than rows."""
    rng, n = np.random.default_rng(2), 40
    x = rng.normal(size=(n, 60)).astype(np.float32)
    x[-1] *= 40
    few = Embeddings(("f",), {"f": x}, np.ones((n, 1), bool), tuple(map(str, range(n))), "s")
    target, settings, _ = KINDS.get(kind, (TARGET, HEADS, None))
    values = (np.arange(n) % 3) if kind != "labels" else HELD[:n]
    target = replace(target, values=values)
    if kind == "number":
        target = Target("y", "number", rng.normal(size=n))
    pool = catalog.build("fusion", "pool", settings)
    ones = np.ones(n, np.float32)
    (fitted,) = pool.fit(few, target, [Job(np.arange(n), ones)], np.arange(n), runtime, silent)
    fitted.save(tmp_path)
    assert rows_found(tmp_path, x, same=0.95) == []


def test_the_head_with_dropout_has_its_own_decay(runtime: Runtime) -> None:
    """Oracle: `concat` with that decay. The job's decay is that of another fusion."""
    x, ones = rows(), np.ones(N, np.float32)
    member = {"head": "dropout", "decay": 0.3}
    jobs = [Job(np.arange(N), ones, 0, decay) for decay in (1e-4, 0.3)]
    pool = catalog.build("fusion", "pool", {"members": [member]})
    first, _ = pool.fit(x, TARGET, jobs, np.arange(N), runtime, silent)
    concat = catalog.build("fusion", "concat")
    alone = concat.fit(x, TARGET, jobs[1:], np.arange(N), runtime, silent)[0]
    off = special.softmax(first.scores(x), 1) - special.softmax(alone.scores(x), 1)
    assert np.abs(off).max() < 1e-5
