"""What a saved run tells of its training rows, and what it doesn't.

`PROMISES` is the one list of it: the model card prints the sentences, and
`tests/workbench/save/test_disclosure.py` has one test for each of their names. An encoder's stage
says in kept.json by how many groups its values are held. A run that an earlier version began has
none: it opens with a warning, and can't be saved. The same holds for trees of a number whose leaves
an earlier version grew.

What this cannot show: what the weights of a trained network have memorised.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import read_json, write_json
from gobelin.core.stages import RunFolder, right_values
from gobelin.data.coarse import coarse_up
from gobelin.evidence.findings import Finding
from gobelin.prediction.heads.members import LEAVES_OF_GROUPS, TREES

KEPT = "kept.json"  # in the stage of every encoder
LEAVES = "an earlier version grew its trees, and they can tell the number of one row"
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that

# {name: sentence}. {k} is `data.least_groups`.
PROMISES = {
    "arrays": "No array in this folder is a training row, an image or the features of one.",
    "quantiles": "A quantile of numbers or dates is the mean of the values of {k} groups or more,"
    " the smallest and the largest too. So is a leaf of a tree that answers with a number.",
    "levels": "A value of a category or an n-gram of texts is kept only if {k} groups have it.",
    "directions": "There are at most three components of features for four different rows, and none"
    " is nearly a row of fewer than {k} groups.",
}
ALL_KEPT = (
    "`data.least_groups` was 1 in this run: values, quantiles and components of single training"
    " rows are in this folder."
)
REMAINING_FACTS = (
    "the names of columns and of the target's classes (those are needed, however rare), values of"
    " table columns that enough groups have, means of numbers and dates, counts, a hash of the"
    " whole data set, and whatever the weights have memorised"
)


def promised(run: RunFolder) -> list[str]:
    """The sentences that hold for this run, for its card."""
    k = least_groups(run)
    return [ALL_KEPT] if k == 1 else [text.format(k=k) for text in PROMISES.values()]


def least_groups(run: RunFolder) -> int | None:
    """How many groups have each value that the run's encoders keep; None where that isn't known,
    because an earlier version fitted them."""
    marks = [stage.with_name(KEPT) for stage in run.folder.glob("encoders/*/stage.json")]
    if not all(mark.is_file() for mark in marks):
        return None
    with right_values(run.folder / "encoders"):
        return min((int(read_json(mark)["least_groups"]) for mark in marks), default=1)


def told(findings: Iterable[Finding], least: int) -> list[Finding]:
    """The findings for others. None is about single rows. The mean width of intervals is that of
    one row where all intervals are alike, so it is rounded up, as the intervals are. What was
    converted is told of `least` groups or more: it may name a value of the cells."""
    kept = [f.without_rows() for f in findings if f.name != "converted_cells" or f.n >= least]
    return [_wider(f) if f.name == "interval_width" and least > 1 else f for f in kept]


def _wider(width: Finding) -> Finding:
    value, low, high = (
        None if v is None else float(coarse_up(np.array(v)))
        for v in (width.value, width.low, width.high)
    )
    return replace(width, value=value, low=low, high=high)


def single_leaves(run: RunFolder) -> bool:
    """Whether a leaf of a tree may be the answer of one row: a predictor of a number has trees that
    an earlier version grew."""
    for path in run.folder.glob("*/model.json"):
        if not (beside := path.with_name("config.json")).is_file():
            continue
        model, config = read_json(path), read_json(beside)
        settings = config.get("settings") if isinstance(config, dict) else None
        heads = settings.get("members") if isinstance(settings, dict) else None
        trees = [m for m in heads or () if isinstance(m, dict) and m.get("head") in TREES]
        number = isinstance(model, dict) and model.get("kind") == "number"
        if number and trees and not config.get(LEAVES_OF_GROUPS):
            return least_groups(run) != 1
    return False


def warn(run: RunFolder) -> None:
    """One line where the folder holds training rows."""
    if single_leaves(run):
        LOG.warning("%s: %s. Fit anew in another run folder and save that.", run.folder, LEAVES)
    if least_groups(run) is None:
        LOG.warning(
            "%s: an earlier version made it and stored training rows in it, as landmarks of the"
            " shared space and as values of table columns. Fit anew in another run folder and save"
            " that.",
            run.folder,
        )


def refuse(run: RunFolder) -> None:
    """Raises GobelinError where the folder holds training rows."""
    if least_groups(run) is None:
        raise GobelinError(
            f"{run.folder}: an earlier version fitted it and stored training rows in it. Fit anew"
            " in another --run and save that."
        )
    if single_leaves(run):
        raise GobelinError(f"{run.folder}: {LEAVES}. Fit anew in another --run and save that.")


def mark(stage: Path, least: int | None) -> None:
    """Write how many groups have each value that an encoder keeps; None writes nothing."""
    if least is not None:
        write_json(stage / KEPT, {"least_groups": least})
