"""Images by somebody's pretrained network: any diffusers pipeline, from a folder or the hub.

A known file of weights works too. The pipeline decides which conditions it can use: prompts (or
class names, which then serve as prompts), class numbers (DiT), an image to start from (SDEdit, Meng
et al. 2022), an image and a mask, an image that steers (ControlNet). It is used as it is, or a
low-rank addition to its attention learns from the user's rows (LoRA, Hu et al. 2022) by the
pipeline's own loss.

What this can't show: the images that the network was trained on. Its images may be copies of images
that nobody here has; the copying audit compares with the user's own rows alone. A pipeline with a
safety checker blackens what it dislikes, as always. A prompt longer than its tokenizer's limit is
cut there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gobelin.core import files, weights
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, first_line
from gobelin.core.machine import Runtime, generator
from gobelin.core.stored_settings import as_stored
from gobelin.generation.fitting import blocks, few_images, training_identity
from gobelin.generation.generators import Condition, Context, Controls, ImageRows, has_target
from gobelin.generation.pipelines import open_pipeline
from gobelin.networks.convolution import pixels_of
from gobelin.networks.dcgan import FACES_PACKAGE, faces
from gobelin.networks.hub_model import PLACE_SETTINGS
from gobelin.networks.pipelines.calls import fitted_signal
from gobelin.networks.pipelines.denoise import AdapterTraining
from gobelin.networks.pipelines.pipeline import ImageRequest
from gobelin.networks.training.training import TrainingSettings, run

PRETRAINED_FORMAT = 1  # of the saved folder
# Steps of a LoRA by default. A pretrained network needs few; a step of a large one takes seconds.
PASSES, MOST_STEPS = 20, 1000
MEAN_LOSS_ROWS = 64  # rows of a mean loss, at most
Batch = tuple[Tensor, list[str], Tensor]  # images [N, C, H, W] in -1 .. 1, prompts, classes


@settings_class
class Pretrained:
    """Settings. A run saves `model` as given and a hash of its files."""

    model: str = setting(
        default="",
        description="Folder of a diffusers pipeline, its id on the hub, or gan-face-generate.",
    )
    revision: str = setting(default="main", description="Revision of a hub id.")
    local_only: bool = setting(
        default=True,
        description="Whether a hub id is looked for on this machine only. false downloads it.",
    )
    lora_rank: int = setting(
        default=0,
        ge=0,
        le=1024,
        description="Rank of the learned addition (LoRA). 0 trains nothing.",
    )
    rate: float = setting(default=1e-4, ge=1e-9, le=1, description="Learning rate of AdamW.")
    batch: int = setting(default=4, ge=1, le=65536, description="Images in a training step.")
    hidden: float = setting(
        default=0.1,
        ge=0,
        le=1,
        description="Share of captions and classes hidden in training, for guidance.",
    )
    negative: str = setting(
        default="", description="Prompt to keep away from, where guidance is over 1."
    )
    evaluations: int = setting(
        default=0,
        ge=0,
        le=10000,
        description="Steps of the pipeline where generate names none. 0: the pipeline's own.",
    )
    size: int = setting(
        default=0,
        ge=0,
        le=4096,
        description="Side of a text pipeline's images, a multiple of 8. 0: its own.",
    )
    at_once: int = setting(default=8, ge=1, le=65536, description="Images in one call, at most.")
    exact: bool = setting(
        default=True, description="Whether to sample in float32, so that batches do not matter."
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"target", "text", "source", "mask"})
    licence: ClassVar[str] = "that of the pipeline"
    cost: ClassVar[str] = "the pipeline's own; large ones need a GPU"
    # a LoRA starts as no change, and its first steps hardly show (untested on large pipelines)
    least_steps: ClassVar[int] = 100

    def __post_init__(self) -> None:
        if self.size % 8:
            raise ValueError(f"size = {self.size}, a multiple of 8 was expected")

    def steps_for(self, images: int, size: tuple[int, int, int]) -> int:
        """The count of training steps by default: each image is seen about PASSES times, between
        bounds. One where there is nothing to train."""
        if not self.lora_rank:
            return 1
        return max(self.least_steps, min(MOST_STEPS, PASSES * images // self.batch))

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> PretrainedSampler:
        """The pipeline as it is, or after `context.steps` of LoRA; `valid` is only measured, before
        and after."""
        runtime = context.runtime
        if not self.lora_rank or not context.steps:
            return PretrainedSampler(
                replace(self, lora_rank=0), self._engine(runtime, train.classes), {}, runtime
            )
        engine = self._pipeline(runtime, train.classes)
        task, before = engine.task(runtime), engine.mean_loss(valid)
        settings = TrainingSettings(context.steps, runtime.seed, clip=1.0, cooldown=0.3)
        identity = files.fingerprint(
            training_identity(self, train), list(train.condition.text or ()), engine.base
        )
        batches = engine.batches(train, runtime.seed)
        outcome = run(
            task,
            batches,
            settings,
            context.folder,
            identity,
            context.progress,
            "lora",
            pilot=context.pilot,
            end=context.end,
        )
        last = {"loss_train": engine.mean_loss(train), "loss_valid": engine.mean_loss(valid)}
        history = (
            {"step": 0, "loss_valid": before},
            *outcome.history,
            {"step": outcome.steps, **last},
        )
        notes = few_images("pretrained", len(train), outcome.steps * self.batch) + outcome.notes
        lora = {name: weight.detach() for name, weight in engine.pipeline.lora().items()}
        return PretrainedSampler(self, engine, lora, runtime, notes, history)

    def load(self, folder: Path, runtime: Runtime) -> PretrainedSampler:
        """The sampler that was saved in `folder`, on the same base: at this `model` if one is set,
        else where it was then."""
        config = weights.config_of(folder, PRETRAINED_FORMAT)
        place = {k: getattr(self, k) for k in PLACE_SETTINGS} if self.model else {}
        settings = Pretrained(**as_stored(config["settings"], folder) | place)
        engine = settings._engine(runtime, tuple(config["classes"]))
        if engine.base != config["base"]:
            raise GobelinError(
                f"{folder}: {settings.model} has changed since this was fitted. Restore its files"
                " or fit again."
            )
        lora: dict[str, Tensor] = {}
        if settings.lora_rank and isinstance(engine, _Diffusers):
            found = weights.shapes(folder)
            if not found or any(settings.lora_rank not in shape for shape in found.values()):
                raise GobelinError(
                    f"{folder}: changes of rank {settings.lora_rank} were expected, its weights"
                    f" have another one. {files.made_anew(folder)}"
                )
            engine.pipeline.add_lora(engine.peft, settings.lora_rank, runtime.seed)
            try:
                lora = load_file(folder / "weights.safetensors", device=runtime.device)
                engine.pipeline.load_lora(lora)
            except (SafetensorError, RuntimeError, OSError) as error:
                raise GobelinError(
                    f"{folder}: weights.safetensors is damaged ({first_line(error)})."
                    f" {files.made_anew(folder)}"
                ) from error
        sampler = PretrainedSampler(
            settings, engine, lora, runtime, tuple(config["notes"]), tuple(config["history"])
        )
        if sampler.fingerprint() != config["fingerprint"]:
            raise GobelinError(
                f"{folder}: the weights aren't those that were saved. {files.made_anew(folder)}"
            )
        return sampler

    def _engine(self, runtime: Runtime, classes: tuple[str, ...]) -> _Engine:
        if self.model == FACES_PACKAGE and not self.lora_rank:
            return _Faces(runtime)
        return self._pipeline(runtime, classes)

    def _pipeline(self, runtime: Runtime, classes: tuple[str, ...]) -> _Diffusers:
        if self.model == FACES_PACKAGE:
            raise GobelinError(
                f"pretrained: {FACES_PACKAGE} has no attention to add a LoRA to. Set lora_rank"
                " to 0."
            )
        return _Diffusers(self, runtime, classes)


class _Engine(Protocol):
    """The network that generates."""

    accepts: frozenset[str]
    size: tuple[int, int, int]  # H, W, C
    base: str  # a hash of its files
    classes: tuple[str, ...]  # of the rows that it was fitted with

    def draw(
        self, condition: Condition, seeds: list[torch.Generator], controls: Controls
    ) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class PretrainedSampler:
    """A pipeline, ready."""

    settings: Pretrained
    engine: _Engine
    lora: Mapping[str, Tensor]  # the learned weights; empty where nothing was trained
    runtime: Runtime
    notes: tuple[str, ...] = ()  # what a reader must know
    history: tuple[dict[str, Any], ...] = ()  # losses by step

    accepts = property(lambda self: self.engine.accepts)  # the parts that this pipeline can use
    size = property(lambda self: self.engine.size)  # H, W, C

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]. A source of another size is resized to the pipeline's;
        outside its mask it's kept to the bit. steps: of the pipeline, 0 = the setting's. A
        ControlNet's source steers and `strength` says nothing."""
        most = min(controls.batch, self.settings.at_once)
        for rows in blocks(len(condition), most):
            streams = [generator(seeds[k], "noise") for k in rows]
            with contextlib.nullcontext() if self.settings.exact else self.runtime.autocast():
                block = self.engine.draw(condition.rows(rows), streams, controls)
            yield block

    def fingerprint(self) -> str:
        """Of base, addition and settings; the place of the base doesn't matter."""
        chosen = {
            k: v for k, v in asdict(self.settings).items() if k not in (*PLACE_SETTINGS, "at_once")
        }
        arrays = [self.lora[name].cpu().contiguous().numpy() for name in sorted(self.lora)]
        return files.fingerprint(
            chosen, self.engine.base, list(self.engine.classes), sorted(self.lora), *arrays
        )

    def save(self, folder: Path) -> None:
        config = {
            "format": PRETRAINED_FORMAT,
            "fingerprint": self.fingerprint(),
            "settings": asdict(self.settings),
        }
        config |= {
            "base": self.engine.base,
            "classes": self.engine.classes,
            "notes": self.notes,
            "history": self.history,
        }
        with files.atomic_folder(folder) as temporary:
            if self.lora:
                save_file(
                    {name: w.cpu().contiguous() for name, w in self.lora.items()},
                    temporary / "weights.safetensors",
                )
            files.write_json(temporary / "config.json", config)


