"""Helpers for calling third-party diffusers pipelines: arguments, noise, messages, image size,
pixels.
"""

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
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from gobelin.core.errors import GobelinError
from gobelin.networks.convolution import signal_of

LOUD_LIBRARIES = ("diffusers", "transformers", "peft")  # they log and warn on every opening
# whatever a library raises for a folder that is damaged or of another version
OPENING_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
    SafetensorError,
)


def arguments(
    pipe: Any,  # noqa: ANN401 - a third-party object
) -> Mapping[str, inspect.Parameter]:
    """{name: parameter} of a call of the pipeline."""
    return inspect.signature(pipe.__call__).parameters


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Inside, messages of the libraries go into the list instead of being printed; their Python
    warnings are dropped.
    """
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    loggers = [logging.getLogger(name) for name in LOUD_LIBRARIES]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    try:
        for logger in loggers:
            logger.handlers, logger.propagate = [Collector()], False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield messages
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


@contextlib.contextmanager
def no_bars(*libraries: Any) -> Iterator[None]:  # noqa: ANN401 - a library's `utils.logging`
    """Inside, the libraries draw no progress bars."""
    with_bars = [library for library in libraries if library.is_progress_bar_enabled()]
    try:
        for library in with_bars:
            library.disable_progress_bar()
        yield
    finally:
        for library in with_bars:
            library.enable_progress_bar()


@contextlib.contextmanager
def drawn_from(scheduler: Any, streams: list[torch.Generator]) -> Iterator[None]:  # noqa: ANN401
    """Inside, the scheduler's steps draw the noise of image k from streams[k], also where the
    pipeline doesn't pass its generators on (DiT).

    Some pipelines sample a guided and an unguided half together and use the first; the second half
    gets its own streams.
    """
    step = scheduler.step
    if "generator" not in inspect.signature(step).parameters:
        yield
        return
    more_streams = [torch.Generator().manual_seed(stream.initial_seed()) for stream in streams]

    @functools.wraps(step)
    def seeded(model_output: Tensor, time: Any, sample: Tensor, **rest: Any) -> Any:  # noqa: ANN401
        if rest.get("generator") is None:
            rest["generator"] = (
                streams if len(sample) == len(streams) else [*streams, *more_streams]
            )
        return step(model_output, time, sample, **rest)

    scheduler.step = seeded
    try:
        yield
    finally:
        del scheduler.step


def size_of(pipe: Any, network: Any, side: int) -> tuple[int, int, int]:  # noqa: ANN401
    """H, W, C of the pipeline's images. side: in pixels, 0 = the pipeline's default. Raises
    GobelinError where the size can't be chosen or isn't known.
    """
    autoencoder = pipe.components.get("vae")
    halvings = (
        0
        if autoencoder is None
        else len(getattr(autoencoder.config, "block_out_channels", (0,))) - 1
    )
    factor = getattr(pipe, "vae_scale_factor", None) or 2**halvings
    sample = getattr(pipe, "default_sample_size", None) or getattr(
        network.config, "sample_size", None
    )
    channels = int(
        getattr(
            autoencoder.config if autoencoder is not None else network.config, "out_channels", 3
        )
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
            "pretrained: this pipeline doesn't name the size of its images. Set size to a number of"
            " pixels."
        )
    height, width = sample if isinstance(sample, list | tuple) else (sample, sample)
    return int(height * factor), int(width * factor), channels


def fitted_signal(images: np.ndarray, size: tuple[int, int, int]) -> Tensor:
    """Images uint8 [N, H, W, C] of any size, grey, RGB or RGBA (over white) -> float32 [N, C,
    *size[:2]] in -1 .. 1. size: H, W, C.

    Images of this size are unchanged: `pixels_of` gives the same bits back. Raises GobelinError for
    another count of channels.
    """
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
