"""Batched heads against one by one, against ridge regression's closed form, and dropout against its
promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit

from gobelin.core.machine import generator, silent
from gobelin.prediction.heads.batched import losses, train_heads
from gobelin.prediction.heads.draws import HeadSettings, order, shown_fields
from gobelin.prediction.heads.gradients import Chunk, HeadData
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.joins import Attended, Join, Ordered, Pooled, SideBySide

N, WIDTHS = 90, (5, 3)
RNG = np.random.default_rng(0)
FEATURES = [torch.from_numpy(RNG.normal(size=(N, w)).astype(np.float32)) for w in WIDTHS]
PRESENT = torch.from_numpy(RNG.random((N, 2)) < 0.8)
LABELS = torch.from_numpy(RNG.integers(0, 4, N))
NUMBERS = torch.from_numpy(RNG.normal(size=N).astype(np.float32))
CLASSES = HeadSettings(4, False, steps=40, batch=32)
LINEAR = SideBySide(0)
JOINS = [LINEAR, SideBySide(6), Pooled(8, gated=False), Pooled(8, gated=True), Attended(8, 2, 2)]


def job(
    rows: np.ndarray, seed: int = 0, decay: float = 1e-2, weights: np.ndarray | None = None
) -> Job:
    return Job(
        rows,
        np.ones(len(rows), np.float32) if weights is None else weights.astype(np.float32),
        seed,
        decay,
    )


def trained(
    jobs: list[Job], settings: HeadSettings, answers: torch.Tensor = LABELS, join: Join = LINEAR
) -> list[dict[str, torch.Tensor]]:
    torch.set_num_threads(1)
    return train_heads(join, FEATURES, PRESENT, answers, jobs, settings, silent)


@pytest.mark.parametrize("join", JOINS, ids=str)
def test_batched_equals_one_by_one(join: Join) -> None:
    settings = replace(CLASSES, rate=0.005)
    jobs = [
        job(np.arange(N), 0),
        job(np.arange(40, 70), 1, 0.1),
        job(np.arange(7), 2),
        job(np.repeat(np.arange(9), 30), 2, 0.0),
        job(np.arange(N), 3, weights=RNG.random(N)),
    ]
    together = trained(jobs, settings, join=join)
    for one, head in zip(jobs, together, strict=True):
        (alone,) = trained([one], settings, join=join)
        assert alone.keys() == head.keys()
        assert all(torch.allclose(alone[name], head[name], atol=1e-5) for name in head)


class Halved(SideBySide):
    """A kind of it with scores of its own; with `share` 1 the same ones, by autograd."""

    share = 0.5

    def scores(
        self,
        weights: Mapping[str, torch.Tensor],
        features: Sequence[torch.Tensor],
        shown: torch.Tensor,
    ) -> torch.Tensor:
        return self.share * super().scores(weights, features, shown)


class Same(Halved):
    share = 1.0


@pytest.mark.parametrize("wide", [0, 6])
def test_a_kind_of_it_is_trained_by_its_own_scores(wide: int) -> None:
    jobs, settings = [job(np.arange(N), seed) for seed in (0, 1)], replace(CLASSES, rate=0.005)
    written, same, halved = (
        trained(jobs, settings, join=join) for join in (SideBySide(wide), Same(wide), Halved(wide))
    )
    for k in range(2):
        assert all(
            torch.allclose(written[k][name], same[k][name], atol=2e-5) for name in written[k]
        )
        assert any((written[k][name] - halved[k][name]).abs().max() > 1e-3 for name in written[k])


@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize("kind", ["class", "labels", "number"])
@pytest.mark.parametrize(
    ("widths", "lost"),
    [((4,), 9), ((3, 5), 9), ((3, 5), 1), ((3, 5), 0), ((2, 7, 4, 1), 9)],
    ids=str,
)
def test_written_gradients_are_autograd_s(
    hidden: int, kind: str, widths: tuple[int, ...], lost: int
) -> None:
    """Of one step, head by head, with rows of which some or all fields are missing. lost: a field
    that no row has."""
    rng = np.random.default_rng(len(widths))
    features = [torch.from_numpy(rng.normal(size=(N, w)).astype(np.float32)) for w in widths]
    present = torch.from_numpy(rng.random((N, len(widths))) < 0.6)
    present[:, lost : lost + 1] = False
    answers = {
        "class": LABELS,
        "labels": torch.from_numpy(rng.random((N, 4)) < 0.4).float(),
        "number": NUMBERS,
    }[kind]
    settings = HeadSettings(1 if kind == "number" else 4, kind == "number", steps=9, batch=32)
    some = [job(np.arange(50), 3, d, rng.random(50)) for d in (0.0, 0.1)]
    jobs, join = (
        [some[0], job(np.arange(20, 90), 3), some[1], job(np.arange(N), 4, 0.5)],
        SideBySide(hidden),
    )
    start = {
        k: torch.from_numpy(rng.normal(size=(4, *s)).astype(np.float32))
        for k, s in join.shapes(widths, settings.outputs).items()
    }
    data = HeadData.of(features, present, answers, settings)
    for groups in ([[0, 2]], [[1], [3]]):
        chunk = Chunk(data, groups, jobs, start, settings)
        chunk.gradients(chunk.batches(range(4, 7)), 1)
        found = chunk.named(chunk.grads)
        for place, b in enumerate(chunk.heads):
            one, weights = jobs[b], {k: w[[b]].clone().requires_grad_() for k, w in start.items()}
            places = order(len(one.rows), 32, one.seed, range(5, 6))[0]
            rows = torch.from_numpy(one.rows)[places]
            shown = shown_fields(present[rows], settings.dropout, generator(one.seed, "dropout", 5))
            scores = join.scores(weights, [f[rows][None] for f in features], shown[None])
            loss = losses(
                scores,
                answers[rows][None],
                torch.from_numpy(one.weights)[places][None],
                settings.numeric,
            )
            (
                loss.sum()
                + one.decay * sum((w**2).sum() for k, w in weights.items() if k.startswith("map"))
            ).backward()
            assert all(
                torch.allclose(found[k][place], w.grad[0], atol=1e-5) for k, w in weights.items()
            )


def test_threads_change_nothing() -> None:
    """Each time the same bits; another number of threads cuts the heads otherwise, and sums are
    rounded otherwise."""
    jobs, settings, join = (
        [job(np.arange(N - s), s) for s in range(5)],
        replace(CLASSES, rate=0.005),
        SideBySide(6),
    )
    one = trained(jobs, settings, join=join)
    torch.set_num_threads(2)
    two, again = (
        train_heads(join, FEATURES, PRESENT, LABELS, jobs, settings, silent) for _ in range(2)
    )
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    for a, b, c in zip(one, two, again, strict=True):
        assert all(torch.equal(b[k], c[k]) and torch.allclose(a[k], b[k], atol=1e-5) for k in a)


def test_a_head_is_a_plain_loop_over_its_own_streams() -> None:
    (head,) = trained([job(np.arange(20, 80), seed=5)], CLASSES)
    start = torch.randn(10, 4, generator=generator(5, "weights", 1)) * 0.5 / 10**0.5
    layer, bias = start.requires_grad_(), torch.zeros(4, requires_grad=True)
    optimiser = torch.optim.Adam([layer, bias], lr=CLASSES.rate)
    epochs = [
        20 + torch.randperm(60, generator=generator(5, "order", e)) for e in range(CLASSES.steps)
    ]
    order = torch.cat(epochs)[: CLASSES.steps * CLASSES.batch].reshape(CLASSES.steps, CLASSES.batch)
    for step, rows in enumerate(order):
        for group in optimiser.param_groups:
            group["lr"] = CLASSES.rate * (1 + np.cos(np.pi * step / CLASSES.steps)) / 2
        shown = shown_fields(PRESENT[rows], CLASSES.dropout, generator(5, "dropout", step))
        x = torch.cat([f[rows] * shown[:, k, None] for k, f in enumerate(FEATURES)] + [shown], 1)
        loss = (
            torch.nn.functional.cross_entropy(x @ layer + bias, LABELS[rows])
            + 1e-2 * (layer**2).sum()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.allclose(head["map1"], layer, atol=1e-4) and torch.allclose(
        head["bias1"], bias, atol=1e-4
    )


def test_linear_head_is_ridge_regression() -> None:
    """mean of w_i (x_i b + c - y_i)^2 + decay |b|^2, the intercept free: the normal equations."""
    weights, decay = RNG.random(N) + 0.5, 0.05
    settings = HeadSettings(1, True, steps=1000, batch=N, rate=0.02, dropout=0.0)
    (head,) = trained([job(np.arange(N), decay=decay, weights=weights)], settings, NUMBERS)
    shown = PRESENT.double().numpy()
    x = np.concatenate(
        [f.numpy() * shown[:, k, None] for k, f in enumerate(FEATURES)] + [shown, np.ones((N, 1))],
        1,
    )
    penalty = np.diag([decay] * (x.shape[1] - 1) + [0.0])
    left = x.T @ (weights[:, None] * x) / N + penalty
    expected = np.linalg.solve(left, x.T @ (weights * NUMBERS.numpy()) / N)
    found = torch.cat([head["map1"][:, 0], head["bias1"]]).numpy()
    assert np.abs(found - expected).max() < 1e-4


def scored(
    join: Join, head: dict[str, torch.Tensor], features: list[torch.Tensor], shown: torch.Tensor
) -> torch.Tensor:
    return join.scores(
        {k: v[None] for k, v in head.items()}, [f[None] for f in features], shown[None]
    )[0]


def moved(join: Join) -> dict[str, torch.Tensor]:
    """A head of which no weight is 0."""
    (head,) = trained([job(np.arange(N))], replace(CLASSES, steps=5), join=join)
    return head


@pytest.mark.parametrize("join", JOINS, ids=str)
def test_a_hidden_field_changes_nothing(join: Join) -> None:
    head, shown = moved(join), PRESENT.float()
    wild = [
        torch.where(PRESENT[:, k, None], f, torch.full_like(f, 1e4)) for k, f in enumerate(FEATURES)
    ]
    assert torch.allclose(
        scored(join, head, wild, shown), scored(join, head, FEATURES, shown), atol=1e-4
    )
    assert not torch.allclose(
        scored(join, head, wild, shown * 0 + 1),
        scored(join, head, FEATURES, shown * 0 + 1),
        atol=1e-2,
    )
    nothing = scored(join, head, FEATURES, shown * 0)
    assert torch.isfinite(nothing).all() and torch.allclose(
        nothing, nothing[:1].expand_as(nothing), atol=1e-5
    )


def tokens(head: dict[str, torch.Tensor], row: int) -> list[torch.Tensor]:
    return [
        FEATURES[k][row] @ head[f"map_token{k}"] + head["place"][k]
        for k in range(2)
        if PRESENT[row, k]
    ]


@pytest.mark.parametrize("gated", [False, True])
def test_pooling_row_by_row(gated: bool) -> None:
    """A plain loop over the fields that are there."""
    join = Pooled(8, gated)
    head = moved(join)
    found = scored(join, head, FEATURES, PRESENT.float())
    for row in range(20):
        if there := tokens(head, row):
            gates = torch.stack(
                [
                    torch.tanh(t) @ head["map_gate"][:, 0] if gated else torch.zeros(())
                    for t in there
                ]
            )
            pooled = sum(share * t for share, t in zip(gates.softmax(0), there, strict=True))
            expected = torch.nn.functional.gelu(pooled) @ head["map_out"] + head["bias_out"]
            assert torch.allclose(found[row], expected, atol=1e-5)


def test_attention_row_by_row() -> None:
    """torch's own attention, on the tokens that are there alone."""
    join = Attended(8, 2, 2)
    head = moved(join)
    found = scored(join, head, FEATURES, PRESENT.float())
    for row in range(20):
        x = torch.stack([head["query"], *tokens(head, row)])
        for k in range(2):
            asked = (torch.nn.functional.layer_norm(x, (8,)) @ head[f"map_ask{k}"]).reshape(
                len(x), 3, 2, 4
            )
            q, key, value = asked.permute(1, 2, 0, 3)
            seen = torch.nn.functional.scaled_dot_product_attention(q, key, value)
            x = x + seen.permute(1, 0, 2).reshape(len(x), 8) @ head[f"map_mix{k}"]
            wide = torch.nn.functional.gelu(
                torch.nn.functional.layer_norm(x, (8,)) @ head[f"map_widen{k}"]
            )
            x = x + wide @ head[f"map_narrow{k}"]
        expected = torch.nn.functional.layer_norm(x[0], (8,)) @ head["map_out"] + head["bias_out"]
        assert torch.allclose(found[row], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("join", "learns"),
    [(LINEAR, False), (SideBySide(32), True), (Attended(32, 4, 2), True)],
    ids=str,
)
def test_what_only_a_pair_tells(join: Join, learns: bool) -> None:
    """The class is whether the signs of two fields agree: either alone, and any sum of the two,
    tells nothing."""
    rng = np.random.default_rng(5)
    x = [torch.from_numpy(rng.normal(size=(600, 1)).astype(np.float32)).sign() for _ in range(2)]
    label = (x[0] * x[1] > 0).long()[:, 0]
    rows = np.arange(400)
    settings = HeadSettings(2, False, steps=300, batch=64, rate=0.003, dropout=0.0)
    job = Job(rows, np.ones(400, np.float32), 0, 1e-4)
    (head,) = train_heads(
        join, x, torch.ones(600, 2, dtype=torch.bool), label, [job], settings, silent
    )
    right = (scored(join, head, x, torch.ones(600, 2)).argmax(1) == label)[400:].float().mean()
    assert right > 0.95 if learns else right < 0.8


