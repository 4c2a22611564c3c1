"""The verb `describe`: what one record is, what it is like, and what is odd about it.

The classes with their probabilities, the nearest rows, labels in words that nobody trained on,
where each field lies among the training rows, and whether an image says that it was made.

What this can't show: that a row is wrong. One training row in a hundred is among the oddest
hundredth, and a copy of a training row is as typical as can be. Labels in words are ranked among
those that were given: if none is right, one still wins."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, load_arrays, save_arrays
from gobelin.core.machine import numpy_generator
from gobelin.data.fields import Cell, Field
from gobelin.data.images import image_values
from gobelin.data.provenance import is_marked, read_lineage
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.features import Embeddings
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import proportion
from gobelin.prediction.predictor import Predictions
from gobelin.quality.typicality import NEAR, Oddness, oddness
from gobelin.workbench.query import query_cells
from gobelin.workbench.run.folder import INDEX, Artefacts

SOURCE = "describe"


MOST = 2000  # training rows that a record is compared with


LEAST = 20  # training rows, or pairs of fields, to say anything from


INNER = 0.98  # share of training values that an ordinary number lies among


CROSSED = "crossed"  # stage: training rows in alignments that have not seen them


CROSSED_FORMAT = 2  # of how they are made; another one is another stage


SAME = 0.999  # cosine from which two captions say the same


def described(
    made: Artefacts, query: Mapping[str, str], k: int, labels: Sequence[str] = ()
) -> list[Finding]:
    """Of one record, given by a query: k classes, k nearest rows, and the rest. labels: words to
    choose from."""
    cells = query_cells(made, query)
    text = _text_field(made, cells, labels) if labels else None
    embeddings = made.reader.embed_cells(cells)
    query_shared = made.alignment.project(embeddings)
    found, label = _made_images(made, cells), None
    x = made.inputs(embeddings).keep(made.predict_fields)
    if made.settings.data.target and x.present.any():
        guess = made.model.predict(x)
        found += _predicted(made, guess, k)
        label = int(guess.labels[0]) if made.model.exclusive else None
    if text is not None:
        found += zero_shot(made, query_shared, text, labels)
    if made.run.saved and not (made.run.folder / INDEX).is_dir():
        return found
    found += _similar(made, query_shared, k)
    return (
        found
        if made.run.saved
        else found
        + _typical(made, embeddings, label)
        + _columns(made, cells)
        + _agreeing(made, query_shared)
    )


def _predicted(made: Artefacts, guess: Predictions, k: int) -> list[Finding]:
    level = made.model.settings.level
    if not guess.classes:
        return [
            Finding(
                "prediction",
                value=float(guess.values[0]),
                low=float(guess.low[0]),
                high=float(guess.high[0]),
                level=level,
                source=SOURCE,
            )
        ]
    word = (
        "said to hold"
        if guess.kind == "labels"
        else f"in the set that holds the truth in {100 * level:g} % of cases"
    )
    return [
        Finding(
            "probability",
            {"class": guess.classes[c]},
            value=float(guess.probabilities[0, c]),
            source=SOURCE,
            note=word if guess.sets is not None and guess.sets[0, c] else "",
        )
        for c in np.argsort(-guess.probabilities[0], kind="stable")[:k]
    ]


def _similar(made: Artefacts, query: Shared, k: int) -> list[Finding]:
    hits = made.index.nearest(query.pooled()[0], k)
    texts = [c for f in made.schema.fields for c in f.columns if made.schema.kind(c) == "text"]
    captions = made.index.said([hit.id for hit in hits], texts)
    said = [next((str(v) for v in captions.get(hit.id, ()) if v is not None), "") for hit in hits]
    return [
        Finding("similarity", {"row": hit.id}, value=hit.score, note=note, source=SOURCE)
        for hit, note in zip(hits, said, strict=True)
    ]


def _made_images(made: Artefacts, cells: Mapping[str, Cell]) -> list[Finding]:
    """What the query's images say of where they come from."""
    found = []
    for field in made.schema.fields:
        if field.name not in cells or field.kind != "image":
            continue
        for data in image_values(cells[field.name]):
            if not isinstance(data, bytes) or not is_marked(data):
                continue
            said = read_lineage(io.BytesIO(data)) or {}
            told = ", ".join(f"{key} {said[key]}" for key in ("generator", "seed") if key in said)
            note = (
                "its file says that it was"
                f" generated{f' by Gobelin: {told}' if told else ', by what it does not say here'}"
            )
            found.append(
                Finding(
                    "made_image",
                    {"field": field.name},
                    verdict="generated",
                    note=note,
                    source=SOURCE,
                )
            )
    return found


