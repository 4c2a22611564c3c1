"""A diffusers pipeline, opened and called: prompts or classes and images in, pixels out, or its
training loss.

The libraries come in as modules: `generators.pretrained` alone imports them."""

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
from safetensors import SafetensorError
from torch import Tensor, nn

from gobelin.core.errors import GobelinError
from gobelin.core.machine import derived_seed
from gobelin.networks.convolution import pixels_of
from gobelin.networks.denoise import noise_loss
from gobelin.networks.pipeline_calls import (
    arguments,
    drawn_from,
    fitted_signal,
    line,
    no_bars,
    quiet,
    size_of,
)

NULL = 1000  # the class that DiTPipeline takes for none
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
NEEDS = {
    "plain": "nothing but a prompt or a class",
    "image": "a source",
    "inpaint": "a source with a mask",
}
BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
    SafetensorError,
)


@dataclass(frozen=True)
class Asked:
    """What n images are to be made from. prompts: n strings. labels: int64 [n], -1 = none. source:
    uint8 [n, H, W, C]. mask: bool [n, H, W], True where pixels are made anew. steps: 0 = the
    pipeline's own."""

    prompts: list[str]
    labels: Tensor
    source: np.ndarray | None
    mask: np.ndarray | None
    guidance: float
    strength: float
    steps: int
    negative: str


def opened(diffusers: ModuleType, transformers: ModuleType, folder: Path) -> Any:  # noqa: ANN401 - a pipeline of any class
    """The pipeline in a checked folder, in float32. Weights that its files lack would be made up;
    that is an error."""
    try:
        with quiet() as said, no_bars(diffusers.utils.logging, transformers.utils.logging):
            pipe = diffusers.DiffusionPipeline.from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True, torch_dtype=torch.float32
            )
    except BROKEN as error:
        raise GobelinError(
            f"pretrained: {folder}: can't be opened ({line(error)}). Copy or download it again."
        ) from error
    if any("newly initialized" in text for text in said):
        raise GobelinError(
            f"pretrained: {folder}: some weights are missing from its files. Copy or download it"
            " again."
        )
    return pipe


def ways_of(diffusers: ModuleType, pipe: Any) -> dict[str, Any]:  # noqa: ANN401
    """What can be asked, and the pipeline that does it: the given one, and its sisters on the same
    weights if it has any."""
    known, parts = arguments(pipe), pipe.components
    own = "inpaint" if "mask_image" in known else "image" if "image" in known else "plain"
    ways = {own: pipe}
    special = (
        "unet" in parts
        and "vae" in parts
        and parts["unet"].config.in_channels != parts["vae"].config.latent_channels
    )
    if "controlnet" not in parts and not special:
        sisters = {"plain": "Text2Image", "image": "Image2Image", "inpaint": "Inpainting"}
        for way in [w for w in sisters if w != own]:
            with contextlib.suppress(ValueError), quiet():  # it has no such sister
                ways[way] = getattr(diffusers, f"AutoPipelineFor{sisters[way]}").from_pipe(pipe)
    for one in ways.values():
        one.set_progress_bar_config(disable=True)
    return ways


