"""The shared space against a planted latent, scipy's generalised eigenproblem, scikit-learn's CCA
and a ridge baseline."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, silent
from gobelin.embedding.alignment import contrastive_training
from gobelin.embedding.alignment.align import (
    CLOSED_FORM,
    CONTRASTIVE,
    Align,
    Alignment,
    Shared,
)
from gobelin.embedding.alignment.binding import bind
from gobelin.embedding.alignment.bridges import Bridge, bridged, centred
from gobelin.embedding.alignment.closed_form import reciprocal_ranks
from gobelin.embedding.alignment.contrastive_training import (
    LEAST_GAIN,
    STEPS_A_CHECK,
    WORST_LOSS,
)
from gobelin.embedding.alignment.fitting import better, fit_alignment
from gobelin.embedding.features import Embeddings

WIDTHS = {"image": 30, "text": 20, "table": 25}
LATENT = 8


def planted(
    n: int, noise: float = 0.7, missing: float = 0.0, seed: int = 0, extra: int = 0
) -> Embeddings:
    """Three fields that are linear maps of one latent, with noise and cells missing; `extra`
    columns of a field that isn't."""
    fixed, rng = np.random.default_rng(99), np.random.default_rng(seed)
    latent = rng.normal(size=(n, LATENT))
    features = {
        f: latent @ fixed.normal(size=(LATENT, w)) + noise * rng.normal(size=(n, w)) + 3
        for f, w in WIDTHS.items()
    }
    if extra:
        features["alone"] = 5 * rng.normal(size=(n, extra))
    present = rng.random((n, len(features))) >= missing
    features = {
        f: np.where(present[:, k, None], x, 0).astype(np.float32)
        for k, (f, x) in enumerate(features.items())
    }
    return Embeddings(
        tuple(features), features, present, tuple(f"r{seed}-{k}" for k in range(n)), "space"
    )


def names(x: Embeddings) -> list[str]:
    return list(x.ids)


def recall_at_1(left: np.ndarray, right: np.ndarray) -> float:
    """A second implementation, row by row: the share of left rows whose own right row has the
    largest cosine."""
    hits = 0
    for k, query in enumerate(left):
        cosines = [float(query @ r) / (np.linalg.norm(query) * np.linalg.norm(r)) for r in right]
        hits += int(np.argmax(cosines)) == k
    return hits / len(left)


def recalls(shared: Shared, rows: np.ndarray) -> dict[tuple[str, str], float]:
    return {
        (a, b): recall_at_1(shared.of(a)[rows], shared.of(b)[rows])
        for a, b in permutations(shared.fields, 2)
    }


@pytest.fixture(scope="module")
def fitted(runtime: Runtime) -> Alignment:
    train = planted(500, missing=0.25)
    return fit_alignment(Align(width=16, steps=60), train, names(train), runtime)


def test_fresh_rows_are_found_as_well_as_a_ridge_finds_them(fitted: Alignment) -> None:
    train, fresh = planted(500, missing=0.25), planted(200, seed=1)
    found = recalls(fitted.project(fresh), np.arange(200))
    ridge = {}
    for a, b in permutations(train.fields, 2):
        both = train.present[:, train.fields.index(a)] & train.present[:, train.fields.index(b)]
        model = Ridge(alpha=1.0).fit(train.features[a][both], train.features[b][both])
        centre = train.features[b][both].mean(0)
        ridge[a, b] = recall_at_1(
            model.predict(fresh.features[a]) - centre, fresh.features[b] - centre
        )
    assert min(found.values()) > 40 / 200
    assert all(found[pair] >= ridge[pair] - 0.03 for pair in found), (found, ridge)
    assert np.mean(list(found.values())) > np.mean(list(ridge.values())) - 1e-9