@pytest.mark.parametrize("hidden", [0, 6])
def test_side_by_side_is_the_layer_on_masked_inputs(hidden: int) -> None:
    join = SideBySide(hidden)
    heads = trained([job(np.arange(N), s) for s in (0, 1)], replace(CLASSES, steps=5), join=join)
    weights = {k: torch.stack([h[k] for h in heads]) for k in heads[0]}
    shown = PRESENT.float()
    found = join.scores(weights, [f.expand(2, -1, -1) for f in FEATURES], shown.expand(2, -1, -1))
    x = torch.cat([f * shown[:, k, None] for k, f in enumerate(FEATURES)] + [shown], 1)
    for head, scores in zip(heads, found, strict=True):
        expected = x @ head["map1"] + head["bias1"]
        if hidden:
            expected = torch.nn.functional.gelu(expected) @ head["map2"] + head["bias2"]
        assert torch.allclose(scores, expected, atol=1e-5)


def test_dropout_never_hides_the_last_field() -> None:
    present = torch.from_numpy(RNG.random((500, 4)) < 0.5)
    for dropout in (0.0, 0.5, 0.99, 1.0):
        shown = shown_fields(present, dropout, generator(0, "x")).bool()
        assert not (shown & ~present).any() and torch.equal(shown.any(1), present.any(1))
        assert dropout > 0 or torch.equal(shown, present)
        assert dropout < 1 or bool((shown.sum(1) <= 1).all())


