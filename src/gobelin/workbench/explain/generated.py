"""Which part of a request moved the images that are generated from it.

A request is a class, a prompt, and the fields of a query. For every subset of these parts images of
the same seeds are generated, and the predictor reads each image alone; Shapley values share out how
much surer it is of the class than in images that were asked for nothing. The interval is that of
the seeds. Then the pixels of the first image that is read as the class: which of them make the
predictor read it.

What this cannot show: what the predictor does not read, such as style. A class that it reads
wrongly is explained as it reads it. With other seeds than these, single images differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.lazy import torch
from gobelin.data.images import png_bytes
from gobelin.embedding.features import Embeddings
from gobelin.generation.generators import Condition, Controls
from gobelin.prediction.attribution.shapley import shapley
from gobelin.workbench.explain.answers import (
    Explained,
    ExplainedAnswers,
    explained_by,
    looking_into,
)
from gobelin.workbench.explain.asked import AskedRow
from gobelin.workbench.explain.findings import Explanation, effects, lines_of
from gobelin.workbench.generate.images import Start, condition_of, trained_generator
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import Trained

EXPLAINER, UNIT = "generated", "part of the request"
SEEDS = 16  # images of each subset of parts
MOST_EXACT, ORDERS = 6, 16  # parts of which all subsets are asked; orders that are drawn of more
CLASS, PROMPT = "class", "prompt"  # parts that are no field


@dataclass(frozen=True, eq=False)
class RequestParts:
    """A request in its parts: fields of the query, the class, the prompt."""

    answers_of: ExplainedAnswers
    trained: Trained
    condition: Condition  # one row
    controls: Controls
    field: str  # of the generated images
    column: str  # of that field
    output: int  # place of the explained class

    @property
    def names(self) -> tuple[str, ...]:
        present = self.condition.present[0].tolist()
        fields = [f for f, there in zip(self.condition.fields, present, strict=True) if there]
        used = self.condition.used()
        return (*fields, *[CLASS] * ("target" in used), *[PROMPT] * ("text" in used))

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, SEEDS]: what the predictor says of the explained class for each image."""
        read = self.read(kept)
        return read[:, self.output].reshape(len(kept), SEEDS)

    def read(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k SEEDS, V]: all answers. kept: [k, P]."""
        asked = self._conditions(np.repeat(kept > 0, SEEDS, axis=0))
        seeds = list(range(SEEDS)) * len(kept)
        out = []
        for images in self.trained.sample(asked, seeds, self.controls):
            out.append(self.answers_of.answer(self.embedded([png_bytes(x) for x in images])))
        return np.concatenate(out)

    def embedded(self, files: list[bytes]) -> Embeddings:
        """Rows that have an image and nothing else."""
        embedder = self.answers_of.predictor.features.embedder
        return embedder.embed_column(self.field, self.column, files, Path())

    def first_read_right(self) -> tuple[int, bytes] | None:
        """The number and the file of the first image of the whole request that is read as the
        explained class; None where none is."""
        asked, number = self._conditions(np.ones((SEEDS, len(self.names)), bool)), 0
        for images in self.trained.sample(asked, list(range(SEEDS)), self.controls):
            files = [png_bytes(image) for image in images]
            read = self.answers_of.answer(self.embedded(files)).argmax(1)
            for file, answer in zip(files, read.tolist(), strict=True):
                if answer == self.output:
                    return number, file
                number += 1
        return None

    def _conditions(self, kept: np.ndarray) -> Condition:
        """The request with only these parts, a row each. kept: bool [n, P]."""
        shown = dict(zip(self.names, torch.as_tensor(kept).T, strict=True))
        rows = self.condition.rows([0] * len(kept))
        none = torch.zeros(len(kept), dtype=torch.bool)
        present = torch.stack([shown.get(f, none) for f in rows.fields], 1) & rows.present
        target = rows.target
        if target is not None and CLASS in shown:
            nothing = torch.nan if target.is_floating_point() else -1
            target = torch.where(shown[CLASS], target, torch.full_like(target, nothing))
        text = rows.text
        if text is not None and PROMPT in shown:
            text = [t if k else None for t, k in zip(text, shown[PROMPT].tolist(), strict=True)]
        vectors = rows.vectors * present[..., None]
        return replace(rows, vectors=vectors, present=present, target=target, text=text)

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal(len(self.names))


def explained(
    run: Run, answers: ExplainedAnswers, label: str | None, query: Mapping[str, str]
) -> Explanation:
    """Findings and text on the images of a request. label: the class that is asked for, which is
    then the one that is explained; None explains the class that the images are read as."""
    trained = trained_generator(run, "explain --generated")
    field = run.generator.field
    if field not in answers.fields:
        raise GobelinError(
            f"explain --generated: prediction does not use {field!r}, the field that is generated"
            " (setting leave_out). Nothing reads the images."
        )
    condition = condition_of(run, trained, label, query, Start(), 1)
    controls = Start().controls(run.settings.generator)
    parts = RequestParts(answers, trained, condition, controls, field, run.generator.column, 0)
    if not parts.names:
        raise GobelinError(
            "explain --generated: nothing is asked for. Give --label, or a query such as --text."
        )
    whole = parts.read(np.ones((1, len(parts.names))))
    model = answers.predictor.model
    read = np.bincount(whole.argmax(1), minlength=whole.shape[1]) if model.classes else whole[:1, 0]
    if model.classes:
        output = model.classes.index(label) if label in model.classes else int(read.argmax())
        parts = replace(parts, output=output)
    found = shapley(parts, MOST_EXACT, ORDERS, run.data.runtime.seed)
    one = Explained(EXPLAINER, "", UNIT, parts, found)
    name = model.classes[parts.output] if model.classes else ""
    findings = effects(one, answers.unit, ())
    pixels, lines = _pixels(answers, parts, name)
    findings += [f for looked in pixels for f in effects(looked, answers.unit, ())]
    findings = [replace(f, scope={"class": name, **f.scope} if name else f.scope) for f in findings]
    head = _head(name, read, parts.output)
    return Explanation(findings, [head, *lines_of(answers, one), *lines])


def _pixels(
    answers: ExplainedAnswers, parts: RequestParts, name: str
) -> tuple[list[Explained], list[str]]:
    """Which pixels of one generated image make the predictor read the class, and that as text.
    Nothing of what is no image."""
    looking = looking_into(answers, parts.field)
    if not looking:
        return [], []
    found = parts.first_read_right()
    if found is None:
        return [], ["", f"No image is read as {name}, so the pixels of none are explained."]
    number, file = found
    row = AskedRow(
        f"generated {number}",
        parts.embedded([file]),
        {parts.field: {parts.column: file}},
        Path(),
    )
    question = answers.question(row, parts.output)
    told = [one for e in looking if (one := explained_by(question, e, parts.field)) is not None]
    head = f"Image {number}, read as {name}:" if name else f"Image {number}:"
    texts = [text for one in told for text in lines_of(answers, one)]
    drawn = (
        "gobelin generate writes images, gobelin explain --image FILE --out FOLDER draws pixels."
    )
    return told, ["", head, *(text.removesuffix(" --out draws them.") for text in texts), drawn]


def _head(name: str, read: np.ndarray, output: int) -> str:
    if not name:
        return f"{SEEDS} generated images, each read alone:"
    return f"{read[output]} of {SEEDS} generated images are read as {name}, each alone:"
