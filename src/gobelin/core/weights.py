"""A fitted network on disk: config.json (settings, hash) beside weights.safetensors. Nothing is
unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from gobelin.core import files
from gobelin.core.errors import GobelinError
from gobelin.core.parse import Unreadable


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
        save_file(tensors, temporary / "weights.safetensors")
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
        reason = error.reason if isinstance(error, Unreadable) else error
        raise GobelinError(
            f"{folder}: config.json is missing or damaged ({reason}). Fit it again."
        ) from error
    if stored != version:
        raise GobelinError(
            f"{folder}: format {stored}, this version reads {version}. Fit it again."
        )
    return config


def fill(folder: Path, config: Mapping[str, Any], network: nn.Module) -> None:
    """Load the weights into the network. GobelinError if they are missing, damaged, or not the
    saved ones."""
    try:
        network.load_state_dict(load_file(folder / "weights.safetensors"))
    except (SafetensorError, RuntimeError, OSError) as error:
        first = str(error).strip().split("\n")[0]
        raise GobelinError(
            f"{folder}: weights.safetensors is missing or damaged ({first}). Fit it again."
        ) from error
    if fingerprint(network) != config.get("weights"):
        raise GobelinError(f"{folder}: the weights aren't those that were saved. Fit it again.")
