"""What it takes to call a pipeline of somebody else: its arguments, its noise, its talk, its size,
its pixels."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gobelin.core.errors import GobelinError
from gobelin.networks.convolution import signal_of

TALKERS = ("diffusers", "transformers", "peft")


def arguments(
    pipe: Any,  # noqa: ANN401 - a third-party object
) -> Mapping[str, inspect.Parameter]:
    """What a call of the pipeline takes."""
    return inspect.signature(pipe.__call__).parameters


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """What the libraries say meanwhile, collected instead of printed; their Python warnings are
    dropped."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    loggers = [logging.getLogger(name) for name in TALKERS]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    try:
        for logger in loggers:
            logger.handlers, logger.propagate = [Listener()], False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


@contextlib.contextmanager
def no_bars(*talkers: Any) -> Iterator[None]:  # noqa: ANN401 - a library's `utils.logging`
    """The libraries draw no progress bars meanwhile."""
    drawing = [talk for talk in talkers if talk.is_progress_bar_enabled()]
    try:
        for talk in drawing:
            talk.disable_progress_bar()
        yield
    finally:
        for talk in drawing:
            talk.enable_progress_bar()


@contextlib.contextmanager
def drawn_from(scheduler: Any, seeds: list[torch.Generator]) -> Iterator[None]:  # noqa: ANN401
    """The scheduler's steps draw the noise of image k from seeds[k], where the pipeline forgot to
    say so (DiT).

    A pipeline that samples the guided and the plain half side by side keeps the first; the second
    gets streams of its own."""
    step = scheduler.step
    if "generator" not in inspect.signature(step).parameters:
        yield
        return
    spare = [torch.Generator().manual_seed(seed.initial_seed()) for seed in seeds]

    @functools.wraps(step)
    def seeded(answer: Tensor, time: Any, sample: Tensor, **rest: Any) -> Any:  # noqa: ANN401
        if rest.get("generator") is None:
            rest["generator"] = seeds if len(sample) == len(seeds) else [*seeds, *spare]
        return step(answer, time, sample, **rest)

    scheduler.step = seeded
    try:
        yield
    finally:
        del scheduler.step


def size_of(pipe: Any, network: Any, side: int) -> tuple[int, int, int]:  # noqa: ANN401
    """H, W, C of what the pipeline makes; `side` pixels, or its own size where that is 0."""
    coder = pipe.components.get("vae")
    halvings = 0 if coder is None else len(getattr(coder.config, "block_out_channels", (0,))) - 1
    factor = getattr(pipe, "vae_scale_factor", None) or 2**halvings
    sample = getattr(pipe, "default_sample_size", None) or getattr(
        network.config, "sample_size", None
    )
    channels = int(
        getattr(coder.config if coder is not None else network.config, "out_channels", 3)
    )
    if side:
        if "height" not in arguments(pipe):
            raise GobelinError(
                f"pretrained: this pipeline makes one size only, found size = {side}. Set size"
                " to 0."
            )
        return side, side, channels
    if sample is None:
        raise GobelinError(
            "pretrained: this pipeline doesn't say what size it makes. Set size to a number of"
            " pixels."
        )
    height, width = sample if isinstance(sample, list | tuple) else (sample, sample)
    return int(height * factor), int(width * factor), channels


def fitted_signal(images: np.ndarray, size: tuple[int, int, int]) -> Tensor:
    """uint8 [N, H, W, C] of any size, grey, RGB or RGBA (laid on white) -> float32 [N, C,
    *size[:2]] in -1 .. 1.

    Images that have this size already come back to the bit (`pixels_of`)."""
    colours = images
    if images.shape[3] == 4 and size[2] != 4:
        opacity = images[..., 3:] / 255.0
        colours = np.rint(images[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    if colours.shape[3] == 1:
        colours = np.repeat(colours, size[2], axis=3)
    if size[2] == 1 and colours.shape[3] == 3:
        colours = np.rint(colours.mean(axis=3, keepdims=True)).astype(np.uint8)
    if colours.shape[3] != size[2]:
        raise GobelinError(
            f"pretrained: images of {colours.shape[3]} channels, the pipeline's have {size[2]}."
            " Convert them."
        )
    signal = signal_of(colours)
    if signal.shape[2:] == size[:2]:
        return signal
    return functional.interpolate(
        signal, size[:2], mode="bicubic", align_corners=False, antialias=True
    ).clamp(-1, 1)


def line(error: Exception) -> str:
    """The first line of what an error says."""
    return str(error).strip().split("\n")[0][:160] or type(error).__name__
