"""The one training loop: a task says what a step is, the loop owns everything around it.

The loop owns the count of steps, the average of the weights, gradient clipping, the way back from a
nan, checkpoints and progress. A run that was killed at any moment and is started again ends with
the same bits as one that never stopped: the randomness of step t is a function of (seed, t), the
batch of step t is a function of t, and what is written to disk is always the state at a fixed step,
never at a moment of the clock.

What it does not cover: two machines, or two counts of threads, round differently and give different
last bits."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gobelin.core import files
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, Runtime, derived_seed, generator, silent
from gobelin.networks.watching import Watch

Batch = TypeVar("Batch")
Batch_contra = TypeVar("Batch_contra", contravariant=True)
State = dict[str, Any]
MOST_HALVINGS = 8
MEASURED_SECONDS, WARM_STEPS = (
    3.0,
    2,
)  # of turning minutes into a count of steps; the first ones allocate


class Task(Protocol[Batch_contra]):
    """What is trained. `step` runs forward, backward and its optimisers' steps, and returns losses
    to be recorded.

    All state that must survive a restart lies in `modules` and `optimisers`; all randomness comes
    from `rng`."""

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]

    def step(self, batch: Batch_contra, rng: torch.Generator) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how carefully.

    steps: count of steps. seed: of the run; step t draws from (seed, t). averaged: names of the
    modules whose weights are averaged; half_life: of that average, in steps; ramp: the half-life is
    never longer than this share of the steps so far (StyleGAN2-ADA, Karras et al. 2020,
    `ema_rampup`). clip: largest norm of an optimiser's gradient, 0 = not clipped. warmup: steps in
    which the learning rate rises from 0; cooldown: last share of the steps, in which it falls to 0.
    snapshot: steps between two states to come back to after a nan. seconds: least time between two
    checkpoints on disk."""

    steps: int
    seed: int = 0
    averaged: tuple[str, ...] = ()
    half_life: float = 500.0
    ramp: float = 0.05
    clip: float = 0.0
    warmup: int = 0
    cooldown: float = 0.0
    snapshot: int = 50
    seconds: float = 10.0


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves. averages: {module: state dict of averaged weights}, of the best look where
    it was watched, else of the end. kept: the step that they are of. history: one line a snapshot,
    a look and a rollback; its `step` is the count of finished steps, every loss the mean since the
    line before, `held_out` the score of a look. notes: of the watch."""

    steps: int
    averages: dict[str, State]
    history: list[dict[str, Any]] = field(default_factory=list)
    kept: int = 0
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
) -> TrainingResult:
    """Train `task` in place for `settings.steps` steps, from the checkpoint in `folder` if there is
    one.

    batches: the batch of step t, a pure function of t. identity: of data and settings; a checkpoint
    of another identity is not used. watch: looks at the averaged weights; it chooses those that are
    returned, and can end the run early."""
    shapes = {
        n: [[k, list(v.shape)] for k, v in m.state_dict().items()] for n, m in task.modules.items()
    }
    plan = watch.identity() if watch else None
    loop = _Loop(task, settings, files.fingerprint(identity, asdict(settings), shapes, plan), watch)
    if folder is not None:
        loop.resume(folder / "checkpoint.safetensors")
    if watch and not loop.done:
        watch.begin()
    hooks = [o.register_step_pre_hook(loop.clip) for o in task.optimisers.values()]
    try:
        with torch.random.fork_rng():
            while not loop.over():
                loop.advance(batches(loop.done))
                if folder is not None and loop.due():
                    loop.write(folder / "checkpoint.safetensors")
                progress(what, loop.done, settings.steps)
    finally:
        for hook in hooks:
            hook.remove()
    if watch and watch.best:
        notes = watch.notes(loop.done, settings.steps)
        return TrainingResult(
            loop.done, watch.best["averages"], loop.history, watch.best["step"], notes
        )
    return TrainingResult(loop.done, loop.averages, loop.history, loop.done)


def steps_in(
    task: Task[Batch], batches: Callable[[int], Batch], minutes: float, runtime: Runtime
) -> int:
    """The count of steps that `minutes` buy here, at least 1. `task` is spent by it.

    From the fastest quarter of a few seconds of steps: on a busy machine slow steps measure the
    neighbours."""
    stamps: list[float] = []

    def stop_when_known(what: str, done: int, total: int) -> None:
        stamps.append(time.perf_counter())
        if len(stamps) > WARM_STEPS + 3 and stamps[-1] - stamps[WARM_STEPS] > MEASURED_SECONDS:
            raise _Measured

    with contextlib.suppress(_Measured):
        run(
            task,
            batches,
            TrainingSettings(50, runtime.seed, averaged=tuple(task.modules)),
            progress=stop_when_known,
        )
    spent = sorted(after - before for before, after in itertools.pairwise(stamps[WARM_STEPS:]))
    return max(1, int(minutes * 60 / spent[len(spent) // 4]))


def steps_in_phases(begin: float, steps_an_hour: Callable[[float], int], minutes: float) -> int:
    """The same where a step costs something else once the share `begin` of the training is done.
    steps_an_hour: of a share."""
    hours = begin / steps_an_hour(0.0) + (1 - begin) / steps_an_hour(1.0)
    return max(1, int(minutes / 60 / hours))


class _Measured(Exception):  # noqa: N818 - not an error
    """Enough steps were measured."""


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of the optimiser down the gradient of the loss alone."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def shuffled(
    step: int, rows: int, batch: int, seed: int, weights: np.ndarray | None = None
) -> Tensor:
    """The rows of step t, int64 [batch]: its part of an endless row of permutations, one an epoch.

    weights: from 0 up, [rows]; None counts every row once. In an epoch a row stands w / mean(w)
    times, rounded up or down by systematic sampling (Madow & Madow 1944), so that weights which are
    all the same change nothing."""
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
    """int64 [rows]: row k as often as a number of start, start + 1, start + 2 ... falls in its
    stretch, w_k / mean(w) long."""
    ends = np.cumsum(weights, dtype=np.float64)
    places = np.searchsorted(
        ends * (len(ends) / ends[-1]), np.arange(len(ends)) + start, side="right"
    )
    return torch.from_numpy(np.minimum(places, int(np.flatnonzero(weights)[-1])))


class _Loop:
    """The state of one run: the task, the average, and the last state known to be good."""

    def __init__(
        self, task: Task[Any], settings: TrainingSettings, identity: str, watch: Watch | None = None
    ) -> None:
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
        torch.manual_seed(
            derived_seed(self.settings.seed, "global", step)
        )  # for dropout, which knows no generator
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
        """Whether all steps are done, or the watch has seen enough."""
        return self.done >= self.settings.steps or (self.watch is not None and self.watch.over)

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
                (
                    average[key].lerp_(value, rest)
                    if value.is_floating_point()
                    else average[key].copy_(value)
                )

    def keep(self) -> None:
        """Take the present state as the one to come back to, if every weight is finite."""
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
        """Whether the good state is newer than the disk, and long enough after it, or the last
        one."""
        late = time.monotonic() - self.written >= self.settings.seconds or self.over()
        return self.good["done"] > self.on_disk and late

    def write(self, path: Path) -> None:
        tensors: dict[str, Tensor] = {}
        tree = _flatten({"identity": self.identity, "state": self.good}, "", tensors)
        with files.atomic_file(path) as temporary:
            save_file(tensors, temporary, metadata={"tree": json.dumps(tree)})
        self.written, self.on_disk = time.monotonic(), self.good["done"]

    def resume(self, path: Path) -> None:
        """Continue from `path` if it is there and is of this very run."""
        if not path.exists():
            return
        with safe_open(path, framework="pt") as file:
            tree = json.loads(file.metadata()["tree"])
            if tree["identity"] != self.identity:
                return
            found = _unflatten(tree, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        self.good = found["state"]
        self.restore(self.good)
        self.on_disk = self.done


def _flatten(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401 - JSON is any
    """The tree as JSON: every tensor moved to `tensors` under its path, with its strides; integer
    keys marked."""
    if isinstance(tree, Tensor):
        tensors[path] = tree.detach().cpu().contiguous()
        return {"tensor": path, "stride": tree.stride()}
    if isinstance(tree, Mapping):
        items = [[k, _flatten(v, f"{path}/{k}", tensors)] for k, v in tree.items()]
        return {"items": items} if path else {k: v for k, v in items}
    if isinstance(tree, (list, tuple)):
        return {"list": [_flatten(v, f"{path}/{k}", tensors) for k, v in enumerate(tree)]}
    return tree


def _unflatten(tree: Any, tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    if not isinstance(tree, dict):
        return tree
    if (
        "tensor" in tree
    ):  # the layout in memory is part of the state: other strides round differently
        value = tensors[tree["tensor"]]
        return torch.empty_strided(value.shape, tree["stride"], dtype=value.dtype).copy_(value)
    if "items" in tree:
        return {k: _unflatten(v, tensors) for k, v in tree["items"]}
    if "list" in tree:
        return [_unflatten(v, tensors) for v in tree["list"]]
    return {k: _unflatten(v, tensors) for k, v in tree.items()}
