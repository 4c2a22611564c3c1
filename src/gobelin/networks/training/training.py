"""The one training loop: a task defines a step, the loop does everything around it.

The loop owns the count of steps, the average of the weights, gradient clipping, the return from a
nan, checkpoints and progress. A training that was killed at any moment and is started again ends
with the same bits as one that never stopped: the randomness of step t is a function of (seed, t),
the batch of step t is a function of t, and a checkpoint is always the state at a fixed step, never
at a moment of the clock.

How many steps are made is a count that the caller gives. A limit of time can lower it once, after
the first tenth of the training (`limit`); then the training starts anew with that count. Where the
machine gets slower later, the limit can also end it after some step. So the result depends on the
count and on that step alone, and numbers that are given again give the same bits.

What it does not cover: two machines, or two counts of threads, round differently and give different
last bits.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core import files
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, derived_seed, generator, silent
from gobelin.networks.training.checkpoint import State, read_checkpoint, write_checkpoint
from gobelin.networks.training.limit import Decided, Guard, Pilot
from gobelin.networks.training.watching import Watch

Batch = TypeVar("Batch")
Batch_contra = TypeVar("Batch_contra", contravariant=True)
MOST_HALVINGS = 8  # of the learning rate; then a training that isn't finite is given up


class Task(Protocol[Batch_contra]):
    """What is trained. `step` runs forward, backward and its optimisers' steps, and returns the
    losses that go into the history.

    All state that must survive a restart lies in `modules` and `optimisers`; all randomness comes
    from `rng`.
    """

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]

    def step(self, batch: Batch_contra, rng: torch.Generator) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how carefully a task is trained."""

    # count of steps
    steps: int
    # of the training; step t draws from (seed, t)
    seed: int = 0
    # names of the modules whose weights are averaged
    averaged: tuple[str, ...] = ()
    # of that average, in steps
    half_life: float = 500.0
    # the half-life is never longer than this share of the steps so far (StyleGAN2-ADA, Karras et
    # al. 2020, `ema_rampup`)
    ramp: float = 0.05
    # largest norm of an optimiser's gradient; 0 = not clipped
    clip: float = 0.0
    # steps in which the learning rate rises from 0
    warmup: int = 0
    # last share of the steps, in which the learning rate falls to 0
    cooldown: float = 0.0
    # steps between two states that a nan returns to
    snapshot: int = 50
    # least time between two checkpoints on disk
    seconds: float = 10.0


@dataclass(frozen=True)
class TrainingResult:
    """What a training gives.

    steps: count of finished steps. averages: {module: state dict of averaged weights}, of the best
    look where the training was watched, else of its end. best_step: the step of these weights.
    history: one line a snapshot, a look and a rollback; its `step` is the count of finished steps,
    every loss the mean since the line before, `held_out` the score of a look. notes: of the
    watch.
    """

    steps: int
    averages: dict[str, State]
    history: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    notes: tuple[str, ...] = ()