def test_dropout_hides_each_field_at_its_rate_and_spares_none() -> None:
    present = torch.ones(20_000, 3, dtype=torch.bool)
    shown = shown_fields(present, 0.3, generator(0, "rate"))
    expected = 0.7 + 0.3**3 / 3  # shown by chance, or the last one, each as often
    assert torch.allclose(shown.mean(0), torch.full((3,), expected), atol=0.015)


def test_rows_of_zero_weight_teach_nothing() -> None:
    weights = (RNG.random(N) < 0.6).astype(np.float32)
    for settings, answers in (
        (CLASSES, LABELS),
        (HeadSettings(1, True, steps=40, batch=32), NUMBERS),
    ):
        nonsense = torch.where(torch.from_numpy(weights) > 0, answers, torch.ones_like(answers) * 3)
        one, other, heavy = (
            trained([job(np.arange(N), weights=w)], settings, a)[0]
            for w, a in ((weights, answers), (weights, nonsense), (weights * 0 + 1, nonsense))
        )
        assert all(torch.equal(one[k], other[k]) for k in one) and not torch.equal(
            one["map1"], heavy["map1"]
        )


def test_rows_outside_the_job_teach_nothing() -> None:
    other = LABELS.clone()
    other[50:] = 0
    one, two = (trained([job(np.arange(50))], CLASSES, a)[0] for a in (LABELS, other))
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize(("rows", "batch"), [(10, 3), (7, 20), (5, 5), (1, 4)])
def test_every_row_once_before_any_row_again(rows: int, batch: int) -> None:
    steps = 3 * rows + 3
    batches = order(rows, batch, 3, range(steps))
    stream = batches.flatten()
    for epoch in range(len(stream) // rows):
        assert sorted(stream[epoch * rows : (epoch + 1) * rows].tolist()) == list(range(rows))
    assert torch.equal(order(rows, batch, 3, range(4, 5)), batches[4:5])


def test_ordered_scores_are_the_differences_of_a_logistic() -> None:
    """McCullagh 1980: P(level <= k) = expit(cut_k - z), in plain numbers."""
    join, rng = Ordered(SideBySide(0)), np.random.default_rng(0)
    shapes = join.shapes(WIDTHS, 5)
    weights = {
        name: torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32))
        for name, shape in shapes.items()
    }
    assert shapes["cuts"] == (4,) and shapes["map1"][1] == 1
    shown = PRESENT[:30].float()
    found = join.scores(weights, [f[None, :30] for f in FEATURES], shown[None])[0].double().numpy()
    z = join.join.scores(weights, [f[None, :30] for f in FEATURES], shown[None])[0].double().numpy()
    w = weights["cuts"][0].double().numpy()
    gaps = np.log1p(np.exp(w[1:]))
    cuts = np.concatenate([[w[0]], w[0] + gaps.cumsum()]) - np.log(2) * 3 / 2
    below = np.concatenate([np.zeros((30, 1)), expit(cuts - z), np.ones((30, 1))], 1)
    assert np.allclose(np.exp(found), np.diff(below, axis=1), atol=1e-5)