class Pipeline:
    """pipe: diffusers' own. ways: {plain, image, inpaint: the pipeline that does it}. network: what
    denoises. size: H, W, C of what it makes. known: every argument that one of the ways takes."""

    def __init__(self, diffusers: ModuleType, pipe: Any, device: str, side: int) -> None:  # noqa: ANN401
        self.diffusers, self.device, self.pipe = diffusers, device, pipe.to(device)
        self.ways = ways_of(diffusers, pipe)
        self.known = frozenset(name for one in self.ways.values() for name in arguments(one))
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

    def draw(self, asked: Asked, seeds: list[torch.Generator]) -> np.ndarray:
        """uint8 [n, H, W, C]; the noise of image k is drawn from seeds[k]."""
        source, mask = asked.source, asked.mask
        way = "inpaint" if mask is not None else "image" if source is not None else "plain"
        if way not in self.ways or (mask is not None and source is None):
            raise GobelinError(
                f"pretrained: this pipeline needs {', or '.join(NEEDS[w] for w in self.ways)}. Give"
                " it that."
            )
        pipe, (height, width, _), known = self.ways[way], self.size, arguments(self.ways[way])
        given: dict[str, Any] = {
            "guidance_scale": asked.guidance,
            "batch_size": len(seeds),
            "prompt": asked.prompts,
        }
        given |= {
            "height": height,
            "width": width,
            "num_inference_steps": asked.steps or known["num_inference_steps"].default,
        }
        if asked.negative:
            given["negative_prompt"] = [asked.negative] * len(seeds)
        if "class_labels" in known:
            given["class_labels"] = self.labels(asked.labels, asked.guidance > 1).tolist()
        if source is not None:
            image = fitted_signal(source, self.size)
            if "strength" in known and asked.strength == 0:
                return pixels_of(image)
            given |= {"image": image / 2 + 0.5, "strength": asked.strength}
        if "strength" in known:  # fewer steps than this would be none at all
            given["num_inference_steps"] = max(
                given["num_inference_steps"], math.ceil(1 / asked.strength)
            )
        if mask is not None:
            area = fitted_signal(mask[..., None].astype(np.uint8) * 255, (height, width, 1)) > 0
            given["mask_image"] = area.float()
        with drawn_from(pipe.scheduler, seeds), quiet():
            made = pipe(
                generator=seeds, output_type="np", **{k: v for k, v in given.items() if k in known}
            ).images
        pixels = np.clip(np.rint(np.asarray(made) * 255), 0, 255).astype(np.uint8)
        return (
            pixels
            if mask is None
            else np.where(area.permute(0, 2, 3, 1).numpy(), pixels, pixels_of(image))
        )

    def labels(self, labels: Tensor, guided: bool) -> Tensor:
        """int64 [n]: classes with -1 for none -> the pipeline's own."""
        most = int(self.network.config.num_embeds_ada_norm)
        if guided and most != NULL:
            raise GobelinError(
                f"pretrained: only DiT of {NULL} classes can be guided, this one has {most}. Set"
                " guidance to 1."
            )
        if int(labels.max()) >= most:
            raise GobelinError(
                f"pretrained: the pipeline knows {most} classes, asked for class"
                f" {int(labels.max())}."
            )
        return torch.where(labels < 0, most, labels)

    def add_lora(self, peft: ModuleType, rank: int, seed: int) -> None:
        """Put fresh low-rank weights, which change nothing yet, beside the attention's own."""
        chosen = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=ATTENTION)
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(seed, "lora"))
            try:
                peft.inject_adapter_in_model(chosen, self.network)
            except ValueError as error:
                raise GobelinError(
                    "pretrained: found no attention to add a LoRA to. Set lora_rank to 0."
                ) from error

    def lora(self) -> dict[str, nn.Parameter]:
        return {name: weight for name, weight in self.network.named_parameters() if "lora_" in name}

    def load_lora(self, weights: Mapping[str, Tensor]) -> None:
        """A RuntimeError where names or shapes differ from those of `add_lora`."""
        inside = nn.ParameterDict(
            {name.replace(".", "/"): weight for name, weight in self.lora().items()}
        )
        inside.load_state_dict({name.replace(".", "/"): weight for name, weight in weights.items()})

    def check_trainable(self) -> None:
        """A GobelinError for a kind whose training loss isn't written here."""
        kind, known = type(self.pipe).__name__, arguments(self.pipe)
        if kind not in ("StableDiffusionPipeline", "DiTPipeline") and "prompt" in known:
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
                f"pretrained: the scheduler of this {kind} doesn't say what it predicts. Set"
                " lora_rank to 0."
            )

    def loss(
        self,
        images: Tensor,
        prompts: list[str],
        labels: Tensor,
        rng: torch.Generator,
        hidden: float = 0.0,
    ) -> Tensor:
        """float32 [n]: the training loss on images [n, C, H, W] in -1 .. 1, a share of the prompts
        and classes hidden."""
        shown = torch.rand(len(images), generator=rng) >= hidden
        told: dict[str, Tensor] = {}
        if "class_labels" in self.known:
            told["class_labels"] = self.labels(torch.where(shown, labels, -1), False).to(
                self.device
            )
        elif "prompt" in self.known:
            seen = [
                prompt if show else "" for prompt, show in zip(prompts, shown.tolist(), strict=True)
            ]
            with torch.no_grad(), quiet():
                told["encoder_hidden_states"], _ = self.pipe.encode_prompt(
                    seen, self.device, 1, False
                )
        latent = self.latent(images.to(self.device), rng)
        return noise_loss(
            lambda noisy, time: self.network(noisy, time, **told).sample, self.schedule, latent, rng
        )

    def latent(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """[n, C, H, W] -> as the network sees it; a pipeline without autoencoder sees pixels."""
        coder = self.pipe.components.get("vae")
        if coder is None:
            return images
        with torch.no_grad():
            return coder.encode(images).latent_dist.sample(rng) * coder.config.scaling_factor

    @functools.cached_property
    def schedule(self) -> Any:  # noqa: ANN401
        """How noise was added in training; the pipeline's own scheduler may only know how to take
        it away."""
        with quiet():
            return self.diffusers.DDPMScheduler.from_config(self.pipe.scheduler.config)
