"""A limit of time for a training. Its first tenth decides how many steps are made. Where the
machine gets slower later, the training ends after a step that is recorded, so that a limit is
never passed by much more than `OVERRUN`.

What it can't do: keep a limit to the second. A step, and a look at validation rows, are whole.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

OVERRUN = 1.4  # times the limit, after which a training ends where it stands
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

    @property
    def left(self) -> float:
        """Seconds that are left for the training itself until it passes its limit by too much."""
        spent = self.marks[-1] - self.marks[0] if self.marks else 0.0
        return OVERRUN * self.seconds - spent

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


class Guard:
    """Ends a training of a decided count after so many seconds, whatever step that is, but never
    before its first one. A training that keeps its pace is not touched."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun: float | None = None
        self.reached = 0  # the step after which it ended; 0: it did not

    def decides(self, slower: float) -> bool:  # noqa: ARG002 - as a pilot has it
        """Is called before the first step and after each: whether the time is over."""
        if self.begun is None:
            self.begun = time.monotonic()
            return False
        return time.monotonic() - self.begun >= self.seconds


class Decided(Exception):  # noqa: N818 - not an error
    """A pilot has decided the count of steps, or a guard the end."""


def ended_within(seconds: float, train: Callable[[Guard], object]) -> int:
    """The step after which a training ended because it took longer than `seconds`; 0 where it did
    not. It is to be recorded, and given to the training itself, which goes on from the checkpoint.

    train: the training, which hands its guard to `training.run`."""
    guard = Guard(seconds)
    with contextlib.suppress(Decided):
        train(guard)
    return guard.reached


def pilot_within(minutes: float, planned: int, train: Callable[[Pilot], object]) -> Pilot:
    """The pilot of a training, after it decided. See `steps_within`."""
    pilot = Pilot(minutes, planned)
    with contextlib.suppress(Decided):
        train(pilot)
    return pilot


def steps_within(minutes: float, planned: int, train: Callable[[Pilot], object]) -> int:
    """The count of steps that fit into `minutes`, from 1 to `planned`. It is to be recorded, and
    given to the training itself.

    train: the training of `planned` steps, which hands its pilot to `training.run`. If all steps
    fit, its checkpoint is that of the training itself.
    """
    return pilot_within(minutes, planned, train).steps


def mean_over_first(begin: float, later: float) -> float:
    """The time of a mean step of a training, over that of a mean step in its first tenth.

    From the share `begin` of the training on, a step takes `later` times as long as before."""

    def mean(share: float) -> float:
        before = min(begin, share) / share
        return before + (1 - before) * later

    return mean(1.0) / mean(FIRST_PART)
