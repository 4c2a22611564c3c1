"""Explain the answers of a run: the predictor that is asked, what takes the place of hidden fields,
and the explanation of one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.lazy import torch
from gobelin.core.machine import derived_seed, numpy_generator
from gobelin.core.progress import step
from gobelin.data.fields import FILE_KINDS, Cell
from gobelin.data.files import BadCell
from gobelin.embedding.encoders import ReadsPixels
from gobelin.embedding.features import Embeddings
from gobelin.prediction.attribution.faithfulness import Gain, gain
from gobelin.prediction.attribution.parts import Attribution, Parts, answers_of
from gobelin.prediction.explainers import Explainer, Question
from gobelin.prediction.predictor import Predictions
from gobelin.workbench.explain.asked import AskedRow
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.delivered import RunDelivered

FIELDS = "modality"  # the explainer of the fields themselves
OTHERS = 100  # training rows that take the place of what is hidden, one after the other
LOG_ODDS = "log odds"
NO_GRADIENT = "trees and heads of ordered classes have none"


@dataclass(frozen=True, eq=False)
class Explained:
    """What one explainer says of one row."""

    explainer: str  # the component
    field: str  # the one that it looks into; '' for the fields themselves
    unit: str  # what a part is: field, column, word, pixel ...
    parts: Parts
    attribution: Attribution

    @property
    def several(self) -> bool:
        """Whether there are two parts or more, so that there is an order to be right or wrong."""
        return len(self.attribution.values) > 1


@dataclass(frozen=True, eq=False)
class RowExplanation:
    """Why one row got its answer."""

    row: AskedRow
    answer: str  # the class that is explained; '' for a number
    output: int  # its place among the classes
    predicted: str  # the class that the row gets; '' for a number
    probability: float | None  # of the explained class
    fields: Explained
    inside: tuple[Explained, ...]  # of single fields
    title: str = ""  # what it is called; '' = by the row's id
    # what one and several rows are called on which its faithfulness was measured
    asked_of: tuple[str, str] = ("this row", "held-out rows")

    @property
    def called(self) -> str:
        return self.title or f"row {self.row.id}"

    @property
    def all(self) -> tuple[Explained, ...]:
        return (self.fields, *self.inside)


@dataclass(frozen=True, eq=False)
class ExplainedAnswers:
    """The predictor whose answers are explained, and the rows that take the place of what is
    hidden; None in a run that was saved without its data: what is hidden is missing there."""

    predictor: RunDelivered
    others: Embeddings | None
    other_cells: Mapping[str, Sequence[Cell | None]]
    seed: int

    @property
    def unit(self) -> str:
        """Of an answer: log odds of a class, or nothing for a number."""
        return LOG_ODDS if self.predictor.model.classes else ""

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields that prediction uses."""
        return tuple(self.predictor.judged.fields)

    def predict(self, rows: Embeddings) -> Predictions:
        return self.predictor.model.predict(self.predictor.inputs(rows))

    def answer(self, rows: Embeddings) -> np.ndarray:
        """float64 [n, V]."""
        return answers_of(self.predict(rows))

    def output(self, label: str | None, predictions: Predictions) -> int:
        """The place of the explained answer: of a class that is named, else of the one that the row
        gets; of several labels a row the most probable one. Raises GobelinError for a class that
        the predictor does not know."""
        model = self.predictor.model
        if label is None:
            if not model.classes:
                return 0
            several = model.kind == "labels"
            chosen = predictions.probabilities.argmax(1) if several else predictions.class_indices
            return int(chosen[0])
        if not model.classes:
            raise GobelinError(
                f"explain --label {label}: {model.target!r} is a number and has no classes. Leave"
                " --label out."
            )
        if label not in model.classes:
            raise GobelinError(
                f"explain --label {label}: no such class of"
                f" {model.target!r}.{nearest(label, model.classes)}"
            )
        return model.classes.index(label)

    def question(self, row: AskedRow, output: int) -> Question:
        return Question(
            row.embeddings,
            row.cells,
            self.fields,
            self.predictor.features.embedder,
            row.root,
            self.answer,
            output,
            self.others,
            self.other_cells,
            self.seed,
            self.differentiable if self.without_gradient == "" else None,
        )

    def differentiable(self, row: Embeddings, field: str, features: torch.Tensor) -> torch.Tensor:
        """float64 [n, V]: the answers of one row with other features of a field, float [n, D_f]."""
        return self.predictor.model.answers_of(self.predictor.inputs(row), field, features)

    @cached_property
    def without_gradient(self) -> str:
        """Why no gradient leads from the answers to the features; '' where one does."""
        settings = self.predictor.features.data.settings
        if settings.predict.features == "shared":
            return "it reads vectors of the shared space"
        return "" if self.predictor.model.has_gradient else NO_GRADIENT

    def without_gradients(self) -> list[str]:
        """A sentence for each field of images that is explained by occlusion alone, and why."""
        out = []
        for field in self.fields:
            if self.predictor.features.data.schema.field(field).kind != "image":
                continue
            reason = f"the predictor: {self.without_gradient}" if self.without_gradient else ""
            if not isinstance(self.predictor.features.embedder.encoders[field], ReadsPixels):
                reason = "its encoder is no network that one can follow"
            if reason:
                out.append(
                    f"Pixels of {field} are explained by occlusion alone, not by gradients"
                    f" ({reason})."
                )
        return out


