"""Images with differential privacy: a flow whose every training step is noisy (DP-SGD).

The flow is that of `flow`: a transformer on patches learns the velocity from noise to images
(Lipman et al. 2023). What it learns from are noisy mean gradients of groups of rows
(`gobelin.privacy.private_gradient`; Abadi et al. 2016). A part of the budget pays for one more
release: a noisy coarse mean image of each class. The network first learns from shifted and shaded
copies of these, which costs nothing more (central images, DP-FETA, 2025); and the path of each
class is centred on its mean image. Epsilon is that of all releases together
(`gobelin.privacy.accountant`). Noise and the choice of groups come from the operating system and
not from the seed: two trainings with one seed differ, and each spends its epsilon.

What this cannot show: that a run is private. Its predictor, encoders and findings are not; every
epsilon stands beside a list of them. Nor that images are good: `private_means` needs fewer rows and
less time, this one shows more detail where rows are many. Conditions other than the class are not
learned, as vectors of the shared space tell of other rows. The losses of training and validation
rows are not computed, as they would tell of rows too.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.generation.counts import steps_by_data
from gobelin.generation.fitting import (
    Learned,
    blocks,
    from_seed,
    noise,
    restored,
    training_identity,
)
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.generation.private_descent import NoisyDescent, slots_in
from gobelin.generation.private_training import (
    RELEASED,
    PrivateFitted,
    Released,
    budget_setting,
    half_life_setting,
    rate_setting,
    remarks,
    slots_of,
    store,
    stored,
    sums,
    terms_of,
)
from gobelin.networks import flow_path
from gobelin.networks.class_velocity import ClassVelocity, learn_means
from gobelin.networks.convolution import pixels_of
from gobelin.networks.flow_path import LOSS_ROWS, Solver, VelocityField
from gobelin.networks.training.limit import Pilot
from gobelin.networks.training.training import TrainingSettings, run
from gobelin.privacy import gaussian
from gobelin.privacy.accountant import Releases, noise_for
from gobelin.privacy.guarantee import Budget, kept_private
from gobelin.privacy.mean_embedding import MeanEmbedding
from gobelin.privacy.terms import Terms

USUAL_STEPS = 400  # by default, for 1,000 images of 32 x 32 pixels
COUNTED = 0.1  # share of the squared vector of the one release for the count
CHECKPOINT = "checkpoint.safetensors"
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@settings_class
class PrivateFlow:
    """Settings."""

    dp: Budget = budget_setting()
    batch: int = setting(
        default=128, ge=1, le=1_000_000, description="Groups in a training step, on average."
    )
    population: int = setting(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="About how many groups there are, as you may tell. 0 takes a power of two.",
    )
    draws: int = setting(
        default=4, ge=1, le=256, description="Rows, noises and times of a group in a step."
    )
    length: float = setting(
        default=0.1, ge=1e-6, le=1e6, description="Largest length of a group's gradient."
    )
    mirror: bool = setting(default=False, description="Whether a mirrored image is as good.")
    central: float = setting(
        default=0.3,
        ge=0,
        le=0.9,
        description="Share of epsilon for coarse mean images of the classes. 0 for none.",
    )
    cells: int = setting(
        default=8, ge=1, le=64, description="Cells a side of the coarse mean images."
    )
    warmup: float = setting(
        default=1.0,
        ge=0,
        le=1000,
        description="Steps on changed mean images beforehand, over noisy steps.",
    )
    width: int = setting(
        default=64, ge=4, le=8192, description="Width of the transformer. A multiple of heads."
    )
    depth: int = setting(default=2, ge=1, le=128, description="Blocks of the transformer.")
    heads: int = setting(default=2, ge=1, le=128, description="Attention heads of a block.")
    patch: int = setting(
        default=4, ge=1, le=256, description="Least side of a patch. An image has 64 at most."
    )
    rate: float = rate_setting()
    whole: float = setting(
        default=0.8, ge=0, le=1, description="Share of rows that show their class."
    )
    half_life: float = half_life_setting(50.0)
    evaluations: int = setting(
        default=16, ge=1, le=10000, description="Evaluations of the network for an image."
    )
    solver: Solver = setting(default="adams", description="Solver that follows the velocity.")

    accepts: ClassVar[frozenset[str]] = frozenset({"target"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = "many minutes of training on a processor, 16 evaluations an image"
    least_steps: ClassVar[int] = 50

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width = {self.width}, a multiple of heads = {self.heads} was expected"
            )

    def steps_for(self, images: int, size: tuple[int, int, int]) -> int:
        """The count of training steps by default, from the count and the size of the images."""
        return steps_by_data(USUAL_STEPS, self.least_steps, images, size)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> PrivateFlowSampler:
        """Train for `context.steps` noisy steps. `valid` is not looked at: what it would tell is
        private too."""
        learned, terms = Learned.of("private_flow", train), terms_of(train, self.dp)
        if isinstance(context.pilot, Pilot):  # it measures a step's time: any images do
            train, context = _made_up(train), replace(context, spend=kept_private)
        releases = self.releases(terms, context.steps)
        deviation = noise_for(releases, terms.epsilon, terms.delta)
        facts = Released(learned, (), terms.promise(deviation, _words(releases, terms.unit)))
        identity = fingerprint(
            training_identity(self, train),
            context.runtime.seed,
            np.asarray(train.images),
            facts.promise.to_dict(),
        )
        central, goes_on = self.central_images(facts, train, releases, identity, context)
        facts = replace(facts, counts=tuple(map(float, central[:, -1])))
        network = from_seed(context.runtime.seed, "private_flow", lambda: fresh(self, facts))
        slots = slots_in(train, learned)
        task = NoisyDescent(self, network, train, slots, releases.rate, deviation, context.runtime)
        task.network.centre_on(central[:, :-1], central[:, -1])
        if not goes_on:
            before = round(self.warmup * context.steps)
            learn_means(task.network, before, self.rate, self.whole, context.runtime.seed)
        return self.trained(task, facts, identity, context)

    def central_images(
        self,
        facts: Released,
        rows: ImageRows,
        releases: Releases,
        identity: str,
        context: Context,
    ) -> tuple[np.ndarray, bool]:
        """The one release, and whether it is that of a training that was killed and goes on. A
        training without a checkpoint starts anew, and its epsilon is spent again: nobody knows how
        many steps it made."""
        mark, checkpoint = context.folder / RELEASED, context.folder / CHECKPOINT
        central = stored(mark, identity) if checkpoint.is_file() else None
        if central is not None:
            return central, True
        for remark in remarks(rows, facts.learned):
            LOG.warning("private_flow: %s", remark)
        checkpoint.unlink(missing_ok=True)
        mark.unlink(missing_ok=True)
        context.spend(facts.promise)
        central = self.released(facts.learned, rows, releases.once)
        store(mark, identity, central)
        return central, False

    def trained(
        self, task: NoisyDescent, facts: Released, identity: str, context: Context
    ) -> PrivateFlowSampler:
        """The sampler after all noisy steps. The state is on disk after every step, so no step is
        ever made twice."""
        settings = TrainingSettings(
            context.steps,
            context.runtime.seed,
            averaged=("network",),
            half_life=self.half_life,
            warmup=min(20, context.steps // 10),
            cooldown=0.3,
            snapshot=1,
            seconds=0.0,
        )
        outcome = run(
            task,
            lambda step: None,
            settings,
            context.folder,
            identity,
            context.progress,
            "private_flow",
            pilot=context.pilot,
            end=context.end,
        )
        task.network.load_state_dict(outcome.averages["network"])
        task.network.eval().requires_grad_(False)
        return PrivateFlowSampler(self, facts, task.network, context.runtime, outcome.notes)

    def load(self, folder: Path, runtime: Runtime) -> PrivateFlowSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        return restored(PrivateFlowSampler, folder, runtime, PrivateFlow, fresh, Released.restored)

    def releases(self, terms: Terms, steps: int) -> Releases:
        """What a training releases. The count of groups decides by its power of two alone."""
        population = self.population or 2 ** round(math.log2(terms.groups))
        once = gaussian.noise_for(self.central * terms.epsilon, terms.delta) if self.central else 0
        return Releases(min(1.0, self.batch / population), steps, once)

    def released(self, learned: Learned, rows: ImageRows, deviation: float) -> np.ndarray:
        """float64 [S, C cells^2 + 1]: a coarse mean image of each class in -1 .. 1, with noise, and
        a noisy count. Zeros and ones where nothing is released."""
        side = min(self.cells, *learned.size[:2])
        slots, numbers = slots_of(learned), learned.size[2] * side**2
        if not deviation:
            return np.column_stack([np.zeros((slots, numbers)), np.ones(slots)])
        shares = (0.0, 1 - COUNTED, COUNTED)
        embedding = MeanEmbedding(learned.image_size, slots, 0, side, 1.0, shares, 0)
        means = embedding.means(embedding.released(sums(embedding, learned, rows), deviation))
        cells = np.clip(means.features * math.sqrt(numbers), -1, 1)
        return np.column_stack([cells, means.counts])


def _words(releases: Releases, unit: str) -> str:
    """The releases in words."""
    steps = f"{releases.steps:,} noisy steps, each with a {unit} at probability {releases.rate:.3g}"
    return f"{steps}{', and one noisy mean image a class' if releases.once else ''}"


def fresh(settings: PrivateFlow, facts: Released) -> ClassVelocity:
    """The network with fresh weights."""
    slots, shape = slots_of(facts.learned), (settings.width, settings.depth, settings.heads)
    return ClassVelocity(facts.size, slots, settings.patch, *shape)


def _made_up(rows: ImageRows) -> ImageRows:
    """The same count of rows with random images."""
    images = numpy_generator(0, "made-up images").integers(0, 256, rows.images.shape, np.uint8)
    return replace(rows, images=images)


class PrivateFlowSampler(PrivateFitted[PrivateFlow, ClassVelocity]):
    """A fitted PrivateFlow. There is no history: losses would tell of rows."""

    name: ClassVar[str] = "private_flow"
    version: ClassVar[int] = 1

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]. steps: evaluations of the velocity, 0 = the setting's."""
        height, width, _ = self.size
        evaluations = controls.steps or self.settings.evaluations
        for rows in blocks(len(condition), controls.batch):
            slots = self.slots(condition.rows(rows)).to(self.runtime.device)
            start = noise([seeds[k] for k in rows], self.network.canvas).to(self.runtime.device)
            field = flow_path.guided(
                self.field(slots), self.field(torch.full_like(slots, -1)), controls.guidance
            )
            image = flow_path.solve(field, start, evaluations, self.settings.solver)
            yield pixels_of(image[:, :, :height, :width])

    def field(self, slots: Tensor) -> VelocityField:
        """The velocity given these classes."""
        return lambda signal, time: self.network(
            signal, torch.full((len(signal),), time, device=signal.device), slots
        )

    def slots(self, condition: Condition) -> Tensor:
        """int64 [n]: the class of each row, -1 for any."""
        target = self.learned.learned.parts("private_flow", condition).target
        if self.learned.learned.number or not self.learned.learned.classes:
            return torch.full((len(condition),), -1)
        return target

    @torch.no_grad()
    def row_loss(self, rows: ImageRows, draws: int = 4) -> Tensor:
        """float32 [N]: each row's flow-matching loss given its class, with noises and times that
        are fixed by the row's number. Of rows that the caller has: the sampler keeps none."""
        slots, device = self.slots(rows.condition), self.runtime.device
        losses = [torch.zeros(0)]
        for block in blocks(len(rows), LOSS_ROWS):
            some = slice(block.start, block.stop)
            given = slots[some].to(device)
            image = self.network.signal(rows.images[some]).to(device)
            field = functools.partial(self.network, slots=given)
            losses.append(flow_path.fixed_loss(field, image, block, draws).cpu())
        return torch.cat(losses)