class _Faces:
    """The DCGAN of faces: one step, no condition."""

    accepts: frozenset[str] = frozenset()
    size: tuple[int, int, int] = (64, 64, 3)
    classes: tuple[str, ...] = ()

    def __init__(self, runtime: Runtime) -> None:
        network, self.base = faces()
        self.network, self.device = network.to(runtime.device), runtime.device

    def draw(
        self, condition: Condition, seeds: list[torch.Generator], controls: Controls
    ) -> np.ndarray:
        code = torch.stack([torch.randn(100, 1, 1, generator=seed) for seed in seeds])
        return pixels_of(self.network(code.to(self.device)).float())


class _Diffusers:
    """A diffusers pipeline that takes conditions."""

    def __init__(self, settings: Pretrained, runtime: Runtime, classes: tuple[str, ...]) -> None:
        opened = open_pipeline(
            settings.model, settings.revision, settings.local_only, settings.size, runtime.device
        )
        self.settings, self.base = settings, opened.fingerprint
        self.pipeline, self.peft = opened.pipeline, opened.peft
        self.size, known = self.pipeline.size, self.pipeline.known
        self.classes = classes if "prompt" in known else ()
        can = {"text": "prompt" in known, "target": "class_labels" in known or bool(self.classes)}
        can |= {"source": "image" in known, "mask": "mask_image" in known}
        self.accepts = frozenset(part for part, able in can.items() if able)

    def draw(
        self, condition: Condition, seeds: list[torch.Generator], controls: Controls
    ) -> np.ndarray:
        prompts, labels = self.prompts(condition)
        query = ImageRequest(
            prompts,
            labels,
            condition.source,
            condition.mask,
            controls.guidance,
            controls.strength,
            controls.steps or self.settings.evaluations,
            self.settings.negative,
        )
        return self.pipeline.draw(query, seeds)

    def prompts(self, condition: Condition) -> tuple[list[str], Tensor]:
        """Of each row a prompt (its text, or the name of its class, or nothing) and a class, int64
        [n], -1 = none. Raises a GobelinError for a number, and for a class that it doesn't
        know."""
        texts = condition.text or [None] * len(condition)
        labels = torch.full((len(condition),), -1)
        if condition.target is not None and condition.target.is_floating_point():
            if bool(has_target(condition.target).any()) and "target" in self.accepts:
                raise GobelinError(
                    "pretrained: takes a class, asked for a number. Leave it out, or give a text."
                )
        elif condition.target is not None:
            labels = condition.target
        if self.classes and int(labels.max()) >= len(self.classes):
            raise GobelinError(
                f"pretrained: knows {len(self.classes)} classes, asked for class"
                f" {int(labels.max())}. Fit again."
            )
        names = [self.classes[k] if self.classes and k >= 0 else "" for k in labels.tolist()]
        prompts = [name if text is None else text for text, name in zip(texts, names, strict=True)]
        return prompts, labels

    def task(self, runtime: Runtime) -> AdapterTraining[Batch]:
        """Fresh low-rank weights inside the pipeline's network, and how they learn."""
        self.pipeline.check_trainable()
        self.pipeline.add_lora(self.peft, self.settings.lora_rank, runtime.seed)
        hidden = self.settings.hidden

        def loss(batch: Batch, rng: torch.Generator) -> Tensor:
            return self.pipeline.loss(*batch, rng, hidden)

        return AdapterTraining(self.pipeline.lora(), loss, self.settings.rate, runtime)

    def batch(self, rows: ImageRows, index: Tensor) -> Batch:
        images = fitted_signal(np.asarray(rows.images[index.numpy()]), self.size)
        return images, *self.prompts(rows.condition.rows(index))

    def batches(self, rows: ImageRows, seed: int) -> Callable[[int], Batch]:
        """The batch of step t: shuffled rows."""
        return lambda step: self.batch(rows, rows.drawn(step, self.settings.batch, seed))

    @torch.no_grad()
    def mean_loss(self, rows: ImageRows) -> float | None:
        """Of the first rows, at noises and times that are fixed."""
        if not len(rows):
            return None
        rng = generator(0, "measure")
        parts = torch.arange(min(MEAN_LOSS_ROWS, len(rows))).split(8)
        return float(
            torch.cat([self.pipeline.loss(*self.batch(rows, index), rng) for index in parts]).mean()
        )