def zero_shot(made: Artefacts, query: Shared, text: Field, labels: Sequence[str]) -> list[Finding]:
    """The labels by their probability: softmax of the cosines to the record over a temperature.

    The temperature has the smallest log loss on training rows with a caption: each chooses its own
    among as many captions, by an alignment fitted on the half of the rows that it isn't in. What
    this cannot show: how sure to be where labels are of another kind than the captions; single
    words for sentences, say."""
    fields = tuple(
        f
        for f, there in zip(query.fields, query.present[0], strict=True)
        if there and f != text.name
    )
    cosines, count = _pairs(made, fields, text.name, len(labels))
    heat = best_temperature(cosines)
    words = made.reader.embed_column(text.name, text.columns[0], list(labels), Path())
    scores = made.alignment.project(words).of(text.name) @ _only(query, fields).pooled()[0]
    sure = softmax(scores.astype(np.float64) / heat)
    right = proportion((cosines[:, 0] > cosines[:, 1:].max(1)).astype(float))
    among = f"among {cosines.shape[1]} captions, by alignments that had not seen them"
    note = f"of {count} training rows, their own caption from {' + '.join(fields)} {among}"
    found = [
        Finding(
            "zero_shot",
            {"label": labels[c]},
            value=float(sure[c]),
            unit="share",
            chance=1 / len(labels),
            source=SOURCE,
            note=f"temperature {heat:.3f}, from {count} training captions",
        )
        for c in np.argsort(-sure, kind="stable")
    ]
    chance = 1 / cosines.shape[1]
    return [
        *found,
        right.finding(
            "zero_shot_right",
            better="higher",
            unit="share",
            chance=chance,
            note=note,
            source=SOURCE,
        ),
    ]


def best_temperature(cosines: np.ndarray) -> float:
    """Of softmax(cosines / t), [n, m], the first column the right one: that with the smallest log
    loss (Guo et al. 2017)."""
    found = minimize_scalar(
        lambda t: -log_softmax(cosines / np.exp(t), axis=1)[:, 0].mean(),
        bounds=(-6, 3),
        method="bounded",
    )
    return float(np.exp(found.x))


def _text_field(made: Artefacts, cells: Mapping[str, Cell], labels: Sequence[str]) -> Field:
    """The field that reads the labels; an error of one line where this can't be done."""
    text = next((f for f in made.schema.fields if made.schema.kind(f.columns[0]) == "text"), None)
    if text is None:
        names = ", ".join(made.schema.field_names)
        raise GobelinError(
            f"--labels: words are read by a text field, found {names}. Fit with a column of"
            " captions."
        )
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(labels):
        raise GobelinError(
            f"--labels {','.join(labels)!r}: two or more different labels were expected. Give"
            " A,B,..."
        )
    if set(cells) <= {text.name}:
        raise GobelinError(
            f"--labels: the record is nothing but {text.name!r} itself. Give it an image, a row or"
            " another field."
        )
    if made.run.saved:
        raise GobelinError(
            f"--labels: how sure to be is learned from training rows, and {made.run.folder} was"
            " saved without. Use the run it was saved from."
        )
    return text


def _pairs(
    made: Artefacts, fields: tuple[str, ...], text: str, count: int
) -> tuple[np.ndarray, int]:
    """float64 [n, m]: cosines of training rows, shown these fields, to their own caption and to m -
    1 others, m up to `count`; and n."""
    unseen = _unseen(made)
    there = unseen.has(text) & np.all([unseen.has(f) for f in fields], axis=0)
    rows, halves = np.flatnonzero(there), _halves(unseen)
    asked, captions = _only(unseen, fields).pooled(), unseen.of(text)
    rng, out, width = numpy_generator(made.runtime.seed, "candidates", count), [], count
    for row in rows:
        pool = rows[halves[rows] == halves[row]]  # captions of the same alignment
        others = pool[captions[pool] @ captions[row] < SAME]
        width = min(width, len(others) + 1)
        chosen = rng.choice(others, min(count - 1, len(others)), replace=False)
        out.append(captions[np.concatenate([[row], chosen])] @ asked[row])
    if len(out) < LEAST or width < 2:
        raise GobelinError(
            f"--labels: {len(out)} training rows have {' and '.join(fields)} and a caption of their"
            f" own, {LEAST} are needed to say how sure a label is. Add captions."
        )
    return np.stack([one[:width] for one in out]).astype(np.float64), len(out)


def _only(shared: Shared, fields: Sequence[str]) -> Shared:
    """The same rows as if these fields alone were there."""
    shown = shared.present & np.isin(shared.fields, list(fields))
    return Shared(
        shared.fields, shared.vectors * shown[..., None], shown, shared.ids, shared.fingerprint
    )


def _halves(unseen: Shared) -> np.ndarray:
    """int [n]: by which of the two alignments a row of `_unseen` was projected."""
    return np.array([int(i.split(":")[0]) for i in unseen.ids])


