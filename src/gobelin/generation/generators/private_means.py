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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_file, fingerprint, load_arrays, save_arrays
from gobelin.core.machine import Runtime, derived_seed
from gobelin.generation.counts import steps_by_data
from gobelin.generation.fitting import (
    Fitted,
    Learned,
    blocks,
    from_seed,
    noise,
    restored,
    training_identity,
)
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.networks.convolution import DcganDecoder, pixels_of
from gobelin.networks.training import TrainingSettings, descend, run
from gobelin.privacy import gaussian
from gobelin.privacy.guarantee import Budget, Guarantee
from gobelin.privacy.mean_embedding import MeanEmbedding, Means, factors

USUAL_STEPS = 1000  # by default, for 1,000 images of 32 x 32 pixels
RELEASED = "released.safetensors"  # the noisy sums, until the training is done
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
MECHANISM = "one Gaussian mechanism on sums over training rows"


@settings_class
class PrivateMeans:
    """Settings."""

    dp: Budget = setting(default_factory=Budget, description="The promise of a training.")
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
    rate: float = setting(default=1e-3, ge=1e-9, le=1, description="Learning rate of Adam.")
    half_life: float = setting(
        default=100.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )

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
        learned, used = Learned.of("private_means", train), train.used
        if not len(used):
            raise train.no_weight()
        groups = len(np.unique(train.group_numbers[used]))
        delta = gaussian.delta_for(self.dp.delta, groups, "generator.settings.dp")
        unit = "row" if train.groups is None or groups == len(used) else "group"
        weighed = train.weights is not None and bool((train.weights != 1).any())
        deviation = gaussian.noise_for(self.dp.epsilon, delta)
        promise = Guarantee(self.dp.epsilon, delta, unit, deviation, MECHANISM, weighed)
        seed = context.runtime.seed  # of the directions, and so of the sums
        identity = fingerprint(training_identity(self, train), seed, np.asarray(train.images))
        embedding = self.embedding(learned, seed)
        path = context.folder / RELEASED
        released = _stored(path, identity)
        if released is None:
            for remark in _remarks(train, learned):
                LOG.warning("private_means: %s", remark)
            context.spend(promise)
            released = embedding.released(_sums(embedding, learned, train), deviation)
            _store(path, identity, released)
        means = embedding.means(released)
        return self.trained(learned, embedding, means, promise, context)

    def embedding(self, learned: Learned, seed: int) -> MeanEmbedding:
        """The map from images to vectors, for these images and classes."""
        shares = (1 - self.coarse - self.counted, self.coarse, self.counted)
        slots = 1 if learned.number else max(learned.classes, 1)
        cells = min(self.cells, *learned.size[:2])
        return MeanEmbedding(
            learned.image_size, slots, self.random, cells, self.kernel, shares, seed
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


@dataclass(frozen=True)
class Released:
    """What is known of the data: their schema, noisy counts, and the promise."""

    learned: Learned
    counts: tuple[float, ...]  # of groups in each slot, with noise
    promise: Guarantee

    @property
    def size(self) -> tuple[int, ...]:
        return self.learned.size

    @property
    def slots(self) -> int:
        return len(self.counts)

    def stored(self) -> dict[str, Any]:
        """The entries of config.json."""
        return {**self.learned.stored(), "counts": self.counts, "promise": self.promise.to_dict()}

    @staticmethod
    def restored(config: Mapping[str, Any]) -> Released:
        """The inverse of `stored`."""
        promise = Guarantee.from_dict(config["promise"])
        return Released(Learned.restored(config), tuple(config["counts"]), promise)


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


class PrivateMeansSampler(Fitted[PrivateMeans, Released, Maker]):
    """A fitted PrivateMeans. history: the distance to the released means by step."""

    name: ClassVar[str] = "private_means"
    version: ClassVar[int] = 1

    @property
    def accepts(self) -> frozenset[str]:  # type: ignore[override]
        """The target, where it is a class."""
        classes = self.learned.learned.classes and not self.learned.learned.number
        return PrivateMeans.accepts if classes else frozenset()

    @property
    def promise(self) -> Guarantee:
        """Its epsilon, and what it doesn't cover."""
        return self.learned.promise

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


def _remarks(rows: ImageRows, learned: Learned) -> Iterator[str]:
    """What of the rows is not used as it stands."""
    target, weights = rows.condition.target, rows.weights
    if learned.number:
        yield "the target is a number, which images do not follow. --set schema.NAME=category?"
    elif target is not None and learned.classes > 1 and bool((target < 0).any()):
        yield "training rows without a class teach it nothing."
    if weights is not None and bool((weights > 1).any()):
        yield "weights above 1 count as 1, so that no group counts more than one."


def _sums(embedding: MeanEmbedding, learned: Learned, rows: ImageRows) -> np.ndarray:
    """The sums over the rows that training uses. A row without a class counts in no slot, but in
    the rows of its group."""
    used, target = rows.used, rows.condition.target
    slots = np.zeros(len(rows), np.int64)
    if target is not None and embedding.slots > 1:
        slots = target.numpy()
    weights = None if rows.weights is None else rows.weights[used]
    factor = factors(rows.group_numbers[used], weights)
    kept = slots[used] >= 0
    return embedding.sums(rows.images[used[kept]], slots[used[kept]], factor[kept])


def _store(path: Path, identity: str, released: np.ndarray) -> None:
    """Keep the released sums, so that a training that was killed spends nothing again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = np.frombuffer(identity.encode(), np.uint8)
    with atomic_file(path) as temporary:
        save_arrays(temporary, {"released": released, "identity": mark})


def _stored(path: Path, identity: str) -> np.ndarray | None:
    """What `_store` kept of the same rows and settings; None where there is none."""
    try:
        arrays = load_arrays(path) if path.is_file() else {}
    except GobelinError:  # damaged: it is released again, and paid again
        return None
    if not arrays or arrays["identity"].tobytes().decode() != identity:
        return None
    return arrays["released"]