def test_fields_that_share_nothing_are_found_by_chance_alone(runtime: Runtime) -> None:
    def unrelated(seed: int) -> Embeddings:
        parts = [planted(300, seed=10 * seed + k) for k in range(3)]
        features = {f: p.features[f] for f, p in zip(WIDTHS, parts, strict=True)}
        return Embeddings(tuple(WIDTHS), features, parts[0].present, parts[0].ids, "space")

    train = unrelated(1)
    found = recalls(
        fit_alignment(Align(width=16, steps=40), train, names(train), runtime).project(
            unrelated(2)
        ),
        np.arange(300),
    )
    assert np.mean(list(found.values())) < 5 / 300


@pytest.mark.parametrize("fields", [("image", "text"), ("image", "text", "table")])
@pytest.mark.parametrize("shrinkage", [1e-6, 1.0])
def test_closed_form_is_the_generalised_eigenproblem(
    fields: tuple[str, ...], shrinkage: float, runtime: Runtime
) -> None:
    """A v = (1 + s) B v, A the covariances of all fields, B their blocks on the diagonal plus the
    ridge."""
    train = replace(planted(400).keep(fields), least_groups=1)  # with exact means
    width = 5
    found = fit_alignment(
        Align(
            width=width, joint=width, pairs=0, steps=0, shrinkage=shrinkage, landmarks=0, power=1
        ),
        train,
        names(train),
        runtime,
    )
    assert found.trained_by == CLOSED_FORM
    x = [
        train.features[f].astype(np.float64) - train.features[f].mean(0, dtype=np.float64)
        for f in train.fields
    ]
    covariance = np.cov(np.concatenate(x, 1).T, bias=True)
    within = np.zeros_like(covariance)
    edges = np.cumsum([0, *(v.shape[1] for v in x)])
    for k in range(len(x)):
        own = slice(edges[k], edges[k + 1])
        block = covariance[own, own]
        within[own, own] = block + shrinkage * np.trace(block) / len(block) * np.eye(len(block))
        covariance[own, own] = 0
    values, vectors = scipy.linalg.eigh(covariance, within)
    top = np.argsort(-values)[:width]
    wanted = vectors[:, top] * values[top] / values[top[0]]
    got = np.concatenate([found.arrays[f"{f}/projection"] for f in train.fields])
    got = got * np.sign((got * wanted).sum(0))
    assert np.allclose(got, wanted, atol=2e-4 * np.abs(wanted).max())


def test_closed_form_of_two_fields_is_cca(runtime: Runtime) -> None:
    train = replace(planted(400).keep(("image", "text")), least_groups=1)  # with exact means
    found = fit_alignment(
        Align(width=3, joint=3, pairs=0, steps=0, shrinkage=1e-9, landmarks=0, power=1),
        train,
        names(train),
        runtime,
    )
    left, right = (
        (train.features[f] - found.arrays[f"{f}/mean"]) @ found.arrays[f"{f}/projection"]
        for f in ("image", "text")
    )
    model = CCA(n_components=3, max_iter=5000, tol=1e-10).fit(
        train.features["image"], train.features["text"]
    )
    theirs = model.transform(train.features["image"], train.features["text"])
    for k in range(3):
        assert abs(np.corrcoef(left[:, k], theirs[0][:, k])[0, 1]) > 0.999
        ours, reference = (
            np.corrcoef(left[:, k], right[:, k])[0, 1],
            np.corrcoef(theirs[0][:, k], theirs[1][:, k])[0, 1],
        )
        assert ours == pytest.approx(reference, abs=1e-3)


def test_a_field_that_shares_nothing_gets_no_weight(runtime: Runtime) -> None:
    train = planted(3000, extra=6)
    found = fit_alignment(
        Align(width=LATENT, joint=LATENT, pairs=0, steps=0, landmarks=0, power=1),
        train,
        names(train),
        runtime,
    )
    sizes = {}
    for k, f in enumerate(train.fields):
        z = (train.features[f] - found.arrays[f"{f}/mean"]) @ found.arrays[f"{f}/projection"]
        sizes[f] = float(np.sqrt((z**2).mean()))
        assert train.fields[k] == f
    assert sizes["alone"] < 0.1 * min(v for f, v in sizes.items() if f != "alone"), sizes


