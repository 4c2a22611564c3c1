"""The ledger of spent privacy: one line a private training, in privacy.jsonl of the run folder.

A line is written before the training takes anything from the rows. So a training that is killed in
between has spent its epsilon too. Lines are never removed: what was released stays released. A
finished training that is only loaded spends nothing.

What this cannot show: what was spent in other run folders on the same rows.
"""

from __future__ import annotations

import logging
from typing import Any

from gobelin.core.errors import GobelinError
from gobelin.core.files import read_lines, write_lines
from gobelin.core.stages import WRONG_VALUES, RunFolder
from gobelin.privacy.gaussian import total
from gobelin.privacy.guarantee import Guarantee

LEDGER = "privacy.jsonl"
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def spend(folder: RunFolder, what: str, promise: Guarantee) -> None:
    """Record a training, and tell what the run has spent so far. what: generator and seed."""
    with folder.alone():
        rows = lines(folder)
        rows.append({"what": what, **promise.to_dict()})
        write_lines(folder.folder / LEDGER, rows)
    epsilon, delta = total((row["epsilon"], row["delta"]) for row in rows)
    so_far = f" So far the run has spent {epsilon:g} (delta {delta:.3g}), in {len(rows)} trainings."
    LOG.warning(
        "%s: this training spends epsilon %g (delta %.3g), for one %s. Its noise does not follow"
        " from the seed; training again makes other images and spends again.%s",
        what,
        promise.epsilon,
        promise.delta,
        promise.unit,
        so_far if len(rows) > 1 else "",
    )


def lines(folder: RunFolder) -> list[dict[str, Any]]:
    """Every training that spent something. Raises GobelinError for a damaged ledger."""
    path = folder.folder / LEDGER
    try:
        rows = read_lines(path)
        return [row | {k: float(row[k]) for k in ("epsilon", "delta")} for row in rows]
    except (GobelinError, *WRONG_VALUES) as error:
        raise GobelinError(
            f"{path}: is damaged, and it counts what private generators told. Restore it."
        ) from error


def spent(folder: RunFolder) -> str:
    """A sentence on what the run has spent in all, '' where that is nothing."""
    if not (rows := lines(folder)):
        return ""
    epsilon, delta = total((row["epsilon"], row["delta"]) for row in rows)
    many = f"{len(rows)} private trainings" if len(rows) > 1 else "one private training"
    return f"spent in this run: epsilon {epsilon:g}, delta {delta:.3g} ({many}, summed)"
