"""Tiny diffusers pipelines with random weights, written to disk: 16 px, well under a megabyte
each."""

from __future__ import annotations

import json
from pathlib import Path

import torch

WORDS = ("red", "blue", "a", "picture")


def tokenizer_files(folder: Path) -> Path:
    """vocab.json and merges.txt of a CLIP tokenizer: every letter alone and at the end of a word,
    and four whole words."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocabulary, merges = [*letters, *(f"{c}</w>" for c in letters)], []
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            if pieces[:2] not in merges:
                merges.append(pieces[:2])
            pieces = ["".join(pieces[:2]), *pieces[2:]]
            vocabulary += [pieces[0]] if pieces[0] not in vocabulary else []
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: k for k, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text(
        "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n"
    )
    return folder


def autoencoder():
    """16 x 16 x 3 pixels <-> 8 x 8 x 4 latents."""
    from diffusers import AutoencoderKL

    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }
    return AutoencoderKL(
        block_out_channels=(8, 8), latent_channels=4, norm_num_groups=4, sample_size=16, **blocks
    )


def text_pipeline(folder: Path, prediction: str = "epsilon") -> Path:
    """A Stable Diffusion pipeline; prediction: epsilon, v_prediction or sample."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    written = tokenizer_files(folder.with_name(f"{folder.name}-words"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = CLIPTokenizer.from_pretrained(written, model_max_length=16)
        size = {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
        }
        ends = {
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": 1,
        }
        words = CLIPTextConfig(
            vocab_size=len(tokenizer), max_position_embeddings=16, **size, **ends
        )
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            cross_attention_dim=16,
            attention_head_dim=4,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        )
        StableDiffusionPipeline(
            vae=autoencoder(),
            text_encoder=CLIPTextModel(words),
            tokenizer=tokenizer,
            unet=unet,
            scheduler=DDIMScheduler(prediction_type=prediction, clip_sample=False, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)
    return folder


def class_pipeline(folder: Path) -> Path:
    """A DiT pipeline of 1000 classes with a scheduler that draws noise at every step."""
    from diffusers import DDPMScheduler, DiTPipeline, DiTTransformer2DModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = DiTTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            out_channels=8,
            num_layers=1,
            sample_size=8,
            patch_size=2,
            norm_num_groups=4,
        )
        DiTPipeline(transformer, autoencoder(), DDPMScheduler(clip_sample=False)).save_pretrained(
            folder
        )
    return folder


def special_pipeline(folder: Path, kind: str, text: Path) -> Path:
    """The text pipeline, changed. kind: `inpaint`, whose network sees mask and source beside the
    latents; `control`, steered by an image; `alone`, pixels from nothing."""
    from diffusers import (
        ControlNetModel,
        DDPMPipeline,
        DDPMScheduler,
        StableDiffusionControlNetPipeline,
        StableDiffusionInpaintPipeline,
        StableDiffusionPipeline,
        UNet2DConditionModel,
        UNet2DModel,
    )

    with torch.random.fork_rng():
        torch.manual_seed(1)
        if kind == "alone":
            blocks = {
                "down_block_types": ("DownBlock2D",) * 2,
                "up_block_types": ("UpBlock2D",) * 2,
            }
            unet = UNet2DModel(
                16, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, **blocks
            )
            DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)
            return folder
        plain = StableDiffusionPipeline.from_pretrained(text)
        parts = plain.components | {"safety_checker": None, "feature_extractor": None}
        if kind == "inpaint":
            parts["unet"] = UNet2DConditionModel.from_config(
                dict(plain.unet.config) | {"in_channels": 9}
            )
            StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False).save_pretrained(
                folder
            )
            return folder
        control = ControlNetModel.from_unet(plain.unet, conditioning_embedding_out_channels=(8, 16))
        for weight in control.parameters():
            torch.nn.init.normal_(weight, std=0.1)  # a fresh one says nothing
        StableDiffusionControlNetPipeline(
            **parts, controlnet=control, requires_safety_checker=False
        ).save_pretrained(folder)
    return folder
