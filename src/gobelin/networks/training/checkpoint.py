"""The state of a training on disk: one safetensors file, its structure as JSON in the header.

Nothing is pickled, and the strides of tensors are kept: a training that goes on from a checkpoint
ends with the same bits as one that never stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gobelin.core import files, parse
from gobelin.core.errors import GobelinError, refuse_used_up, why_damaged

State = dict[str, Any]  # nested mappings and lists of tensors and of JSON values


def write_checkpoint(path: Path, identity: str, state: State) -> None:
    """Write the state, whole or not at all. identity: hash of the training that it belongs to."""
    tensors: dict[str, Tensor] = {}
    tree = _flatten({"identity": identity, "state": state}, "", tensors)
    with files.atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata={"tree": json.dumps(tree)})


def read_checkpoint(path: Path, identity: str) -> State | None:
    """The state in `path`; None where there is no file, or it belongs to another training."""
    if not path.exists():
        return None
    try:
        # opened first, as in `files.load_arrays`
        with path.open("rb"), safe_open(path, framework="pt") as file:
            tree = parse.json_value(file.metadata()["tree"])
            if tree["identity"] != identity:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state: State = _unflatten(tree, tensors)["state"]
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        refuse_used_up(error)
        raise GobelinError(
            f"{path}: is damaged ({why_damaged(error)}). Delete it: the training starts again."
        ) from error
    return state


def _flatten(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401 - JSON is any
    """The tree as JSON. Every tensor moves to `tensors` under its path, its strides stay in the
    tree; mappings below the top become lists of pairs, as JSON has no integer keys.
    """
    if isinstance(tree, Tensor):
        tensors[path] = tree.detach().cpu().contiguous()
        return {"tensor": path, "stride": tree.stride()}
    if isinstance(tree, Mapping):
        items = [[k, _flatten(v, f"{path}/{k}", tensors)] for k, v in tree.items()]
        return {"items": items} if path else {k: v for k, v in items}
    if isinstance(tree, (list, tuple)):
        return {"list": [_flatten(v, f"{path}/{k}", tensors) for k, v in enumerate(tree)]}
    return tree


def _unflatten(tree: Any, tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        # the layout in memory is part of the state: other strides round differently
        value = tensors[tree["tensor"]]
        return torch.empty_strided(value.shape, tree["stride"], dtype=value.dtype).copy_(value)
    if "items" in tree:
        return {k: _unflatten(v, tensors) for k, v in tree["items"]}
    if "list" in tree:
        return [_unflatten(v, tensors) for v in tree["list"]]
    return {k: _unflatten(v, tensors) for k, v in tree.items()}