def told_whole(answers: ExplainedAnswers) -> list[str]:
    """A sentence for the fields that nothing looks into."""
    names = [field for field in answers.fields if not looking_into(answers, field)]
    return [f"{' and '.join(names)}: explained as a whole, nothing looks inside."] if names else []


def answers_of_run(run: Run, another: int = 0) -> ExplainedAnswers:
    """The delivered predictor of a run, and training rows for what is hidden. another: number of
    the draw, of these rows and of all else that is drawn."""
    seed = derived_seed(run.data.runtime.seed, "explain", another)
    if run.folder.saved:
        return ExplainedAnswers(run.delivered, None, {}, seed)
    train = run.checked.rows.part("train")
    chosen = numpy_generator(seed, "others").permutation(train)[:OTHERS]
    dataset = run.checked.rows.dataset.rows(chosen)
    cells = {f.name: dataset.cells(f) for f in run.data.schema.fields if f.kind not in FILE_KINDS}
    return ExplainedAnswers(run.delivered, run.features.embeddings.rows(chosen), cells, seed)


def refuse_fields(answers: ExplainedAnswers, fields: Sequence[str]) -> None:
    """Raises GobelinError for a field that the run has not, or that prediction does not use."""
    names = answers.predictor.features.data.schema.field_names
    for name in fields:
        if name not in names:
            raise GobelinError(f"explain --in {name}: no such field.{nearest(name, names)}")
        if name not in answers.fields:
            raise GobelinError(
                f"explain --in {name}: prediction does not use this field (setting leave_out)."
                f" Choose among {', '.join(answers.fields)}."
            )


def looking_into(answers: ExplainedAnswers, field: str) -> list[str]:
    """The explainers that look into a field of this kind."""
    kind = answers.predictor.features.data.schema.field(field).kind
    return [
        name
        for name in catalog.names("explainers")
        if kind in catalog.declared("explainers", name, "kinds")
    ]


def explain(
    answers: ExplainedAnswers, row: AskedRow, label: str | None, inside: Sequence[str] | None
) -> RowExplanation:
    """One row. inside: the fields that are looked into; None = all that it has, () = none. Raises
    GobelinError where the row has none of the fields of prediction, or lacks one of `inside`."""
    predictions = answers.predict(row.embeddings)
    output = answers.output(label, predictions)
    question = answers.question(row, output)
    name = f"row {row.id}" if row.id else "the row"
    if not question.present:
        raise GobelinError(
            f"explain: {name} has none of the fields that prediction uses:"
            f" {', '.join(answers.fields)}. Give one."
        )
    for field in inside or ():
        if field not in question.present:
            raise GobelinError(
                f"explain --in {field}: {name} has no {field}. It has"
                f" {', '.join(question.present)}."
            )
    model = answers.predictor.model
    fields = explained_by(question, FIELDS, "")
    assert fields is not None
    looked = question.present if inside is None else inside
    found = [
        explained_by(question, explainer, field)
        for field in looked
        for explainer in looking_into(answers, field)
    ]
    return RowExplanation(
        row,
        model.classes[output] if model.classes else "",
        output,
        model.classes[int(predictions.class_indices[0])] if model.exclusive else "",
        float(predictions.probabilities[0, output]) if model.classes else None,
        fields,
        tuple(one for one in found if one is not None),
    )


def explained_by(question: Question, name: str, field: str) -> Explained | None:
    """None where the field is one part alone."""
    component: Explainer = catalog.build("explainers", name)
    try:
        parts = component.parts(question, field)
    except BadCell as error:
        raise GobelinError(f"explain --in {field}: {error}. Give another row.") from error
    if parts is None:
        return None
    with step(f"explain by {component.unit}s{f' of {field}' if field else ''}"):
        found = component.explain(parts, question.seed)
    return Explained(name, field, component.unit, parts, found)


def gain_of(one: Explained, orders: int, seed: int) -> Gain:
    """How faithful it is to the predictor, beside random orders."""
    with step(f"test the {one.unit}s{f' of {one.field}' if one.field else ''} against chance"):
        return gain(one.parts, one.attribution, orders, seed)
