"""Images with differential privacy: a network learns from one noisy mean of the rows (DP-MERF).

All that is taken from the training rows is one vector a class: the sum of random features, of
coarse pixels and of ones over its rows (Harder et al. 2021). It is released once with Gaussian
noise. A network then learns to make images whose mean vector is that one; it never sees a row. So
the promise of the release holds for the network and for every image of it, however long it trains
and however many images are made. The noise comes from the operating system and not from the seed:
two trainings with one seed differ, and each spends its epsilon.

A group of rows (a patient) counts as one, see `gobelin.privacy.mean_embedding`.

What this cannot show: that a run is private. Its predictor, encoders and findings are not; every
epsilon stands beside a list of them. Nor that images are good: the fewer rows and the smaller
epsilon, the more they show noise. Conditions other than the class are not learned.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint
from gobelin.core.machine import Runtime, derived_seed
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
from gobelin.networks.convolution import DcganDecoder, pixels_of
from gobelin.networks.training.training import TrainingSettings, descend, run
from gobelin.privacy import gaussian
from gobelin.privacy.guarantee import Budget, Guarantee
from gobelin.privacy.mean_embedding import MeanEmbedding, Means

USUAL_STEPS = 1000  # by default, for 1,000 images of 32 x 32 pixels
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
MECHANISM = "one Gaussian mechanism on sums over training rows"


@settings_class
class PrivateMeans:
    """Settings."""

    dp: Budget = budget_setting()
    random: int = setting(
        default=1000, ge=2, le=100_000, description="Random features. An even number."
    )
    cells: int = setting(
        default=8, ge=1, le=64, description="Cells a side of the coarse mean image."
    )
    kernel: float = setting(
        default=0.5,
        ge=0.01,
        le=100,
        description="Width of the kernel: a difference in every pixel, black to white is 2.",
    )
    coarse: float = setting(
        default=0.4, ge=0.01, le=0.9, description="Share of the squared vector for coarse cells."
    )
    counted: float = setting(
        default=0.05, ge=0.001, le=0.09, description="Share of the squared vector for the count."
    )
    width: int = setting(
        default=32,
        ge=1,
        le=1024,
        description="Channels of the network at full size, doubled at each halving.",
    )
    code: int = setting(
        default=32, ge=1, le=4096, description="Numbers of the noise, and of the class beside it."
    )
    batch: int = setting(default=128, ge=2, le=65536, description="Images in a training step.")
    rate: float = rate_setting()
    half_life: float = half_life_setting(100.0)

    accepts: ClassVar[frozenset[str]] = frozenset({"target"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = "minutes of training on a processor, one evaluation an image"
    least_steps: ClassVar[int] = 200

    def __post_init__(self) -> None:
        if self.random % 2:
            raise ValueError(f"random = {self.random}, an even number was expected")

    def steps_for(self, images: int, size: tuple[int, int, int]) -> int:
        """The count of training steps by default, from the count and the size of the images."""
        return steps_by_data(USUAL_STEPS, self.least_steps, images, size)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> PrivateMeansSampler:
        """Release the means of the training rows, then train for `context.steps` from them alone.
        `valid` is not looked at: what it would tell is private too."""
        learned, terms = Learned.of("private_means", train), terms_of(train, self.dp)
        deviation = gaussian.noise_for(terms.epsilon, terms.delta)
        promise = terms.promise(deviation, MECHANISM)
        seed = context.runtime.seed  # of the directions, and so of the sums
        identity = fingerprint(training_identity(self, train), seed, np.asarray(train.images))
        embedding = self.embedding(learned, seed)
        path = context.folder / RELEASED
        released = stored(path, identity)
        if released is None:
            for remark in (*remarks(train, learned), *_unused(train, learned)):
                LOG.warning("private_means: %s", remark)
            context.spend(promise)
            released = embedding.released(sums(embedding, learned, train), deviation)
            store(path, identity, released)
        means = embedding.means(released)
        return self.trained(learned, embedding, means, promise, context)

    def embedding(self, learned: Learned, seed: int) -> MeanEmbedding:
        """The map from images to vectors, for these images and classes."""
        shares = (1 - self.coarse - self.counted, self.coarse, self.counted)
        cells = min(self.cells, *learned.size[:2])
        return MeanEmbedding(
            learned.image_size, slots_of(learned), self.random, cells, self.kernel, shares, seed
        )

    def trained(
        self,
        learned: Learned,
        embedding: MeanEmbedding,
        means: Means,
        promise: Guarantee,
        context: Context,
    ) -> PrivateMeansSampler:
        """The sampler, from released means alone."""
        facts = Released(learned, tuple(map(float, means.counts)), promise)
        task = _Matching(self, facts, embedding, means, context.runtime)
        settings = TrainingSettings(
            context.steps,
            context.runtime.seed,
            averaged=("maker",),
            half_life=self.half_life,
            warmup=20,
            cooldown=0.5,
        )
        identity = fingerprint(asdict(self), means.features, means.counts)  # type: ignore[call-overload]
        outcome = run(
            task,
            lambda step: None,
            settings,
            context.folder,
            identity,
            context.progress,
            "private_means",
            pilot=context.pilot,
            end=context.end,
        )
        task.maker.load_state_dict(outcome.averages["maker"])
        task.maker.eval().requires_grad_(False)
        told = (outcome.notes, tuple(outcome.history))
        return PrivateMeansSampler(self, facts, task.maker, context.runtime, *told)

    def load(self, folder: Path, runtime: Runtime) -> PrivateMeansSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        return restored(
            PrivateMeansSampler, folder, runtime, PrivateMeans, Maker, Released.restored
        )


class Maker(nn.Module):
    """Noise [N, K] and slots [N] -> image [N, C, H, W] in -1 .. 1."""

    def __init__(self, settings: PrivateMeans, facts: Released) -> None:
        super().__init__()
        self.slot = nn.Embedding(facts.slots, settings.code)
        self.decoder = DcganDecoder(facts.size, 2 * settings.code, settings.width)

    def forward(self, noise: Tensor, slots: Tensor) -> Tensor:
        return self.decoder(torch.cat([noise, self.slot(slots)], dim=1))


class _Matching:
    """The training task: the mean vectors of generated images come near the released ones."""

    def __init__(
        self,
        settings: PrivateMeans,
        facts: Released,
        embedding: MeanEmbedding,
        means: Means,
        runtime: Runtime,
    ) -> None:
        self.settings, self.embedding, device = settings, embedding, runtime.device
        self.maker = from_seed(runtime.seed, "private_means", lambda: Maker(settings, facts))
        self.maker.to(device)
        self.directions = embedding.directions().float().to(device)
        self.means = torch.from_numpy(means.features).float().to(device)
        self.modules: Mapping[str, nn.Module] = {"maker": self.maker}
        adam = torch.optim.Adam(self.maker.parameters(), settings.rate, (0.5, 0.99), fused=True)
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"maker": adam}

    def step(self, batch: None, rng: torch.Generator) -> dict[str, Tensor]:
        """Some slots, as many images of each. The squared distance of means is unbiased: the
        product of a vector with itself is left out, else images of a class would become alike."""
        each = max(2, self.settings.batch // self.embedding.slots)
        count = min(self.embedding.slots, max(1, self.settings.batch // each))
        chosen = torch.randperm(self.embedding.slots, generator=rng)[:count].to(self.means.device)
        code = torch.randn(count * each, self.settings.code, generator=rng).to(self.means.device)
        images = self.maker(code, chosen.repeat_interleave(each))
        vectors = self.embedding.features(images, self.directions)
        vectors = vectors.unflatten(0, (count, each))
        whole = vectors.sum(1).square() - vectors.square().sum(1)
        goal = (self.means[chosen] * vectors.mean(1)).sum(1)
        loss = (whole.sum(1) / (each * (each - 1)) - 2 * goal).mean()
        descend(self.optimisers["maker"], loss)
        return {"loss": loss.detach()}


class PrivateMeansSampler(PrivateFitted[PrivateMeans, Maker]):
    """A fitted PrivateMeans. history: the distance to the released means by step."""

    name: ClassVar[str] = "private_means"
    version: ClassVar[int] = 1

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]. Without a class each image draws one by the noisy counts.
        guidance and steps change nothing here."""
        device = self.runtime.device
        for rows in blocks(len(condition), controls.batch):
            some = [seeds[k] for k in rows]
            slots = self.slots(condition.rows(rows), some).to(device)
            yield pixels_of(self.network(noise(some, (self.settings.code,)).to(device), slots))

    def slots(self, condition: Condition, seeds: Sequence[int]) -> Tensor:
        """int64 [n]: the class of each row, drawn where it has none."""
        ends = np.cumsum(np.array(self.learned.counts) + 1e-9)
        drawn = [derived_seed(seed, "slot") / 2**63 * ends[-1] for seed in seeds]
        any_slot = torch.from_numpy(np.searchsorted(ends[:-1], drawn, side="right"))
        target = self.learned.learned.parts("private_means", condition).target
        if self.learned.learned.number or not self.learned.learned.classes:
            return torch.zeros(len(condition), dtype=torch.long)
        return torch.where(target >= 0, target, any_slot)


def _unused(rows: ImageRows, learned: Learned) -> Iterator[str]:
    """A remark where rows have no class."""
    target = rows.condition.target
    if not learned.number and target is not None and learned.classes > 1:
        if bool((target < 0).any()):
            yield "training rows without a class teach it nothing."