def run(
    task: Task[Batch],
    batches: Callable[[int], Batch],
    settings: TrainingSettings,
    folder: Path | None = None,
    identity: str = "",
    progress: Progress = silent,
    what: str = "train",
    watch: Watch | None = None,
    pilot: Pilot | Guard | None = None,
    slower: float = 1.0,
    end: int = 0,
) -> TrainingResult:
    """Train `task` in place for `settings.steps` steps, from the checkpoint in `folder` if there is
    one. Raises GobelinError where it is not finite even at the smallest learning rate.

    batches: the batch of step t, a pure function of t. identity: hash of data and settings; a
    checkpoint of another identity is not used. what: name of the training, for `progress`. watch:
    scores the averaged weights at fixed steps, chooses those that are returned, and can end the
    training early. pilot: ends the training once it knows how many steps fit into its limit, or
    where it passed it. slower: time of a mean step of the training, over that of one in its first
    tenth. end: the step after which a limit ended it; 0 = none.
    """
    shapes = {
        n: [[k, list(v.shape)] for k, v in m.state_dict().items()] for n, m in task.modules.items()
    }
    plan = watch.identity() if watch else None
    loop = _Loop(
        task, settings, files.fingerprint(identity, asdict(settings), shapes, plan), watch, end
    )
    if folder is not None:
        loop.resume(folder / "checkpoint.safetensors")
    if watch and not loop.done:
        watch.begin()
    hooks = [o.register_step_pre_hook(loop.clip) for o in task.optimisers.values()]
    try:
        with torch.random.fork_rng():
            while not loop.over():
                if pilot and pilot.decides(slower):
                    if isinstance(pilot, Guard):
                        pilot.reached = loop.settled()
                    if folder is not None and loop.good["done"] > loop.on_disk:
                        loop.write(folder / "checkpoint.safetensors")
                    raise Decided
                loop.advance(batches(loop.done))
                if folder is not None and loop.due():
                    loop.write(folder / "checkpoint.safetensors")
                progress(what, loop.done, settings.steps)
    finally:
        for hook in hooks:
            hook.remove()
    ended = (
        f"{what}: ended after step {loop.done} of {settings.steps}, as steps became slower and the"
        " limit of time was passed."
    )
    notes: tuple[str, ...] = (ended,) if 0 < end == loop.done < settings.steps else ()
    if watch and watch.best:
        notes += watch.notes(loop.done, loop.done if notes else settings.steps)
        return TrainingResult(
            loop.done, watch.best["averages"], loop.history, watch.best["step"], notes
        )
    return TrainingResult(loop.done, loop.averages, loop.history, loop.done, notes)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of the optimiser down the gradient of the loss alone."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def shuffled(
    step: int, rows: int, batch: int, seed: int, weights: np.ndarray | None = None
) -> Tensor:
    """The rows of step t, int64 [batch]: its part of an endless sequence of permutations, one an
    epoch.

    weights: from 0 up, [rows]; None counts every row once. In an epoch a row comes w / mean(w)
    times, rounded up or down by systematic sampling (Madow & Madow 1944), so equal weights change
    nothing.
    """
    parts: list[Tensor] = []
    start, left = step * batch, batch
    while left:
        epoch, offset = divmod(start, rows)
        order = torch.randperm(rows, generator=generator(seed, "order", epoch))[
            offset : offset + left
        ]
        if weights is not None:
            order = _systematic(
                weights, float(torch.rand((), generator=generator(seed, "weights", epoch)))
            )[order]
        parts.append(order)
        start, left = start + len(order), left - len(order)
    return torch.cat(parts)


def _systematic(weights: np.ndarray, start: float) -> Tensor:
    """int64 [rows]: row k as often as one of the numbers start, start + 1, start + 2 ... falls into
    its interval, which is w_k / mean(w) long. start: 0 to 1.
    """
    ends = np.cumsum(weights, dtype=np.float64)
    places = np.searchsorted(
        ends * (len(ends) / ends[-1]), np.arange(len(ends)) + start, side="right"
    )
    return torch.from_numpy(np.minimum(places, int(np.flatnonzero(weights)[-1])))


