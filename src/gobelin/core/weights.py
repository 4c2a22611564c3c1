"""A fitted network on disk: config.json (settings, hash) beside weights.safetensors. Nothing is
unpickled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from gobelin.core import files
from gobelin.core.errors import GobelinError, first_line, refuse_used_up
from gobelin.core.parse import Unreadable

FILE = "weights.safetensors"
MOST_BESIDE = 2**28  # bytes of what a network computes from its settings and doesn't save
Network = TypeVar("Network", bound=nn.Module)


def fingerprint(network: nn.Module, *settings: object) -> str:
    """A hash of the weights and of other settings that decide the network's output."""
    weights = network.state_dict()
    arrays = [weights[name].detach().cpu().contiguous().numpy() for name in sorted(weights)]
    return files.fingerprint(*settings, sorted(weights), *arrays)


def save(folder: Path, config: Mapping[str, Any], network: nn.Module, version: int) -> None:
    """Write a network. config: JSON values. version: of the format, which `config_of` compares."""
    with files.atomic_folder(folder) as temporary:
        tensors = {
            name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
        }
        save_file(tensors, temporary / FILE)
        files.write_json(
            temporary / "config.json",
            {"format": version, **config, "weights": fingerprint(network)},
        )


def config_of(folder: Path, version: int) -> dict[str, Any]:
    """The content of config.json. GobelinError if it is missing, damaged, or of another format."""
    try:
        config = files.read_json(folder / "config.json")
        stored = config["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        refuse_used_up(error)
        reason = error.reason if isinstance(error, Unreadable) else error
        raise GobelinError(
            f"{folder}: config.json is missing or damaged ({reason}). {files.made_anew(folder)}"
        ) from error
    if stored != version:
        raise GobelinError(
            f"{folder}: format {stored}, this version reads {version}. {files.made_anew(folder)}"
        )
    return config


def loaded(folder: Path, config: Mapping[str, Any], build: Callable[[], Network]) -> Network:
    """The network that `build()` makes from config.json, with the saved weights.

    It is built first without memory and compared with the header of the file of weights: a number
    in config.json takes no more than the file holds. GobelinError as by `fill`."""
    with torch.device("meta"):
        planned = build()
    saved = planned.state_dict()
    refuse_other_shapes(folder, {name: tuple(value.shape) for name, value in saved.items()})
    beside = [b for name, b in planned.named_buffers() if name not in saved]
    if (size := sum(b.numel() * b.element_size() for b in beside)) > MOST_BESIDE:
        raise GobelinError(
            f"{folder}: config.json asks for {size // 2**20} MB beside the weights."
            f" {files.made_anew(folder)}"
        )
    network = build()
    fill(folder, config, network)
    return network


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """{name: shape} of the arrays in the file of weights, from its header. GobelinError where it
    is missing or damaged."""
    with _damage(folder), safe_open(folder / FILE, framework="np") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def refuse_other_shapes(folder: Path, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """GobelinError where the file of weights promises other arrays than the `wanted` ones, {name:
    shape}."""
    found = shapes(folder)
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise GobelinError(
                f"{folder}: config.json asks for {name[:80]} of shape {_shape(wanted.get(name))},"
                f" {FILE} holds {_shape(found.get(name))}. {files.made_anew(folder)}"
            )


def fill(folder: Path, config: Mapping[str, Any], network: nn.Module) -> None:
    """Load the weights into the network. GobelinError if they are missing, damaged, or not the
    saved ones."""
    with _damage(folder):
        network.load_state_dict(load_file(folder / FILE))
    if fingerprint(network) != config.get("weights"):
        raise GobelinError(
            f"{folder}: the weights aren't those that were saved. {files.made_anew(folder)}"
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else " x ".join(map(str, shape)) or "1"


@contextmanager
def _damage(folder: Path) -> Iterator[None]:
    """GobelinError for what reading the file of weights raises."""
    try:
        with (folder / FILE).open("rb"):  # first, as in `files.load_arrays`
            yield
    except (SafetensorError, RuntimeError, OSError) as error:
        refuse_used_up(error)
        raise GobelinError(
            f"{folder}: {FILE} is missing or damaged ({first_line(error)})."
            f" {files.made_anew(folder)}"
        ) from error
