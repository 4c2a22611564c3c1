"""Which part of a request moved the images that are generated from it.

A request is a class, a prompt, and the fields of a query. For every subset of these parts images of
the same seeds are generated, and the predictor reads each image alone; Shapley values share out how
much surer it is of the class than in images that were asked for nothing. The interval is that of
the seeds.

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
from gobelin.generation.generators import Condition, Controls
from gobelin.prediction.attribution.shapley import shapley
from gobelin.workbench.explain.answers import Explained, ExplainedAnswers
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
            cells = [png_bytes(image) for image in images]
            embedder = self.answers_of.predictor.features.embedder
            rows = embedder.embed_column(self.field, self.column, cells, Path())
            out.append(self.answers_of.answer(rows))
        return np.concatenate(out)

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
    findings = [replace(f, scope={"class": name, **f.scope} if name else f.scope) for f in findings]
    return Explanation(findings, [_head(name, read, parts.output), *lines_of(answers, one)])


def _head(name: str, read: np.ndarray, output: int) -> str:
    if not name:
        return f"{SEEDS} generated images, each read alone:"
    return f"{read[output]} of {SEEDS} generated images are read as {name}, each alone:"
