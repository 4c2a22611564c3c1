"""Labels in words that nobody trained on: which of them fits a record best, and how sure that
is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, load_arrays, save_arrays
from gobelin.core.machine import numpy_generator
from gobelin.data.fields import Cell, Field
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.alignment.align import Shared
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import proportion
from gobelin.workbench.run.chain import Run

MOST_PROJECTED_ROWS = 2000  # training rows that are projected
LEAST_CAPTIONED_ROWS = 20  # training rows with a caption, to say how sure a label is
CROSSED = "crossed"  # stage: training rows in alignments that have not seen them
CROSSED_FORMAT = 2  # of how they are made; another one is another stage
SAME = 0.999  # cosine from which two captions say the same


def zero_shot(run: Run, query: Shared, text: Field, labels: Sequence[str]) -> list[Finding]:
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
    cosines, count = _pairs(run, fields, text.name, len(labels))
    heat = best_temperature(cosines)
    words = run.features.embedder.embed_column(text.name, text.columns[0], list(labels), Path())
    scores = run.space.alignment.project(words).of(text.name) @ _only(query, fields).pooled()[0]
    sure = softmax(scores.astype(np.float64) / heat)
    right = proportion((cosines[:, 0] > cosines[:, 1:].max(1)).astype(float))
    among = f"among {cosines.shape[1]} captions, by alignments that had not seen them"
    note = f"of {count} training rows, their own caption from {' + '.join(fields)} {among}"
    found = [
        Finding(
            name="zero_shot",
            scope={"label": labels[c]},
            value=float(sure[c]),
            unit="share",
            chance=1 / len(labels),
            source="describe",
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
            source="describe",
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


def text_field(run: Run, cells: Mapping[str, Cell], labels: Sequence[str]) -> Field:
    """The field that reads the labels; an error of one line where this can't be done."""
    text = next(
        (f for f in run.data.schema.fields if run.data.schema.kind(f.columns[0]) == "text"), None
    )
    if text is None:
        names = ", ".join(run.data.schema.field_names)
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
    if run.folder.saved:
        raise GobelinError(
            f"--labels: how sure to be is learned from training rows, and {run.folder.folder} was"
            " saved without. Use the run it was saved from."
        )
    return text


def _pairs(run: Run, fields: tuple[str, ...], text: str, count: int) -> tuple[np.ndarray, int]:
    """float64 [n, m]: cosines of training rows, shown these fields, to their own caption and to m -
    1 others, m up to `count`; and n."""
    unseen = unseen_rows(run)
    there = unseen.has(text) & np.all([unseen.has(f) for f in fields], axis=0)
    rows, halves = np.flatnonzero(there), _halves(unseen)
    asked, captions = _only(unseen, fields).pooled(), unseen.of(text)
    rng, out, width = numpy_generator(run.data.runtime.seed, "candidates", count), [], count
    for row in rows:
        pool = rows[halves[rows] == halves[row]]  # captions of the same alignment
        others = pool[captions[pool] @ captions[row] < SAME]
        width = min(width, len(others) + 1)
        chosen = rng.choice(others, min(count - 1, len(others)), replace=False)
        out.append(captions[np.concatenate([[row], chosen])] @ asked[row])
    if len(out) < LEAST_CAPTIONED_ROWS or width < 2:
        raise GobelinError(
            f"--labels: {len(out)} training rows have {' and '.join(fields)} and a caption of their"
            f" own, {LEAST_CAPTIONED_ROWS} are needed to say how sure a label is. Add captions."
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


def unseen_rows(run: Run) -> Shared:
    """Up to MOST_PROJECTED_ROWS training rows in alignments that have not seen them.

    The groups are cut into two halves. Each row is projected by an alignment fitted on the other
    half, with the settings and bridges of the run's own. Where the run keeps to a stored space, it
    is that space, and it may have seen the rows.
    """
    key = fingerprint(
        CROSSED,
        CROSSED_FORMAT,
        run.space.alignment.fingerprint(),
        run.checked.rows.dataset.fingerprint,
        MOST_PROJECTED_ROWS,
    )

    def make(folder: Path) -> None:
        train = run.checked.rows.part("train")
        names = np.unique([run.checked.rows.groups[r] for r in train])
        side = dict(
            zip(
                names,
                numpy_generator(run.data.runtime.seed, CROSSED).permutation(len(names)) % 2,
                strict=True,
            )
        )
        half, blocks = np.array([side[run.checked.rows.groups[r]] for r in train]), []
        for h in (0, 1):
            others, own = train[half != h], train[half == h][: MOST_PROJECTED_ROWS // 2]
            groups = [run.checked.rows.groups[r] for r in others]
            how, x = run.settings.align, run.features.embeddings.rows(others)
            fitted = kept_space.fit_or_bind(
                how, run.features.embedder, x, groups, run.data.runtime, run.data.progress
            )
            blocks.append((np.full(len(own), h), fitted.project(run.features.embeddings.rows(own))))
        save_arrays(
            folder / "rows.safetensors",
            {
                "half": np.concatenate([h for h, _ in blocks]),
                "vectors": np.concatenate([s.vectors for _, s in blocks]),
                "present": np.concatenate([s.present for _, s in blocks]),
            },
        )

    def load(folder: Path) -> Shared:
        arrays = load_arrays(folder / "rows.safetensors")
        ids = tuple(f"{h}:{k}" for k, h in enumerate(arrays["half"]))
        fields = run.space.alignment.fields
        return Shared(fields, arrays["vectors"], arrays["present"], ids, CROSSED)

    return run.folder.kept(CROSSED, key, make, load)
