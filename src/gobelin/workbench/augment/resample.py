"""Resamples of the training rows, for a study of the method."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from gobelin.core.files import fingerprint
from gobelin.core.machine import numpy_generator
from gobelin.core.stages import RunFolder
from gobelin.workbench.augment.arms import Arms
from gobelin.workbench.run.folder import Artefacts


def resampled(made: Artefacts, number: int) -> Arms:
    """The arms of one resample of the training rows: groups drawn with replacement, within their
    commonest class, as often as there are (bootstrap, Efron 1979). Space, generators, screening and
    tuning are made anew from it in a folder of its own; the encoders, and with them the features,
    stay as they are."""
    rows = made.rows
    _ = made.reader, made.embeddings, made.predict_fields
    train, rng = rows.part("train"), numpy_generator(made.runtime.seed, "resample", number)
    of: dict[str, list[int]] = {}
    for r in train:
        of.setdefault(rows.groups[r], []).append(int(r))
    stratum = {g: int(np.bincount(rows.target.strata[own] + 1).argmax()) for g, own in of.items()}
    count = np.zeros(len(rows.parts), np.int64)
    for s in sorted(set(stratum.values())):
        names = [g for g in of if stratum[g] == s]
        for g in rng.choice(len(names), len(names)):
            count[of[names[int(g)]]] += 1
    other = copy.copy(made)
    for name in ("alignment", "shared", "model", "image_rows", "index"):
        other.__dict__.pop(name, None)
    parts = np.where((rows.parts == "train") & (count == 0), "left", rows.parts)
    weights = np.where(rows.parts == "train", rows.weights * count, rows.weights).astype(np.float32)
    other.run = RunFolder(made.run.folder / "method" / str(number))
    other.__dict__["rows"] = replace(rows, parts=parts, weights=weights)
    other.__dict__["data_key"] = fingerprint(made.data_key, "resample", number)
    drawn = np.flatnonzero((parts == "train") & rows.target.present)
    return Arms(other, count[drawn])
