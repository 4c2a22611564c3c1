"""A diffusers pipeline, opened and called: prompts or classes and images in, pixels out, or its
training loss.

The libraries are passed in as modules: only `generators.pretrained` imports them.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core import hub
from gobelin.core.errors import GobelinError, first_line
from gobelin.core.machine import derived_seed
from gobelin.networks.convolution import pixels_of
from gobelin.networks.pipelines.calls import (
    OPENING_ERRORS,
    arguments,
    drawn_from,
    fitted_signal,
    no_bars,
    quiet,
    size_of,
)
from gobelin.networks.pipelines.denoise import noise_loss

DIT_NULL_CLASS = 1000  # DiTPipeline uses this number for "no class"
ATTENTION_LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]  # that get low-rank weights
# way of calling a pipeline: what it needs, for messages
WAY_NEEDS = {
    "plain": "nothing but a prompt or a class",
    "image": "a source",
    "inpaint": "a source with a mask",
}


@dataclass(frozen=True)
class ImageRequest:
    """The conditions of n images, and how to sample them.

    prompts: n strings. labels: int64 [n], -1 = none. source: uint8 [n, H, W, C], or None. mask:
    bool [n, H, W], True where pixels are generated, or None. guidance: scale, 1 = none. strength: 0
    to 1, how far a source is changed. steps: 0 = the pipeline's default. negative: prompt of what
    to avoid, '' for none.
    """

    prompts: list[str]
    labels: Tensor
    source: np.ndarray | None
    mask: np.ndarray | None
    guidance: float
    strength: float
    steps: int
    negative: str


def opened(diffusers: ModuleType, transformers: ModuleType, folder: Path) -> Any:  # noqa: ANN401 - a pipeline of any class
    """The pipeline in a checked folder, in float32.

    Raises GobelinError where it can't be opened, and where its files lack weights, which the
    library would fill with random numbers.
    """
    try:
        bars = (diffusers.utils.logging, transformers.utils.logging)
        with hub.offline(), quiet() as messages, no_bars(*bars):
            pipe = diffusers.DiffusionPipeline.from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True, torch_dtype=torch.float32
            )
    except OPENING_ERRORS as error:
        raise GobelinError(
            f"pretrained: {folder}: can't be opened ({first_line(error)}). Copy or download it"
            " again."
        ) from error
    if any("newly initialized" in text for text in messages):
        raise GobelinError(
            f"pretrained: {folder}: some weights are missing from its files. Copy or download it"
            " again."
        )
    return pipe


def ways_of(diffusers: ModuleType, pipe: Any) -> dict[str, Any]:  # noqa: ANN401
    """{plain, image, inpaint: the pipeline that does it}: the given one, and the related ones that
    can use the same weights.
    """
    parameters, components = arguments(pipe), pipe.components
    default = (
        "inpaint" if "mask_image" in parameters else "image" if "image" in parameters else "plain"
    )
    ways = {default: pipe}
    special = (
        "unet" in components
        and "vae" in components
        and components["unet"].config.in_channels != components["vae"].config.latent_channels
    )
    if "controlnet" not in components and not special:
        related = {"plain": "Text2Image", "image": "Image2Image", "inpaint": "Inpainting"}
        for way in [w for w in related if w != default]:
            with contextlib.suppress(ValueError), quiet():  # ValueError: no related pipeline
                ways[way] = getattr(diffusers, f"AutoPipelineFor{related[way]}").from_pipe(pipe)
    for member in ways.values():
        member.set_progress_bar_config(disable=True)
    return ways


class Pipeline:
    """A diffusers pipeline on one device.

    pipe: the object of diffusers. ways: {plain, image, inpaint: the pipeline that does it}.
    network: the one that denoises. size: H, W, C of its images. known: every argument that one of
    the ways takes.
    """

    def __init__(self, diffusers: ModuleType, pipe: Any, device: str, side: int) -> None:  # noqa: ANN401
        self.diffusers, self.device, self.pipe = diffusers, device, pipe.to(device)
        self.ways = ways_of(diffusers, pipe)
        self.known = frozenset(
            name for way_pipe in self.ways.values() for name in arguments(way_pipe)
        )
        networks = [
            pipe.components[n]
            for n in ("unet", "transformer", "prior")
            if pipe.components.get(n) is not None
        ]
        if not networks:
            raise GobelinError(
                f"pretrained: {type(pipe).__name__} has no network that denoises. Use another"
                " pipeline."
            )
        self.network: Any = networks[0]
        for part in pipe.components.values():
            if isinstance(part, nn.Module):
                part.eval().requires_grad_(False)
        self.size = size_of(pipe, self.network, side)

    def draw(self, request: ImageRequest, streams: list[torch.Generator]) -> np.ndarray:
        """uint8 [n, H, W, C]; the noise of image k is drawn from streams[k]. Raises GobelinError
        where the pipeline needs a source or a mask, or can't use one.
        """
        source, mask = request.source, request.mask
        way = "inpaint" if mask is not None else "image" if source is not None else "plain"
        if way not in self.ways or (mask is not None and source is None):
            raise GobelinError(
                "pretrained: this pipeline needs"
                f" {', or '.join(WAY_NEEDS[w] for w in self.ways)}. Give it that."
            )
        pipe, (height, width, _), parameters = self.ways[way], self.size, arguments(self.ways[way])
        call: dict[str, Any] = {
            "guidance_scale": request.guidance,
            "batch_size": len(streams),
            "prompt": request.prompts,
        }
        call |= {
            "height": height,
            "width": width,
            "num_inference_steps": request.steps or parameters["num_inference_steps"].default,
        }
        if request.negative:
            call["negative_prompt"] = [request.negative] * len(streams)
        if "class_labels" in parameters:
            call["class_labels"] = self.labels(request.labels, request.guidance > 1).tolist()
        if source is not None:
            image = fitted_signal(source, self.size)
            if "strength" in parameters and request.strength == 0:
                return pixels_of(image)
            call |= {"image": image / 2 + 0.5, "strength": request.strength}
        if "strength" in parameters:  # fewer steps than this would be none at all
            call["num_inference_steps"] = max(
                call["num_inference_steps"], math.ceil(1 / request.strength)
            )
        if mask is not None:
            area = fitted_signal(mask[..., None].astype(np.uint8) * 255, (height, width, 1)) > 0
            call["mask_image"] = area.float()
        with drawn_from(pipe.scheduler, streams), quiet():
            images = pipe(
                generator=streams,
                output_type="np",
                **{k: v for k, v in call.items() if k in parameters},
            ).images
        pixels = np.clip(np.rint(np.asarray(images) * 255), 0, 255).astype(np.uint8)
        return (
            pixels
            if mask is None
            else np.where(area.permute(0, 2, 3, 1).numpy(), pixels, pixels_of(image))
        )

    def labels(self, labels: Tensor, guided: bool) -> Tensor:
        """Classes int64 [n], -1 = none, as the pipeline numbers them. guided: whether guidance is
        on. Raises GobelinError for a class that it doesn't have.
        """
        classes = int(self.network.config.num_embeds_ada_norm)
        if guided and classes != DIT_NULL_CLASS:
            raise GobelinError(
                f"pretrained: only DiT of {DIT_NULL_CLASS} classes can be guided, this one has"
                f" {classes}. Set guidance to 1."
            )
        if int(labels.max()) >= classes:
            raise GobelinError(
                f"pretrained: class {int(labels.max())} was requested, the pipeline has {classes}"
                " classes. Request one of them."
            )
        return torch.where(labels < 0, classes, labels)

    def add_lora(self, peft: ModuleType, rank: int, seed: int) -> None:
        """Add new low-rank weights to the attention layers; untrained they change nothing. Raises
        GobelinError for a network without attention.
        """
        config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=ATTENTION_LAYERS)
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(seed, "lora"))
            try:
                peft.inject_adapter_in_model(config, self.network)
            except ValueError as error:
                raise GobelinError(
                    "pretrained: found no attention to add a LoRA to. Set lora_rank to 0."
                ) from error

    def lora(self) -> dict[str, nn.Parameter]:
        return {name: weight for name, weight in self.network.named_parameters() if "lora_" in name}

    def load_lora(self, weights: Mapping[str, Tensor]) -> None:
        """Set the low-rank weights. Raises RuntimeError where names or shapes differ from those of
        `add_lora`.
        """
        parameters = nn.ParameterDict(
            {name.replace(".", "/"): weight for name, weight in self.lora().items()}
        )
        parameters.load_state_dict(
            {name.replace(".", "/"): weight for name, weight in weights.items()}
        )

    def check_trainable(self) -> None:
        """Raises GobelinError for a pipeline whose training loss isn't implemented here."""
        kind, parameters = type(self.pipe).__name__, arguments(self.pipe)
        if kind not in ("StableDiffusionPipeline", "DiTPipeline") and "prompt" in parameters:
            raise GobelinError(
                "pretrained: LoRA is for Stable Diffusion 1 and 2, DiT and unconditional"
                f" pipelines, found {kind}. Set lora_rank to 0."
            )
        if getattr(self.pipe.scheduler.config, "prediction_type", None) not in (
            "epsilon",
            "v_prediction",
            "sample",
        ):
            raise GobelinError(
                f"pretrained: the scheduler of this {kind} has no prediction_type that is known"
                " here. Set lora_rank to 0."
            )

    def loss(
        self,
        images: Tensor,
        prompts: list[str],
        labels: Tensor,
        rng: torch.Generator,
        hidden: float = 0.0,
    ) -> Tensor:
        """float32 [n]: the training loss on images [n, C, H, W] in -1 .. 1.

        labels: int64 [n]. hidden: share of the rows whose prompt and class are hidden.
        """
        shown = torch.rand(len(images), generator=rng) >= hidden
        conditioning: dict[str, Tensor] = {}
        if "class_labels" in self.known:
            conditioning["class_labels"] = self.labels(torch.where(shown, labels, -1), False).to(
                self.device
            )
        elif "prompt" in self.known:
            shown_prompts = [
                prompt if show else "" for prompt, show in zip(prompts, shown.tolist(), strict=True)
            ]
            with torch.no_grad(), quiet():
                conditioning["encoder_hidden_states"], _ = self.pipe.encode_prompt(
                    shown_prompts, self.device, 1, False
                )
        latent = self.latent(images.to(self.device), rng)
        return noise_loss(
            lambda noisy, time: self.network(noisy, time, **conditioning).sample,
            self.schedule,
            latent,
            rng,
        )

    def latent(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Images [n, C, H, W] as the network gets them: latents, or pixels in a pipeline without
        autoencoder.
        """
        autoencoder = self.pipe.components.get("vae")
        if autoencoder is None:
            return images
        with torch.no_grad():
            return (
                autoencoder.encode(images).latent_dist.sample(rng)
                * autoencoder.config.scaling_factor
            )

    @functools.cached_property
    def schedule(self) -> Any:  # noqa: ANN401
        """The noise schedule of training. The pipeline's own scheduler may only be able to remove
        noise.
        """
        with quiet():
            return self.diffusers.DDPMScheduler.from_config(self.pipe.scheduler.config)