def test_unit_length_where_present_and_zero_elsewhere(fitted: Alignment) -> None:
    rows = planted(60, missing=0.5, seed=3)
    shared = fitted.project(rows)
    assert shared.vectors.dtype == np.float32 and shared.vectors.shape == (60, 3, 16)
    lengths = np.linalg.norm(shared.vectors, axis=2)
    assert (
        np.allclose(lengths[rows.present], 1, atol=1e-5) and not shared.vectors[~rows.present].any()
    )
    for k in range(60):  # pooled, written out
        mean = np.mean(
            [shared.vectors[k, f] for f in range(3) if rows.present[k, f]] or [np.zeros(16)], axis=0
        )
        wanted = mean / np.linalg.norm(mean) if rows.present[k].any() else mean
        assert np.allclose(shared.pooled()[k], wanted, atol=1e-5)
    assert np.array_equal(shared.has("text"), rows.present[:, 1]) and np.array_equal(
        shared.of("text"), shared.vectors[:, 1]
    )


def test_absent_features_are_not_read(fitted: Alignment) -> None:
    rows = planted(40, missing=0.5, seed=4)
    other = {
        f: np.where(rows.present[:, k, None], v, 7).astype(np.float32)
        for k, (f, v) in enumerate(rows.features.items())
    }
    changed = Embeddings(rows.fields, other, rows.present, rows.ids, rows.space)
    assert np.array_equal(fitted.project(changed).vectors, fitted.project(rows).vectors)


def test_what_is_absent_in_training_teaches_nothing(fitted: Alignment, runtime: Runtime) -> None:
    rows = planted(500, missing=0.25)
    other = {
        f: np.where(rows.present[:, k, None], v, 50).astype(np.float32)
        for k, (f, v) in enumerate(rows.features.items())
    }
    again = fit_alignment(
        Align(width=16, steps=60),
        Embeddings(rows.fields, other, rows.present, rows.ids, rows.space),
        names(rows),
        runtime,
    )
    assert np.allclose(again.project(rows).vectors, fitted.project(rows).vectors, atol=1e-5)


@pytest.mark.parametrize("change", ["space", "fields"])
def test_another_encoder_space_is_refused(change: str, fitted: Alignment) -> None:
    rows = planted(4)
    if change == "space":
        rows = Embeddings(rows.fields, rows.features, rows.present, rows.ids, "another")
    else:
        rows = rows.keep(("image", "text"))
    with pytest.raises(GobelinError, match="other encoders"):
        fitted.project(rows)


