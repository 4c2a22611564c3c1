"""A field that does better alone is named, with a command that leaves the others out. Oracles:
planted answers, counted by hand, and the settings that the command means."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np
import pytest

from gobelin.core.config import assignments
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.evidence.findings import Finding
from gobelin.prediction.predictor import Predictions
from gobelin.report import answer
from gobelin.workbench.evaluate.one_field import one_field

FIELDS = ("name", "image", "facts")


@dataclass
class Planted:
    """A model that is right where it was planted. right: {fields: bool [N]}."""

    right: dict[tuple[str, ...], np.ndarray]
    truth: np.ndarray  # int [N]: classes 0 and 1, or a number
    kind: str = "class"
    target: str = "a kind"

    def predict(self, x: Embeddings) -> Predictions:
        rows, none = np.array([int(i) for i in x.ids]), np.zeros(0)
        shown = tuple(f for f, held in zip(x.fields, x.present.any(0), strict=True) if held)
        truth, right = self.truth[rows], self.right[shown][rows]
        grid = np.zeros((len(rows), 0))
        if self.kind == "number":
            v = truth + np.where(right, 1.0, 3.0)
            return Predictions(x.ids, (), grid, v, v, v, x.fields, x.present, "number")
        decided = np.where(right, truth, 1 - truth)
        p = np.eye(2)[decided]
        return Predictions(x.ids, ("a", "b"), p, none, none, none, x.fields, x.present)


def found(model: Planted, left_out: tuple[str, ...] = ()) -> list[Finding]:
    n = len(model.truth)
    values = {name: np.zeros((n, 1), np.float32) for name in FIELDS}
    present = np.ones((n, len(FIELDS)), bool)
    x = Embeddings(FIELDS, values, present, tuple(map(str, range(n))), "s")
    classes = ("a", "b") if model.kind == "class" else ()
    target = Target("a kind", model.kind, model.truth, classes, np.ones(len(classes), bool))
    return one_field(model, x, model.predict(x), target, list(x.ids), left_out)


def planted(n: int, shares: dict[tuple[str, ...], float], kind: str = "class") -> Planted:
    """The first rows of each class are right, in these shares."""
    truth = np.arange(n) % 2
    places = np.arange(n) // 2
    right = {key: places < share * n / 2 for key, share in shares.items()}
    return Planted(right, truth if kind == "class" else truth.astype(float), kind)


@pytest.mark.parametrize("kind", ["class", "number"])
def test_a_field_that_is_better_is_named_with_the_command(kind: str) -> None:
    shares = {FIELDS: 0.5, ("name",): 0.9, ("image",): 0.7, ("facts",): 0.2}
    (lead,) = found(planted(200, shares, kind), ("serial",))
    assert lead.scope == {"fields": "name"} and lead.verdict == "better alone"
    # class: 90 % of each class less 50 %; number: errors of 1 and 3, so 2 x (90 % - 50 %)
    assert lead.value == pytest.approx(0.4 if kind == "class" else 0.8)
    assert 0 < lead.low < lead.value < lead.high
    words = shlex.split(lead.note[lead.note.index("gobelin") :])
    assert words[words.index("--target") + 1] == "a kind"
    meant = assignments([words[words.index("--set") + 1]])
    assert meant == {"leave_out": "serial,image,facts"}
    line = answer.one_field_line([lead])
    assert lead.note.removeprefix("w") in line and line.startswith("name alone is better")
    assert ("+40.0 points" if kind == "class" else "+0.8") in line


def test_a_small_lead_is_within_chance_and_no_lead_says_nothing() -> None:
    shares = {FIELDS: 0.5, ("name",): 0.6, ("image",): 0.5, ("facts",): 0.2}
    (lead,) = found(planted(20, shares))
    assert lead.low <= 0 and lead.verdict == "" and "gobelin" not in lead.note
    assert "within chance" in answer.one_field_line([lead])
    assert found(planted(200, shares | {("name",): 0.5})) == []
    assert answer.one_field_line([]) == ""


def test_noise_is_seldom_called_a_lead() -> None:
    """All fields and each alone are right by the same coin: at most one in twenty is called a lead,
    although the best of three is taken."""
    rng, called, draws = np.random.default_rng(0), 0, 200
    for _ in range(draws):
        right = {key: rng.random(60) < 0.6 for key in (FIELDS, *((f,) for f in FIELDS))}
        leads = found(Planted(right, np.arange(60) % 2))
        called += any(lead.verdict for lead in leads)
    assert called <= 0.05 * draws + 2 * (0.05 * 0.95 * draws) ** 0.5