def _unseen(made: Artefacts) -> Shared:
    """Up to MOST training rows, each projected by an alignment of the half of them (whole groups)
    that it isn't in, made as the run's own was: with its bridges, and where a space is kept, in
    that space, which may have seen them."""
    key = fingerprint(
        CROSSED, CROSSED_FORMAT, made.alignment.fingerprint(), made.rows.dataset.fingerprint, MOST
    )

    def make(folder: Path) -> None:
        train = made.rows.part("train")
        names = np.unique([made.rows.groups[r] for r in train])
        side = dict(
            zip(
                names,
                numpy_generator(made.runtime.seed, CROSSED).permutation(len(names)) % 2,
                strict=True,
            )
        )
        half, blocks = np.array([side[made.rows.groups[r]] for r in train]), []
        for h in (0, 1):
            others, own = train[half != h], train[half == h][: MOST // 2]
            groups = [made.rows.groups[r] for r in others]
            how, x = made.settings.align, made.embeddings.rows(others)
            fitted = kept_space.space(how, made.reader, x, groups, made.runtime, made.progress)
            blocks.append((np.full(len(own), h), fitted.project(made.embeddings.rows(own))))
        save_arrays(
            folder / "rows.safetensors",
            {
                "half": np.concatenate([h for h, _ in blocks]),
                "vectors": np.concatenate([s.vectors for _, s in blocks]),
                "present": np.concatenate([s.present for _, s in blocks]),
            },
        )

    made.run.stage(CROSSED, key, make)
    kept = load_arrays(made.run.checked(CROSSED) / "rows.safetensors")
    ids = tuple(f"{h}:{k}" for k, h in enumerate(kept["half"]))
    return Shared(made.alignment.fields, kept["vectors"], kept["present"], ids, CROSSED)


def _typical(made: Artefacts, query: Embeddings, label: int | None) -> list[Finding]:
    """How far each field of the record is from the training rows, and from those of its predicted
    class."""
    found, train = [], made.rows.part("train")
    for k, field in enumerate(query.fields):
        if not query.present[0, k]:
            continue
        there = train[made.embeddings.present[train, k]]
        scopes = [({"field": field}, there)]
        if label is not None:
            own = there[made.rows.target.values[there] == label]
            scopes.append(({"field": field, "class": made.model.classes[label]}, own))
        for scope, rows in scopes:
            if len(rows) < LEAST:
                continue
            some = numpy_generator(made.runtime.seed, SOURCE, field).permutation(rows)[:MOST]
            one = oddness(made.embeddings.features[field][some], query.features[field][0])
            note = f"of {len(some)} training rows lie at least as far from their {NEAR} nearest"
            found.append(
                Finding(
                    "typicality",
                    scope,
                    value=one.share,
                    unit="share",
                    verdict=one.verdict,
                    n=len(some),
                    note=note,
                    source=SOURCE,
                )
            )
    return found


def _columns(made: Artefacts, cells: Mapping[str, Cell]) -> list[Finding]:
    """Numbers outside of what nearly all training rows have, and categories that none has."""
    found, train = [], made.rows.part("train")
    asked = {
        c: v
        for cell in cells.values()
        for c, v in cell.items()
        if made.schema.kind(c) in ("number", "category")
    }
    for column, value in asked.items():
        values = made.rows.dataset.values(column)
        known = [values[r] for r in train if values[r] is not None]
        if made.schema.kind(column) == "category":
            if known and str(value) not in {str(v) for v in known}:
                note = f"{str(value)[:40]!r} stands in no training row"
                found.append(
                    Finding(
                        "unseen_category",
                        {"column": column},
                        verdict="odd",
                        n=len(known),
                        note=note,
                        source=SOURCE,
                    )
                )
            continue
        numbers, number = np.array([_number(v) for v in known]), _number(value)
        numbers = numbers[np.isfinite(numbers)]
        if len(numbers) < LEAST or not np.isfinite(number):
            continue
        low, high = (float(q) for q in np.quantile(numbers, [(1 - INNER) / 2, (1 + INNER) / 2]))
        if not low <= number <= high:
            found.append(
                Finding(
                    "out_of_range",
                    {"column": column},
                    value=number,
                    low=low,
                    high=high,
                    level=INNER,
                    verdict="odd",
                    n=len(numbers),
                    method="quantiles of the training rows",
                    source=SOURCE,
                )
            )
    return found


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def _agreeing(made: Artefacts, query: Shared) -> list[Finding]:
    """For each pair of the record's fields: the share of training rows whose two fields agree as
    little. Their cosines come from alignments that had not seen them."""
    there = [f for f, has in zip(query.fields, query.present[0], strict=True) if has]
    found: list[Finding] = []
    for a, b in combinations(there, 2):
        unseen = _unseen(made)
        both = unseen.has(a) & unseen.has(b)
        if both.sum() < LEAST:
            continue
        usual = (unseen.of(a)[both] * unseen.of(b)[both]).sum(1)
        cosine = float(query.of(a)[0] @ query.of(b)[0])
        one = Oddness(-usual, -cosine)
        note = (
            f"of {int(both.sum())} training rows have fields that agree as little (cosine"
            f" {cosine:.2f}, "
        )
        note += f"their median {np.median(usual):.2f})"
        found.append(
            Finding(
                "agreement",
                {"fields": f"{a} + {b}"},
                value=one.share,
                unit="share",
                verdict=one.verdict,
                n=int(both.sum()),
                note=note,
                source=SOURCE,
            )
        )
    return found
