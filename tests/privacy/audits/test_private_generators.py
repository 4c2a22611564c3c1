"""What the membership audit can show of private generators is below what they promise. Oracle: the
promise; and a generator over-fitted on purpose, of which the same audit shows more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from membership import audited, drawn, of, squares
from processor import RUNTIME

from gobelin.core import catalog
from gobelin.generation.generators import Condition, Context, Controls, ImageRows, Sampler
from gobelin.privacy.audits import AuditInput
from gobelin.privacy.memorising import Memorised

ROWS, EPSILON, STUDIES = 100, 1.0, 20
MEANS = {"dp": {"epsilon": EPSILON}, "width": 8, "random": 200, "batch": 32}
FLOW = {"dp": {"epsilon": EPSILON}, "width": 16, "depth": 1, "batch": 32}


def nothing(n: int) -> Condition:
    return Condition((), torch.zeros(n, 0, 1), torch.zeros(n, 0, dtype=torch.bool))


def shown(seed: int, make: Callable[[np.ndarray], tuple[np.ndarray, Sampler | None]]) -> float:
    """The audit's lower bound of epsilon, of the stronger attack. make: images from training
    images, and the sampler if its losses are attacked too."""
    images = drawn(2 * ROWS, seed)
    train, holdout = images[:ROWS], images[ROWS:]
    made, sampler = make(train)

    def losses() -> tuple[np.ndarray, np.ndarray]:
        every = sampler.row_loss(ImageRows(images, nothing(2 * ROWS))).numpy()
        return every[:ROWS], every[ROWS:]

    names = tuple(map(str, range(ROWS)))
    audit = AuditInput(
        train=train,
        holdout=holdout,
        generated=made,
        planted={},
        spaces={"squares": squares},
        train_ids=names,
        generated_ids=names,
        exchangeable="random split",
        row_losses=losses if sampler else None,
        seed=seed,
    )
    result = audited(audit)
    attacks = ("distance", "loss") if sampler else ("distance",)
    return max(of(result, "epsilon_at_least", attack=name).value or 0.0 for name in attacks)


def private(
    name: str, settings: dict[str, object], steps: int, seed: int, folder: Path
) -> Callable[[np.ndarray], tuple[np.ndarray, Sampler | None]]:
    def make(train: np.ndarray) -> tuple[np.ndarray, Sampler | None]:
        component = catalog.build("generators", name, settings)
        rows = ImageRows(train, nothing(ROWS))
        context = Context(replace(RUNTIME, seed=seed), folder / str(seed), steps)
        sampler = component.fit(rows, rows.first(0), context)
        blocks = sampler.sample(nothing(ROWS), range(ROWS), Controls())
        attacked = sampler if hasattr(sampler, "row_loss") else None
        return np.concatenate(list(blocks)), attacked

    return make


def test_the_bound_of_private_means_stays_under_epsilon_in_twenty_studies(tmp_path: Path) -> None:
    bounds = [shown(k, private("private_means", MEANS, 20, k, tmp_path)) for k in range(STUDIES)]
    assert max(bounds) < EPSILON, bounds


@pytest.mark.slow
def test_the_bound_of_private_flow_stays_under_epsilon_in_twenty_studies(tmp_path: Path) -> None:
    bounds = [shown(k, private("private_flow", FLOW, 10, k, tmp_path)) for k in range(STUDIES)]
    assert max(bounds) < EPSILON, bounds


def test_the_same_audit_shows_more_of_a_generator_that_memorises() -> None:
    rng = np.random.default_rng(0)
    assert shown(0, lambda train: (Memorised.of(train, rng).drawn(4 * ROWS, rng), None)) > EPSILON