def test_a_linear_ordered_head_is_proportional_odds_fitted_another_way() -> None:
    """Planted levels; scipy minimises the same likelihood from plain formulas."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2)).astype(np.float32)
    level = np.digitize(x @ [1.5, -1.0] + rng.logistic(size=300), [-1.0, 0.5, 2.0])
    settings = HeadSettings(4, False, steps=800, batch=300, rate=0.05, dropout=0.0)
    (head,) = train_heads(
        Ordered(SideBySide(0)),
        [torch.from_numpy(x)],
        torch.ones(300, 1, dtype=torch.bool),
        torch.from_numpy(level),
        [job(np.arange(300), decay=0.0)],
        settings,
        silent,
    )

    def loss(at: np.ndarray) -> float:
        below = np.concatenate(
            [
                np.zeros((300, 1)),
                expit(np.sort(at[2:])[None] - (x @ at[:2])[:, None]),
                np.ones((300, 1)),
            ],
            1,
        )
        return float(-np.log(np.diff(below, axis=1)[np.arange(300), level] + 1e-12).mean())

    wanted = minimize(
        loss,
        np.array([0.0, 0, -1, 0, 1]),
        method="Nelder-Mead",
        options={"maxiter": 4000, "xatol": 1e-6},
    ).x
    assert np.allclose(head["map1"][:2, 0], wanted[:2], atol=0.02)


def test_labels_are_heads_of_their_own() -> None:
    """Two labels trained at once are the two trained alone."""
    both = torch.from_numpy((RNG.random((N, 2)) < 0.4).astype(np.float32))
    settings = HeadSettings(2, False, steps=60, batch=N, dropout=0.0)
    (together,) = trained([job(np.arange(N))], settings, both)
    start = torch.randn(10, 2, generator=generator(0, "weights", 1)) * 0.5 / 10**0.5
    x = torch.cat([f * PRESENT[:, k, None] for k, f in enumerate(FEATURES)] + [PRESENT.float()], 1)
    for c in range(2):
        layer, bias = start[:, c].clone().requires_grad_(), torch.zeros(1, requires_grad=True)
        optimiser = torch.optim.Adam([layer, bias], lr=settings.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 60)
        for _ in range(60):
            loss = torch.nn.functional.softplus(
                torch.where(both[:, c] > 0, -1.0, 1.0) * (x @ layer + bias)
            ).mean()
            optimiser.zero_grad()
            (loss + 1e-2 * (layer**2).sum()).backward()
            optimiser.step()
            schedule.step()
        assert torch.allclose(together["map1"][:, c], layer, atol=1e-4)
