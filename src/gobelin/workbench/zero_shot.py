"""Labels in words that nobody trained on: the one that fits a record best, and its probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, load_arrays, save_arrays
from gobelin.core.lazy import optimize
from gobelin.core.machine import numpy_generator
from gobelin.core.softmax import log_softmax, softmax
from gobelin.data.fields import Cell, Field
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.alignment.align import Shared
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import proportion
from gobelin.workbench.run.chain import Run

MOST_PROJECTED_ROWS = 2000  # training rows that are projected
LEAST_CAPTIONED_ROWS = 20  # training rows with a caption that a probability needs
CROSSED = "crossed"  # stage: training rows in alignments fitted without them
CROSSED_FORMAT = 2  # of that stage
SAME = 0.999  # cosine from which two captions count as equal


def zero_shot(run: Run, query: Shared, text: Field, labels: Sequence[str]) -> list[Finding]:
    """The labels by probability: softmax of their cosines with the record, over a temperature.

    The temperature has the smallest log loss on training rows with a caption. Each of them chooses
    its caption among as many captions as there are labels, by an alignment fitted on the half of
    the rows that it is not in.

    What this cannot show: the probability of labels that are unlike the captions, for example
    single words where captions are sentences.
    """
    fields = tuple(
        f
        for f, present in zip(query.fields, query.present[0], strict=True)
        if present and f != text.name
    )
    cosines, count = _pairs(run, fields, text.name, len(labels))
    temperature = best_temperature(cosines)
    words = run.features.embedder.embed_column(text.name, text.columns[0], list(labels), Path())
    scores = run.space.alignment.project(words).of(text.name) @ _only(query, fields).pooled()[0]
    probability = softmax(scores.astype(np.float64) / temperature)
    right = proportion((cosines[:, 0] > cosines[:, 1:].max(1)).astype(float))
    among = f"among {cosines.shape[1]} captions, by alignments fitted without them"
    note = f"of {count} training rows, their own caption from {' + '.join(fields)} {among}"
    findings = [
        Finding(
            name="zero_shot",
            scope={"label": labels[c]},
            value=float(probability[c]),
            unit="share",
            chance=1 / len(labels),
            source="describe",
            note=f"temperature {temperature:.3f}, from {count} training captions",
        )
        for c in np.argsort(-probability, kind="stable")
    ]
    chance = 1 / cosines.shape[1]
    return [
        *findings,
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
    """The temperature t of softmax(cosines / t) with the smallest log loss (Guo et al. 2017).

    cosines: float [n, m], of which the first column is right.
    """
    best = optimize.minimize_scalar(
        lambda t: -log_softmax(cosines / np.exp(t), axis=1)[:, 0].mean(),
        bounds=(-6, 3),
        method="bounded",
    )
    return float(np.exp(best.x))


def text_field(run: Run, cells: Mapping[str, Cell], labels: Sequence[str]) -> Field:
    """The text field that encodes the labels. Raises GobelinError where labels can't be used."""
    text = next(
        (f for f in run.data.schema.fields if run.data.schema.kind(f.columns[0]) == "text"), None
    )
    if text is None:
        names = ", ".join(run.data.schema.field_names)
        raise GobelinError(
            f"--labels: labels need a text field, found {names}. Fit with a column of captions."
        )
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(labels):
        raise GobelinError(
            f"--labels {','.join(labels)!r}: two or more different labels were expected. Give"
            " A,B,..."
        )
    if set(cells) <= {text.name}:
        raise GobelinError(
            f"--labels: the record has no field but {text.name!r}. Give it an image, a row or"
            " another field."
        )
    if run.folder.saved:
        raise GobelinError(
            f"--labels: probabilities need training rows, and {run.folder.folder} was saved"
            " without them. Use the run that it was saved from."
        )
    return text


def _pairs(run: Run, fields: tuple[str, ...], text: str, count: int) -> tuple[np.ndarray, int]:
    """float64 [n, m], and n: cosines of training rows with their own caption and m - 1 others.

    The vector of a row uses these fields only. m is `count`, or less where captions are few.
    """
    unseen = unseen_rows(run)
    usable = unseen.has(text) & np.all([unseen.has(f) for f in fields], axis=0)
    rows, halves = np.flatnonzero(usable), _halves(unseen)
    queries, captions = _only(unseen, fields).pooled(), unseen.of(text)
    rng, out, width = numpy_generator(run.data.runtime.seed, "candidates", count), [], count
    for row in rows:
        pool = rows[halves[rows] == halves[row]]  # captions of the same alignment
        others = pool[captions[pool] @ captions[row] < SAME]
        width = min(width, len(others) + 1)
        chosen = rng.choice(others, min(count - 1, len(others)), replace=False)
        out.append(captions[np.concatenate([[row], chosen])] @ queries[row])
    if len(out) < LEAST_CAPTIONED_ROWS or width < 2:
        raise GobelinError(
            f"--labels: {len(out)} training rows have {' and '.join(fields)} and a caption of their"
            f" own, {LEAST_CAPTIONED_ROWS} are needed for probabilities. Add captions."
        )
    return np.stack([cosines[:width] for cosines in out]).astype(np.float64), len(out)


def _only(shared: Shared, fields: Sequence[str]) -> Shared:
    """The same rows with these fields only."""
    shown = shared.present & np.isin(shared.fields, list(fields))
    return Shared(
        shared.fields, shared.vectors * shown[..., None], shown, shared.ids, shared.fingerprint
    )


def _halves(unseen: Shared) -> np.ndarray:
    """int [n]: the number (0, 1) of the alignment that projected each row of `unseen_rows`."""
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
            others, projected = train[half != h], train[half == h][: MOST_PROJECTED_ROWS // 2]
            groups = [run.checked.rows.groups[r] for r in others]
            settings, x = run.settings.align, run.features.embeddings.rows(others)
            fitted = kept_space.fit_or_bind(
                settings, run.features.embedder, x, groups, run.data.runtime, run.data.progress
            )
            blocks.append(
                (
                    np.full(len(projected), h),
                    fitted.project(run.features.embeddings.rows(projected)),
                )
            )
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