def test_saved_and_loaded_is_the_same_to_the_bit(fitted: Alignment, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded, rows = Alignment.load(tmp_path), planted(50, missing=0.3, seed=5)
    assert loaded.fingerprint() == fitted.fingerprint() and loaded.trained_by == fitted.trained_by
    assert np.array_equal(loaded.project(rows).vectors, fitted.project(rows).vectors)
    assert loaded.project(rows).fingerprint == fitted.project(rows).fingerprint
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_same_seed_same_space_and_another_seed_another(fitted: Alignment, runtime: Runtime) -> None:
    train = planted(500, missing=0.25)
    again = fit_alignment(Align(width=16, steps=60), train, names(train), runtime)
    assert again.fingerprint() == fitted.fingerprint()
    wider = fit_alignment(Align(width=16, steps=60, shrinkage=0.5), train, names(train), runtime)
    assert wider.fingerprint() != fitted.fingerprint()


@pytest.mark.parametrize(
    ("worst", "kept"), [(-2 * WORST_LOSS, CLOSED_FORM), (-WORST_LOSS / 2, CONTRASTIVE)]
)
def test_the_contrastive_step_is_kept_only_when_no_pair_pays(
    worst: float, kept: str, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    """Planted gains: every pair retrieves much better, but one."""
    before, after = np.zeros(6), np.array([0.4, 0.4, 0.4, 0.4, 0.4, worst])
    told = [before, after, after, before, after]  # at the start, two checks, and both forms

    def retrieval(*_: object) -> np.ndarray:
        return told.pop(0)

    train = planted(120)
    closed = fit_alignment(Align(width=8, steps=0), train, names(train), runtime)
    monkeypatch.setattr(contrastive_training, "retrieval", retrieval)
    found = fit_alignment(Align(width=8, steps=40), train, names(train), runtime)
    assert found.trained_by == kept
    same = all(np.array_equal(found.arrays[k], closed.arrays[k]) for k in closed.arrays)
    assert same == (kept == CLOSED_FORM)


def test_a_chosen_training_is_repeated_on_all_rows(
    monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    """Held-back rows say how many steps (planted: the first check of two); the space is the closed
    form of all rows and so many steps on all of them, as made here by hand."""
    before, after = np.zeros(6), np.full(6, 0.4)
    told = [before, after, after, before, after]
    train, how = planted(120), Align(width=8, steps=40)
    closed = fit_alignment(replace(how, steps=0), train, names(train), runtime)
    by_hand, _ = contrastive_training.trained(
        replace(closed, settings=how),
        train,
        np.zeros(120, bool),
        replace(train, groups=train.ids).group_numbers,
        runtime,
        silent,
        STEPS_A_CHECK,
    )
    monkeypatch.setattr(contrastive_training, "retrieval", lambda *_: told.pop(0))
    found = fit_alignment(how, train, names(train), runtime)
    assert found.trained_by == CONTRASTIVE and not told
    assert all(np.array_equal(found.arrays[k], by_hand.arrays[k]) for k in by_hand.arrays)


def test_the_retrieval_that_it_stops_by_is_the_mean_reciprocal_rank() -> None:
    rng = np.random.default_rng(0)
    inputs = [torch.from_numpy(rng.normal(size=(12, 5)).astype(np.float32)) for _ in range(3)]
    weights = [torch.from_numpy(rng.normal(size=(5, 4)).astype(np.float32)) for _ in range(3)]
    have, rows = torch.from_numpy(rng.random((12, 3)) < 0.8), torch.arange(2, 12)
    wanted = []
    for a, b in combinations(range(3), 2):
        both = [int(r) for r in rows if have[r, a] and have[r, b]]
        za, zb = (np.stack([(inputs[f][r] @ weights[f]).numpy() for r in both]) for f in (a, b))
        za, zb = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (za, zb))
        for left, right in ((za, zb), (zb, za)):
            ranks = [int(((right @ q) >= right[k] @ q - 1e-7).sum()) for k, q in enumerate(left)]
            wanted.append(np.log(np.mean([1 / r for r in ranks])))
    z = [
        torch.nn.functional.normalize(i[rows] @ w, dim=1)
        for i, w in zip(inputs, weights, strict=True)
    ]
    assert np.allclose(
        contrastive_training.retrieval(z, have[rows], np.arange(10)), wanted, atol=1e-5
    )


def test_groups_are_held_back_together(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    train, seen = planted(90), []
    groups = [str(k // 3) for k in range(90)]
    original = contrastive_training.trained

    def spied(start, train, held_back, *rest):  # noqa: ANN001, ANN002, ANN202
        seen.append(held_back)
        return original(start, train, held_back, *rest)

    monkeypatch.setattr(contrastive_training, "trained", spied)
    fit_alignment(Align(width=4, steps=1, holdout=0.3), train, groups, runtime)
    assert len(seen) == 1 and seen[0].sum() == 27 and (seen[0].reshape(30, 3).sum(1) % 3 == 0).all()


def test_rows_with_one_field_only(runtime: Runtime) -> None:
    """No pair of fields ever stands in one row: nothing is shared, nothing breaks, and a field
    still finds its own kind."""
    train = planted(90)
    one = np.eye(3, dtype=bool)[np.arange(90) % 3]
    train = Embeddings(
        train.fields,
        {f: x * one[:, [k]] for k, (f, x) in enumerate(train.features.items())},
        one,
        train.ids,
        "s",
    )
    shared = fit_alignment(Align(width=8, steps=20), train, names(train), runtime).project(train)
    assert np.allclose(np.linalg.norm(shared.vectors, axis=2), one, atol=1e-5)


def test_a_data_set_of_one_field_has_a_space_too(runtime: Runtime) -> None:
    """An image folder: its nearest rows are those of the features themselves."""
    fixed = np.random.default_rng(3).normal(size=(5, 30))
    label = np.arange(100) % 5
    x = (3 * fixed[label] + np.random.default_rng(4).normal(size=(100, 30))).astype(np.float32)
    rows = Embeddings(
        ("image",), {"image": x}, np.ones((100, 1), bool), tuple(map(str, range(100))), "s"
    )
    z = (
        fit_alignment(Align(width=16, steps=20), rows, list(rows.ids), runtime)
        .project(rows)
        .pooled()
    )
    assert np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)
    cosines = z @ z.T - 2 * np.eye(100)
    assert (label[cosines.argmax(1)] == label).mean() > 0.95


def test_two_training_rows_are_the_least(runtime: Runtime) -> None:
    rows = planted(3)
    for few in (rows.rows([0]), rows.rows([])):
        with pytest.raises(GobelinError, match="At least 2"):
            fit_alignment(Align(width=4, steps=2), few, names(few), runtime)
    shared = fit_alignment(
        Align(width=4, steps=2), rows.rows([0, 1]), names(rows)[:2], runtime
    ).project(rows)
    assert np.isfinite(shared.vectors).all()


def test_rows_of_ones_own_group_are_not_counted_as_wrong() -> None:
    cosines = torch.tensor([[0.5, 0.9, 0.1], [0.2, 0.8, 0.3], [0.6, 0.7, 0.4]])
    assert reciprocal_ranks(cosines, np.arange(3)).tolist() == pytest.approx([1 / 2, 1, 1 / 3])
    assert reciprocal_ranks(cosines, np.array([0, 0, 1])).tolist() == pytest.approx([1, 1, 1 / 3])


def curved(n: int, seed: int) -> Embeddings:
    """Two fields of one hidden angle: no linear map of the one says anything of the other (cosines
    of k and 2 k angles)."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(7)
    angle = rng.uniform(0, 2 * np.pi, n)
    a = np.stack([np.cos(angle), np.sin(angle)], 1) @ fixed.normal(size=(2, 12))
    b = np.stack([np.cos(2 * angle), np.sin(2 * angle)], 1) @ fixed.normal(size=(2, 9))
    features = {
        "a": (a + 0.02 * rng.normal(size=a.shape)).astype(np.float32),
        "b": b.astype(np.float32),
    }
    return Embeddings(
        ("a", "b"), features, np.ones((n, 2), bool), tuple(map(str, range(n))), "space"
    )


def test_landmarks_find_what_no_linear_map_does(runtime: Runtime) -> None:
    train, fresh = curved(300, 0), curved(100, 1)
    found = {}
    for landmarks in (0, 200):
        shared = fit_alignment(
            Align(width=8, steps=0, landmarks=landmarks), train, names(train), runtime
        ).project(fresh)
        cosines = shared.of("a") @ shared.of("b").T
        found[landmarks] = float(np.median((cosines >= cosines.diagonal()[:, None]).sum(1)))
    assert found[200] < 10 < 30 < found[0], found


class Names:
    """Four classes by name: what the softmax of the logits mixes."""

    weight = np.random.default_rng(5).normal(size=(WIDTHS["image"], 4)).astype(np.float32)
    bias = np.array([0.1, -0.2, 0.0, 0.3], np.float32)
    words = np.random.default_rng(6).normal(size=(4, WIDTHS["text"])).astype(np.float32)


def test_a_bridge_is_the_mixture_of_the_names(runtime: Runtime) -> None:
    """Written out for one row: the unit sum of the image's own vector and of the vector of the
    mixed names."""
    train = planted(200)
    plain = fit_alignment(Align(width=8, steps=0), train, names(train), runtime)
    bridge = Bridge("image", "text", Names.weight, Names.bias, Names.words)
    mean = train.features["text"].mean(0)
    shared = bridged(plain, centred(bridge, mean), 0.5).project(train.rows([3]))
    found = shared.of("image")[0]
    x = train.features["image"][3].astype(np.float64)
    share = np.exp(1.5 * (x @ Names.weight + Names.bias))
    mixed = (share / share.sum()) @ (Names.words - Names.words.mean(0) + mean)
    text = Embeddings(
        train.fields,
        {**{f: v[:1] for f, v in train.features.items()}, "text": mixed[None].astype(np.float32)},
        np.ones((1, 3), bool),
        ("q",),
        "space",
    )
    wanted = plain.project(train.rows([3])).of("image")[0] + 0.5 * plain.project(text).of("text")[0]
    assert np.allclose(found, wanted / np.linalg.norm(wanted), atol=1e-5)


def test_a_bridge_that_says_nothing_is_not_kept_and_a_true_one_is(runtime: Runtime) -> None:
    """Names that are true: each training text is near the name that the image's logits point at."""
    rng, n = np.random.default_rng(0), 400
    label = rng.integers(0, 40, n)
    looks, words = rng.normal(size=(40, 30)), rng.normal(size=(40, 20))
    image = (looks[label] + 0.3 * rng.normal(size=(n, 30))).astype(np.float32)
    text = (words[label] + 0.3 * rng.normal(size=(n, 20))).astype(np.float32)
    rows = Embeddings(
        ("image", "text"),
        {"image": image, "text": text},
        np.ones((n, 2), bool),
        tuple(map(str, range(n))),
        "s",
    )
    groups = [str(one) for one in label]  # held-back rows have labels that no training row has
    bias = (-(looks**2).sum(1) / 2).astype(np.float32)
    true = Bridge("image", "text", looks.T.astype(np.float32), bias, words.astype(np.float32))
    false = Bridge(
        "image",
        "text",
        looks.T.astype(np.float32),
        bias,
        words[rng.permutation(40)].astype(np.float32),
    )
    how = Align(width=16, steps=0)
    assert fit_alignment(how, rows, groups, runtime, bridges=[true]).bridges[0].strength > 0
    assert fit_alignment(how, rows, groups, runtime, bridges=[false]).bridges == ()


def truly_named() -> tuple[Embeddings, list[str], Bridge]:
    """Rows of 40 labels, groups that are labels (a held-back row's label is in no training row),
    and a bridge whose names are true."""
    rng, n = np.random.default_rng(0), 400
    label = rng.integers(0, 40, n)
    looks, words = rng.normal(size=(40, 30)), rng.normal(size=(40, 20))
    features = {
        "image": (looks[label] + 0.6 * rng.normal(size=(n, 30))).astype(np.float32),
        "text": (words[label] + 0.6 * rng.normal(size=(n, 20))).astype(np.float32),
    }
    ids = tuple(map(str, range(n)))
    rows = Embeddings(("image", "text"), features, np.ones((n, 2), bool), ids, "s")
    bias = (-(looks**2).sum(1) / 2).astype(np.float32)
    bridge = Bridge("image", "text", looks.T.astype(np.float32), bias, words.astype(np.float32))
    return rows, [str(one) for one in label], bridge


@pytest.mark.parametrize(
    ("own", "kept", "last"),
    [(0.02, CONTRASTIVE, 0.5), (9.0, CONTRASTIVE, 9.0), (-0.5, CLOSED_FORM, 0.5)],
)
def test_trained_maps_lose_no_bridge(
    own: float, kept: str, last: float, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    """Planted trained maps that hold a little, a lot or the reverse of a true bridge themselves,
    and a bridge of blurred names, which needs the rows of every turn to be shown: with trained maps
    it was judged in one turn, and lost. Maps that hold all of the true one are better without."""
    rows, groups, true = truly_named()
    blur = 2 * np.random.default_rng(2).normal(size=true.words.shape)
    blurred = replace(true, words=(true.words + blur).astype(np.float32))
    middle = centred(true, rows.features["text"].mean(0))

    def trained(start, *_):  # noqa: ANN001, ANN002, ANN202
        return replace(bridged(start, middle, own), trained_by=CONTRASTIVE), 1

    monkeypatch.setattr(contrastive_training, "trained", trained)
    found = fit_alignment(Align(width=16, steps=1), rows, groups, runtime, bridges=[blurred])
    assert found.trained_by == kept and found.bridges[-1].strength == last
    scores = [score for _, score in found.compared]  # closed form with bridges, without, trained
    assert len(scores) == 4 and scores[0] > scores[1]
    assert (max(scores) > 1.001 * scores[0]) == (kept == CONTRASTIVE)


def test_the_best_form_in_which_no_pair_pays_is_chosen(
    monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    """Planted scores of four forms, against the rule written out with loops."""
    train = planted(30)
    start = fit_alignment(Align(width=4, steps=0), train, names(train), runtime)
    forms = [replace(start, trained_by=f"form {k}") for k in range(4)]
    rng, chosen = np.random.default_rng(0), set()
    for _ in range(60):
        scores = -1 + rng.normal(scale=0.03, size=(4, 6)).cumsum(0)
        told = list(scores)
        monkeypatch.setattr(contrastive_training, "retrieval", lambda *_, t=told: t.pop(0))
        found = better(forms, train, np.ones(30, bool), np.arange(30))
        best, most = 0, sum(scores[0]) / 6 + LEAST_GAIN
        for k in (1, 2, 3):
            pays = any(scores[k][pair] < scores[0][pair] - WORST_LOSS for pair in range(6))
            if not pays and sum(scores[k]) / 6 > most:
                best, most = k, sum(scores[k]) / 6
        assert found.trained_by == f"form {best}"
        assert [name for name, _ in found.compared] == [f"form {k}" for k in range(4)]
        assert np.allclose([s for _, s in found.compared], np.exp(scores.mean(1)))
        chosen.add(best)
    assert len(chosen) > 2  # the draws try the rule


def test_a_bound_field_moves_no_old_one_and_is_found(runtime: Runtime, tmp_path: Path) -> None:
    train, fresh = planted(500, missing=0.2), planted(150, seed=2)
    old = fit_alignment(
        Align(width=16, steps=0), train.keep(("image", "text")), names(train), runtime
    )
    bound = bind(old, train, names(train), runtime)
    before, after = old.project(fresh.keep(("image", "text"))), bound.project(fresh)
    assert np.array_equal(before.vectors, after.vectors[:, :2])
    assert recall_at_1(after.of("table"), after.of("image")) > 30 / 150
    whole = fit_alignment(Align(width=16, steps=0), train, names(train), runtime).project(fresh)
    assert (
        recall_at_1(after.of("table"), after.of("text"))
        > recall_at_1(whole.of("table"), whole.of("text")) - 0.15
    )
    bound.save(tmp_path)
    assert np.array_equal(Alignment.load(tmp_path).project(fresh).vectors, after.vectors)
    with pytest.raises(GobelinError, match="at least one more"):
        bind(old, train.keep(("image", "text")), names(train), runtime)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_either_loss_retrieves_and_features_read_in_parts_are_the_same(
    loss: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, fresh = planted(300, noise=1.2), planted(100, seed=3, noise=1.2)
    how = Align(width=16, steps=40, loss=loss, hard=1.0, rate=2e-3, pull=0.0)
    found = fit_alignment(how, train, names(train), runtime)
    assert min(recalls(found.project(fresh), np.arange(100)).values()) > 10 / 100
    monkeypatch.setattr(contrastive_training, "ROWS_IN_MEMORY", 10)
    assert np.allclose(
        fit_alignment(how, train, names(train), runtime).project(fresh).vectors,
        found.project(fresh).vectors,
        atol=1e-4,
    )
