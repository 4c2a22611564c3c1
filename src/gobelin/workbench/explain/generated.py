"""Which part of a request moved the images that are generated from it.

A request is a class, a prompt, and the fields of a query. For every subset of these parts images of
the same seeds are generated, and the predictor reads each image alone; Shapley values share out how
much surer it is of the class than in images that were asked for nothing. The interval is that of
the seeds; whether the order of the parts is right is asked of other seeds. Then the pixels of the
first images that are read as the class: which of them make the predictor read it.

What this cannot show: what the predictor does not read, such as style. A class that it reads
wrongly is explained as it reads it. With other seeds than these, single images differ.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.lazy import torch
from gobelin.embedding.features import Embeddings
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.generation.generators import Condition, Controls
from gobelin.prediction.attribution.faithfulness import faithfulness
from gobelin.prediction.attribution.shapley import shapley
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.explain import exhibits as drawn
from gobelin.workbench.explain import files
from gobelin.workbench.explain.answers import (
    Explained,
    ExplainedAnswers,
    RowExplanation,
    explained_by,
    gain_of,
    looking_into,
)
from gobelin.workbench.explain.asked import AskedRow
from gobelin.workbench.explain.findings import (
    Explanation,
    Faithful,
    effects,
    faithful_finding,
    faithful_lines,
    lines_of,
    plural,
)
from gobelin.workbench.generate.images import trained_generator
from gobelin.workbench.generate.request import Start, condition_of
from gobelin.workbench.run import lineage, verbs
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import Trained

FORMAT = 1  # of what a run keeps
LINES = "lines.json"  # of the text, in the stage
EXPLAINER, UNIT = "generated", "part of the request"
SEEDS = 16  # images of each subset of parts
SHOWN = 4  # images whose pixels are explained, at most
MOST_EXACT, ORDERS = 6, 16  # parts of which all subsets are asked; orders that are drawn of more
RANDOM, RANDOM_OF_MANY, RANDOM_OF_PIXELS = 100, 4, 10  # random orders that are compared with
CLASS, PROMPT = "class", "prompt"  # parts that are no field


@dataclass(frozen=True, eq=False)
class RequestParts:
    """A request in its parts: fields of the query, the class, the prompt."""

    answers_of: ExplainedAnswers
    trained: Trained
    condition: Condition  # one row
    controls: Controls
    run: Run
    output: int  # place of the explained class
    first: int = 0  # of the seeds
    known: dict[bytes, np.ndarray] = field(default_factory=dict)  # {parts: answers [SEEDS, V]}

    @property
    def image_field(self) -> str:
        """The field that is generated."""
        return self.run.generator.field

    @property
    def seeds(self) -> list[int]:
        return list(range(self.first, self.first + SEEDS))

    @property
    def names(self) -> tuple[str, ...]:
        present = self.condition.present[0].tolist()
        fields = [f for f, there in zip(self.condition.fields, present, strict=True) if there]
        used = self.condition.used()
        return (*fields, *[CLASS] * ("target" in used), *[PROMPT] * ("text" in used))

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, SEEDS]: what the predictor says of the explained class for each image."""
        return self.read(kept)[:, :, self.output]

    def read(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, SEEDS, V]: all answers. kept: [k, P]. The same parts are asked once."""
        shown = kept > 0.5
        new = {row.tobytes(): row for row in shown if row.tobytes() not in self.known}
        if new:
            asked = self._conditions(np.repeat(np.stack(list(new.values())), SEEDS, axis=0))
            found = np.concatenate(
                [
                    self.answers_of.answer(self.embedded(self.cells(images)))
                    for images in self.trained.sample(asked, self.seeds * len(new), self.controls)
                ]
            )
            self.known.update(zip(new, found.reshape(len(new), SEEDS, -1), strict=True))
        return np.stack([self.known[row.tobytes()] for row in shown])

    def cells(self, images: np.ndarray) -> list[bytes]:
        """Generated arrays as files that the encoder opens."""
        generator = self.run.generator
        return [generator.medium.cell(image, extent=generator.extent) for image in images]

    def embedded(self, files: list[bytes]) -> Embeddings:
        """Rows that have an image and nothing else."""
        embedder, column = self.answers_of.predictor.features.embedder, self.run.generator.column
        return embedder.embed_column(self.image_field, column, files, Path())

    def read_right(self) -> list[tuple[int, np.ndarray]]:
        """The seeds and the arrays of the first images of the whole request that are read as the
        explained class, SHOWN at most."""
        whole = np.ones((1, len(self.names)))
        right = self.read(whole)[0].argmax(1) == self.output
        seeds = [seed for seed, so in zip(self.seeds, right, strict=True) if so][:SHOWN]
        asked = self._conditions(np.ones((len(seeds), len(self.names)), bool))
        blocks = self.trained.sample(asked, seeds, self.controls) if seeds else ()
        return list(zip(seeds, (image for block in blocks for image in block), strict=True))

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


@dataclass(frozen=True, eq=False)
class Told:
    """What is said of one request."""

    request: RowExplanation  # its parts
    images: tuple[RowExplanation, ...]  # the pixels of single images; none of what is no image
    faithful: Faithful
    findings: list[Finding]
    lines: list[str]

    @property
    def seeds(self) -> list[int]:
        """Those of the images."""
        return [int(one.row.id.split()[-1]) for one in self.images]


def explained(
    run: Run,
    answers: ExplainedAnswers,
    label: str | None,
    query: Mapping[str, str],
    out: Path | None,
) -> Explanation:
    """Findings and text on the images of a request. They are kept in the run, for the report.

    label: the class that is asked for, which is then the one that is explained; None explains the
    class that the images are read as. out: folder for pictures and JSON."""
    trained = trained_generator(run, "explain --generated")
    if run.generator.field not in answers.fields:
        raise GobelinError(
            f"explain --generated: prediction does not use {run.generator.field!r}, the field that"
            " is generated (setting leave_out). Nothing reads the images."
        )
    condition = condition_of(run, trained, label, query, Start(), 1)
    controls = Start().controls(run.settings.generator)
    parts = RequestParts(answers, trained, condition, controls, run, 0)
    if not parts.names:
        raise GobelinError(
            "explain --generated: nothing is asked for. Give --label, or a query such as --text."
        )
    named = {"label": label} if label is not None else {}
    told = functools.cache(lambda: _told(parts, label, {**query, **named}))

    def find(exhibits: Exhibits) -> list[Finding]:
        one = told()
        drawn.show_generated(run, answers, one.request, one.images, one.faithful, exhibits)
        write_json(exhibits.folder / LINES, {"lines": one.lines})
        folder = run.folder.folder / drawn.FOLDER
        ways = [plural(way.unit) for way in one.images[0].all] if one.images else []
        record([lineage.one_name("explain", folder, f"generated-{w}-", one.seeds) for w in ways])
        return one.findings

    def record(made: list[dict[str, Any]]) -> None:
        about = lineage.about(trained.name, 0, run.generator.stage(0))
        lineage.record_images(run.folder, trained.sampler.fingerprint()[:16], about, made)

    if run.folder.saved:
        found, lines = told().findings, told().lines
    else:
        weights = trained.sampler.fingerprint()
        asked = (label, dict(query), condition.vectors.numpy())
        key = fingerprint(answers.predictor.key, weights, *asked, FORMAT)
        keep = partial(verbs.keep, run.folder, run.settings.data.cited, "explain")
        found = keep(key, find, part=EXPLAINER)
        lines = read_json(run.folder.checked(verbs.stage_of("explain", EXPLAINER)) / LINES)["lines"]
    if out is not None:
        rows = (told().request, *told().images)
        letters = [files.write(out, answers, r, told().faithful, k) for k, r in enumerate(rows)]
        names = (f"{k + 1}-generated-" for k in range(len(told().images)))
        each = zip(names, told().seeds, strict=True)
        record([lineage.one_name("explain", out, name, [seed]) for name, seed in each])
        lines = [*lines, *files.where(out, "".join(letters))]
    return Explanation(found, lines)


def _told(parts: RequestParts, label: str | None, asked: Mapping[str, str]) -> Told:
    """asked: the request, for the mark of its images."""
    answers = parts.answers_of
    model, unit = answers.predictor.model, answers.unit
    whole = parts.read(np.ones((1, len(parts.names))))[0]
    read = np.bincount(whole.argmax(1), minlength=whole.shape[1]) if model.classes else None
    if read is not None:
        output = model.classes.index(label) if label in model.classes else int(read.argmax())
        parts = replace(parts, output=output)
    name = model.classes[parts.output] if model.classes else ""
    many = len(parts.names) > MOST_EXACT
    found = shapley(parts, MOST_EXACT, ORDERS, answers.seed)
    one = Explained(EXPLAINER, "", UNIT, parts, found)
    images = tuple(_image(parts, name, asked, seed, array) for seed, array in _looked_into(parts))
    faithful = _faithful_pixels(images)
    if len(parts.names) > 1:
        compared = _of_other_seeds(one, RANDOM_OF_MANY if many else RANDOM)
        faithful = {**faithful, (EXPLAINER, ""): compared}
    nothing = Embeddings((), {}, np.ones((1, 0), bool), ("request",), "")
    row = AskedRow("request", nothing, {}, Path())
    words = "the request", ("one seed", "other seeds")
    request = RowExplanation(row, name, parts.output, name, None, one, (), *words)
    findings, lines = effects(one, unit, ()), [_head(name, read, parts.output)]
    lines += [*lines_of(answers, one), *faithful_lines(request, one, faithful, unit)]
    if images:
        findings += [f for looked in images[0].all for f in effects(looked, unit, ())]
        lines += ["", _first(images[0], name)]
        for looked in images[0].all:
            lines += lines_of(answers, looked)
            lines += faithful_lines(images[0], looked, faithful, unit)
    elif looking_into(answers, parts.image_field):
        lines += ["", f"No image is read as {name}, so the pixels of none are explained."]
    findings += [
        faithful_finding(e, faithful[key], unit)
        for e in (one, *(images[0].all if images else ()))
        if (key := (e.explainer, e.field)) in faithful
    ]
    scoped = [replace(f, scope={"class": name, **f.scope} if name else f.scope) for f in findings]
    return Told(request, images, faithful, scoped, lines)


def _looked_into(parts: RequestParts) -> list[tuple[int, np.ndarray]]:
    """The images whose pixels are explained; none of what is no image."""
    return parts.read_right() if looking_into(parts.answers_of, parts.image_field) else []


def _image(
    parts: RequestParts, name: str, asked: Mapping[str, str], seed: int, array: np.ndarray
) -> RowExplanation:
    """Which pixels of one generated image make the predictor read the class."""
    answers, trained, generator = parts.answers_of, parts.trained, parts.run.generator
    mark = {
        "generator": trained.name,
        "weights": trained.sampler.fingerprint()[:16],
        "condition": dict(asked),
        **trained.promised,
        "seed": seed,
    }
    file = generator.medium.marked(array, mark)
    row = AskedRow(
        f"generated {seed}",
        parts.embedded([file]),
        {parts.image_field: {generator.column: file}},
        Path(),
    )
    question = answers.question(row, parts.output)
    looking = looking_into(answers, parts.image_field)
    told = [
        one for e in looking if (one := explained_by(question, e, parts.image_field)) is not None
    ]
    predictions = answers.predict(row.embeddings)
    sure = float(predictions.probabilities[0, parts.output]) if name else None
    words = f"generated image {seed}", ("this image", "generated images")
    return RowExplanation(row, name, parts.output, name, sure, told[0], tuple(told[1:]), *words)


def _faithful_pixels(images: Sequence[RowExplanation]) -> Faithful:
    """How faithful each explainer of pixels is, over the images."""
    out = {}
    for column in zip(*(told.all for told in images), strict=True):
        gains = [gain_of(one, RANDOM_OF_PIXELS, k) for k, one in enumerate(column)]
        out[column[0].explainer, column[0].field] = faithfulness(gains)
    return out


@dataclass(frozen=True, eq=False)
class OneSeed:
    """The parts of a request, for the image of one seed. place: its place among the seeds."""

    parts: RequestParts
    place: int

    @property
    def names(self) -> tuple[str, ...]:
        return self.parts.names

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, 1]."""
        return self.parts.answers(kept)[:, [self.place]]

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return self.parts.at_random(rng)


def _of_other_seeds(one: Explained, orders: int) -> tuple[Interval, str]:
    """How faithful the values of a request's parts are: each image of SEEDS other seeds is a
    row."""
    assert isinstance(one.parts, RequestParts)
    others = replace(one.parts, first=one.parts.first + SEEDS, known={})
    rows = [replace(one, parts=OneSeed(others, place)) for place in range(SEEDS)]
    return faithfulness([gain_of(row, orders, k) for k, row in enumerate(rows)])


def _head(name: str, read: np.ndarray | None, output: int) -> str:
    if read is None:
        return f"{SEEDS} generated images, each read alone:"
    return f"{read[output]} of {SEEDS} generated images are read as {name}, each alone:"


def _first(told: RowExplanation, name: str) -> str:
    """What the pixels below are of."""
    image = told.row.id.removeprefix("generated ")
    return f"Image {image}, read as {name}:" if name else f"Image {image}:"
