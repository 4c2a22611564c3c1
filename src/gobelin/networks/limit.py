"""A limit of time for a training: its first tenth decides how many steps are made, once.

What it can't do: keep a limit to the second. A machine that gets busy later takes longer; the count
stays.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

FIRST_PART = 0.1  # share of the steps, or of the limit, after which the count is decided


class Pilot:
    """The first tenth of a training whose time is limited. It decides the count of steps, once.

    It ends after a tenth of the planned steps or of the limit, whichever is first, and always after
    a whole step. If all planned steps fit into the limit, the training goes on from there.
    Otherwise it starts anew, with as many steps as fit into the rest of the time: which steps are
    coarse, and when the learning rate falls, depends on the count.
    """

    def __init__(self, minutes: float, planned: int) -> None:
        self.seconds, self.planned = 60 * minutes, planned
        self.steps = planned  # the decision
        self.marks: list[float] = []  # the time before the first step, then after each

    def decides(self, slower: float) -> bool:
        """Is called before the first step and after each: whether the count is decided now.

        slower: time of a mean step of the whole training, over that of one in its first tenth.
        """
        self.marks.append(time.monotonic())
        done, spent = len(self.marks) - 1, self.marks[-1] - self.marks[0]
        if not done or (done < FIRST_PART * self.planned and spent < FIRST_PART * self.seconds):
            return False
        # The first step also allocates memory.
        a_step = (self.marks[-1] - self.marks[1]) / (done - 1) if done > 1 else spent
        rest = self.seconds - spent
        if a_step * slower * (self.planned - done) > rest:
            self.steps = min(self.planned, max(1, int(rest / (a_step * slower))))
        return True


class Decided(Exception):  # noqa: N818 - not an error
    """A pilot has decided the count of steps."""


def steps_within(minutes: float, planned: int, train: Callable[[Pilot], object]) -> int:
    """The count of steps that fit into `minutes`, from 1 to `planned`. It is to be recorded, and
    given to the training itself.

    train: the training of `planned` steps, which hands its pilot to `training.run`. If all steps
    fit, its checkpoint is that of the training itself.
    """
    pilot = Pilot(minutes, planned)
    with contextlib.suppress(Decided):
        train(pilot)
    return pilot.steps


def mean_over_first(begin: float, later: float) -> float:
    """The time of a mean step of a training, over that of a mean step in its first tenth.

    From the share `begin` of the training on, a step takes `later` times as long as before."""

    def mean(share: float) -> float:
        before = min(begin, share) / share
        return before + (1 - before) * later

    return mean(1.0) / mean(FIRST_PART)
