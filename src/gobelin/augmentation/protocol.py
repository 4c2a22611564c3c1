"""How a study was done, in one paragraph for a reader who is no statistician. It is told from the
study's settings and counts.

What this cannot show: whether the test rows were looked at outside this run folder."""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.augmentation.arms import BASELINE, Outcome
from gobelin.augmentation.settings import Augment
from gobelin.evidence.findings import Finding, printed

SCORES = {
    "balanced_accuracy": (
        "balanced accuracy (the share of rows answered right, averaged over classes)"
    ),
    "rmse": "the typical error (root of the mean square)",
}


def protocol(
    how: Augment,
    outcome: Outcome,
    rivals: Sequence[str],
    rows: tuple[int, int],
    units: int,
    look: int,
    metric: str,
) -> Finding:
    """rows: validation rows and test rows that are scored; units: independent test units among the
    latter."""
    generated = outcome.generated
    resamples, generators, seeds, _ = outcome.hits[generated[0]].shape
    smallest = printed(how.smallest_effect, "" if metric == "rmse" else "points")
    valid, test = rows
    cheap = (
        f" {len(rivals)} cheaper ways to get more training rows ({', '.join(rivals)}),"
        if rivals
        else ""
    )
    trained = [f"trained anew from {seeds} random starts"]
    trained += ["with encoders trained on its own rows"] if how.tune else []
    trained += [f"with images of {generators} trainings of the generator"] if generators > 1 else []
    drawn = (
        f" All of this, the generator included, was done anew for {resamples} random draws of the"
        " training rows."
    )
    grouped = f" ({units} independent units)" if units != test else ""
    opened = (
        "which was done once"
        if look == 1
        else f"which was done {look} times by now, so this study is exploratory"
    )
    several = (
        f" With {len(generated)} such sets each must clear a higher bar (Holm 1979)."
        if len(generated) > 1
        else ""
    )
    told = [
        (
            f"Settled beforehand: the score, {SCORES.get(metric, metric)}, and the smallest"
            f" difference that matters, {smallest}."
        ),
        (
            f"Compared are the real rows alone ({BASELINE}),{cheap} and training sets with made"
            f" images ({', '.join(generated)})."
        ),
        (
            f"Each was tried with {how.trials} settings on {valid} validation rows, which chose"
            f" one, and was then {' and '.join(trained)}.{drawn * (resamples > 1)}"
        ),
        f"Made images were screened before the {test} test rows{grouped} were opened, {opened}.",
        (
            "Every difference is between models that answer the same test rows; its 95 % interval"
            " allows for the luck of which rows were tested and of each training."
        ),
        (
            "A set “helped” where the whole interval lies above zero against what it adds to and"
            " against every cheaper way, “harmed” where it lies below zero, had “no effect” where"
            f" it lies within {smallest} either way; all else is “no evidence”, or help that a"
            f" cheaper way may give as well.{several}"
        ),
    ]
    return Finding(name="protocol", n=units, note=" ".join(told), source="augment")
