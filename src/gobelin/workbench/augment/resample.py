"""Resamples of the training rows, for a study of the method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.core.stages import RunFolder
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.checked_rows import Resample


def resampled(run: Run, number: int) -> Run:
    """The run on one resample of its training rows (bootstrap, Efron 1979).

    Groups are drawn with replacement, as many as there are, within strata: the most common class of
    each group. Space, generators, screening, tuning and the choice of fields are made again from
    the resample, in a folder of its own. The encoders and their features stay.
    """
    rows = run.checked.rows
    train, rng = rows.part("train"), numpy_generator(run.data.runtime.seed, "resample", number)
    members: dict[str, list[int]] = {}
    for r in train:
        members.setdefault(rows.groups[r], []).append(int(r))
    stratum = {
        group: int(np.bincount(rows.target.strata[numbers] + 1).argmax())
        for group, numbers in members.items()
    }
    counts = np.zeros(len(rows.parts), np.int64)
    for s in sorted(set(stratum.values())):
        names = [group for group in members if stratum[group] == s]
        for k in rng.choice(len(names), len(names)):
            counts[members[names[int(k)]]] += 1
    in_train = rows.parts == "train"
    drawn = replace(
        rows,
        parts=np.where(in_train & (counts == 0), "left", rows.parts),
        weights=np.where(in_train, rows.weights * counts, rows.weights).astype(np.float32),
    )
    folder = RunFolder(run.folder.folder / "method" / str(number))
    return run.on_resample(folder, Resample(number, drawn, counts))
