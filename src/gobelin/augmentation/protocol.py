"""How a study was done, in one paragraph for a reader who is no statistician. It follows from the
settings and counts of the study.

What this cannot show: whether the test rows were used outside this run folder.
"""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.augmentation.arms import BASELINE, Outcome
from gobelin.augmentation.settings import Augment
from gobelin.evidence.findings import Finding, printed

SCORES = {
    "balanced_accuracy": (
        "balanced accuracy (the share of right answers in each class, averaged over classes)"
    ),
    "rmse": "the root mean square error",
}


def protocol(
    settings: Augment,
    outcome: Outcome,
    rivals: Sequence[str],
    rows: tuple[int, int],
    units: int,
    look: int,
    metric: str,
) -> Finding:
    """The finding `protocol`.

    rivals: names of the baseline methods. rows: numbers of scored validation and test rows. units:
    independent units among these test rows. look: the number of this use of the test rows.
    """
    generated = outcome.generated
    resamples, generators, seeds, _ = outcome.hits[generated[0]].shape
    smallest = printed(settings.smallest_effect, "" if metric == "rmse" else "points")
    valid, test = rows
    baselines = (
        f" {len(rivals)} cheaper methods that need no generator ({', '.join(rivals)}),"
        if rivals
        else ""
    )
    changed = f" Changed in them: {settings.changed_rivals}." if settings.changed_rivals else ""
    trained = [f"trained from {seeds} random starts"]
    trained += ["with encoders trained on the rows of the set"] if settings.tune else []
    if generators > 1:
        trained.append(f"with images of {generators} trainings of the generator")
    drawn = (
        f" All of this, with the training of the generator, was repeated for {resamples} random"
        " draws of the training rows."
    )
    grouped = f" ({units} independent units)" if units != test else ""
    opened = (
        "which happened once"
        if look == 1
        else f"which has happened {look} times by now, so this study is exploratory"
    )
    several = (
        f" With {len(generated)} such sets each of them needs stronger evidence (Holm 1979)."
        if len(generated) > 1
        else ""
    )
    sentences = [
        (
            f"Fixed beforehand: the score, {SCORES.get(metric, metric)}, and the smallest"
            f" difference that matters, {smallest}."
        ),
        (
            f"The study compares the real rows alone ({BASELINE}),{baselines} and training sets"
            f" with generated images ({', '.join(generated)}).{changed}"
        ),
        (
            f"Each set was tried with {settings.trials} settings on {valid} validation rows. With"
            f" the best settings it was then {' and '.join(trained)}.{drawn * (resamples > 1)}"
        ),
        f"Generated images were screened before the {test} test rows{grouped} were opened,"
        f" {opened}.",
        (
            "Every difference is between models that answer the same test rows. Its 95 % interval"
            " covers the luck of the drawn test rows and of each training."
        ),
        (
            "A set “helped” where the whole interval lies above zero, against the set that it adds"
            " to and against every cheaper method. It “harmed” where the interval lies below zero,"
            f" and had “no effect” where it lies within {smallest} either way. All else is “no"
            f" evidence”, or help that a cheaper method may give as well.{several}"
        ),
    ]
    return Finding(name="protocol", n=units, note=" ".join(sentences), source="augment")