class _Loop:
    """The state of one training: the task, the average, and the last state known to be good."""

    def __init__(
        self,
        task: Task[Any],
        settings: TrainingSettings,
        identity: str,
        watch: Watch | None = None,
        end: int = 0,
    ) -> None:
        self.last = min(end or settings.steps, settings.steps)  # step
        self.task, self.settings, self.identity, self.watch = task, settings, identity, watch
        self.rates = {n: [g["lr"] for g in o.param_groups] for n, o in task.optimisers.items()}
        self.averages: dict[str, State] = {
            name: {k: v.detach().clone() for k, v in task.modules[name].state_dict().items()}
            for name in settings.averaged
        }
        self.done, self.halvings, self.history = 0, 0, list[dict[str, Any]]()
        self.sums: dict[str, float] = {}
        self.good = self.capture()
        self.written, self.on_disk = time.monotonic(), 0

    def advance(self, batch: object) -> None:
        """One step, or a step back to the last good state."""
        step = self.done
        self.set_rates(step)
        # for dropout, which takes no generator
        torch.manual_seed(derived_seed(self.settings.seed, "global", step))
        losses = self.task.step(batch, generator(self.settings.seed, "step", step))
        values = {name: float(value) for name, value in losses.items()}
        if not all(math.isfinite(v) for v in values.values()):
            self.roll_back()
            return
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.average(step)
        self.done = step + 1
        if self.watch:
            self.history += self.watch.look(self.done, self.task.modules, self.averages)
        if self.done % self.settings.snapshot == 0 or self.over():
            self.keep()

    def over(self) -> bool:
        """Whether all steps are done, or the watch ends the training."""
        return self.done >= self.last or (self.watch is not None and self.watch.over)

    def set_rates(self, step: int) -> None:
        """Learning rate: linear warm-up, constant, linear cool-down; halved for every rollback."""
        s = self.settings
        scale = min(1.0, (step + 1) / s.warmup) if s.warmup else 1.0
        if s.cooldown:
            scale *= min(1.0, (s.steps - step) / (s.cooldown * s.steps))
        for name, optimiser in self.task.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * scale * 0.5**self.halvings

    def clip(self, optimiser: torch.optim.Optimizer, *_: object) -> None:
        """Before every optimiser's step: bound the norm of its gradient."""
        if self.settings.clip:
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip)

    @torch.no_grad()
    def average(self, step: int) -> None:
        """a <- d a + (1 - d) w with d = 0.5 ^ (1 / half-life); integers (counters) are copied."""
        half_life = min(self.settings.half_life, self.settings.ramp * (step + 1))
        rest = 1.0 - 0.5 ** (1.0 / half_life) if half_life > 0 else 1.0
        for name, average in self.averages.items():
            for key, value in self.task.modules[name].state_dict().items():
                if value.is_floating_point():
                    average[key].lerp_(value, rest)
                else:
                    average[key].copy_(value)

    def keep(self) -> None:
        """Take the present state as the good one, if every weight is finite; else roll back."""
        states = [m.state_dict() for m in self.task.modules.values()]
        if not all(
            bool(torch.isfinite(v).all())
            for s in states
            for v in s.values()
            if v.is_floating_point()
        ):
            self.roll_back()
            return
        count = self.done - self.good["done"]
        self.history.append(
            {"step": self.done} | {name: total / count for name, total in self.sums.items()}
        )
        self.sums = {}
        self.good = self.capture()

    def settled(self) -> int:
        """The present step, its state taken as the good one as at the end of a training."""
        if self.good["done"] < self.done:
            self.keep()
        return int(self.good["done"])

    def roll_back(self) -> None:
        """Return to the last good state with half the learning rate, and say so in the history."""
        failed = self.done
        if self.halvings == MOST_HALVINGS:
            raise GobelinError(
                f"train: not finite at step {failed} after {MOST_HALVINGS} halvings of the learning"
                " rate. Lower the learning rate or check the data for nan."
            )
        event = {
            "step": failed,
            "event": f"not finite: back to step {self.good['done']}, learning rate halved",
        }
        self.good["halvings"] += 1
        self.good["history"].append(event)
        self.restore(self.good)

    def capture(self) -> State:
        """A copy of everything that the next steps depend on."""
        modules = {name: m.state_dict() for name, m in self.task.modules.items()}
        optimisers = {name: o.state_dict() for name, o in self.task.optimisers.items()}
        numbers = {"done": self.done, "halvings": self.halvings, "history": self.history}
        state = copy.deepcopy(
            {"modules": modules, "optimisers": optimisers, "averages": self.averages} | numbers
        )
        return state | ({"watch": self.watch.state()} if self.watch else {})

    def restore(self, state: State) -> None:
        state = copy.deepcopy(state)
        for name, module in self.task.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimiser in self.task.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for name, average in self.averages.items():
            for key, value in average.items():
                value.copy_(state["averages"][name][key])
        self.done, self.halvings, self.history, self.sums = (
            state["done"],
            state["halvings"],
            state["history"],
            {},
        )
        if self.watch:
            self.watch.restore(state["watch"])

    def due(self) -> bool:
        """Whether to write a checkpoint: the good state is newer than the one on disk, and that is
        old enough or the training is over.
        """
        late = time.monotonic() - self.written >= self.settings.seconds or self.over()
        return self.good["done"] > self.on_disk and late

    def write(self, path: Path) -> None:
        write_checkpoint(path, self.identity, self.good)
        self.written, self.on_disk = time.monotonic(), self.good["done"]

    def resume(self, path: Path) -> None:
        """Continue from the checkpoint in `path`, if it is one of this training."""
        state = read_checkpoint(path, self.identity)
        if state is None:
            return
        self.good = state
        self.restore(self.good)
        self.on_disk = self.done
