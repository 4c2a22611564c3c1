"""Checks of a pipeline's folder before anything opens it: complete, safetensors only, no code.

A pipeline in the layout of diffusers is a `model_index.json`, which names a library and a class for
every component, and one folder a component. The checks read JSON and file names.

What this cannot show: that the weights are good, or whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from gobelin.core.errors import GobelinError
from gobelin.core.files import file_hash, fingerprint, read_json
from gobelin.core.parse import Unreadable

PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
LOADED_SUFFIXES = (".json", ".safetensors", ".txt", ".model")  # loading reads only these files
VOCABULARY_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
# endings of component classes that have no weights
WEIGHTLESS = (
    "Scheduler",
    "Tokenizer",
    "TokenizerFast",
    "Processor",
    "ProcessorPil",
    "ProcessorFast",
    "FeatureExtractor",
)
# keys of a configuration that ask for code, or for a model, from elsewhere
ELSEWHERE = (
    *("auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code"),
    *("use_pretrained_backbone", "use_kernels"),
)
# keys whose values, with a / in them, are repositories of code or of a model
REPOSITORIES = ("attn_implementation", "experts_implementation", "backbone")
ADAPTER = "adapter_config.json"  # of the library peft, which reads it wherever it lies
SHARD = re.compile(r"[^/\\:\0]+\.safetensors")
SAVE_SAFELY = "Use a pipeline that was saved with safe_serialization=True."


def checked_pipeline(folder: Path, homes: Collection[str], hub: bool = False) -> dict[str, Any]:
    """The content of `folder`/model_index.json.

    Raises GobelinError for a folder that doesn't exist, isn't a complete pipeline, holds pickled
    weights, or asks for code. homes: libraries that a component may come from. hub: a downloaded
    copy, whose files are not searched for code and pickles: only LOADED_SUFFIXES were
    downloaded.
    """
    where = f"pretrained: {folder}"
    if not folder.is_dir():
        raise GobelinError(f"{where}: no such folder. Give the folder of a diffusers pipeline.")
    if not (folder / "model_index.json").is_file():
        raise GobelinError(
            f"{where}: has no model_index.json, so it's no diffusers pipeline. Give the folder that"
            " has one."
        )
    index = _json(folder / "model_index.json")
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not hub):
        if path.suffix.lower() == ".py":
            raise GobelinError(
                f"{where}: brings its own code ({path.name}), which is never run. Use one"
                " without it."
            )
        if path.suffix.lower() in PICKLED:
            raise GobelinError(
                f"{where}: has pickled weights ({path.relative_to(folder)}), which can hold code."
                f" {SAVE_SAFELY}"
            )
    if not isinstance(index.get("_class_name"), str):
        raise GobelinError(
            f"{where}: asks for a pipeline class of its own, whose code is never run. Use one of"
            " diffusers."
        )
    for path in (
        p for p in pipeline_files(folder) if p.suffix == ".json" and p.name not in VOCABULARY_FILES
    ):
        stored = _json(path)
        if key := asked_elsewhere(stored):
            raise GobelinError(
                f"{where}: {path.relative_to(folder)} asks for code or a model from elsewhere"
                f" ({key}), which is never fetched nor run. Use one without it."
            )
    for name, (library, kind) in components(index).items():
        _check_component(folder, name, library, kind, homes)
    return index


def asked_elsewhere(stored: Any) -> str:  # noqa: ANN401 - JSON is any
    """The key by which a configuration, at any depth, asks for what is not in its folder; '' for
    none."""
    if isinstance(stored, list):
        return next(filter(None, map(asked_elsewhere, stored)), "")
    if not isinstance(stored, dict):
        return ""
    for key, value in stored.items():
        if key in ELSEWHERE and value:
            return key
        if key.removeprefix("_").removesuffix("_internal") in REPOSITORIES and "/" in str(value):
            return key
    return asked_elsewhere(list(stored.values()))


def leads_elsewhere(folder: Path, read: Callable[[Path], Any] = read_json) -> str:
    """The name of a file in the folder of a network by which weights of another place would be
    read: an adapter, which names its base, or an index with a shard that is no safetensors file of
    this folder. '' for none. read: reads JSON, and raises what it likes."""
    if (folder / ADAPTER).exists():
        return ADAPTER
    for path in sorted(folder.glob("*.safetensors.index*.json")):
        stored = read(path)
        shards = stored.get("weight_map") if isinstance(stored, dict) else None
        names = list(shards.values()) if isinstance(shards, dict) else [shards]
        if not all(isinstance(name, str) and SHARD.fullmatch(name) for name in names):
            return path.name
    return ""


def components(index: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """{name: (library, class)} of the components that a model_index.json has."""
    pairs = {
        n: v
        for n, v in index.items()
        if not n.startswith("_") and isinstance(v, list) and len(v) == 2
    }
    return {
        name: (str(value[0]), str(value[1]))
        for name, value in pairs.items()
        if value[0] and value[1]
    }


def _check_component(
    folder: Path, name: str, library: str, kind: str, homes: Collection[str]
) -> None:
    where, part = f"pretrained: {folder}", folder / name
    if not name.isidentifier() or library not in homes:
        raise GobelinError(
            f"{where}: {name!r} would import {library!r}, which is no part of diffusers. Use"
            " another pipeline."
        )
    if not part.is_dir():
        raise GobelinError(
            f"{where}: is incomplete, {name}/ is missing. Copy or download it again."
        )
    if "Tokenizer" in kind and not any((part / file).is_file() for file in VOCABULARY_FILES):
        raise GobelinError(
            f"{where}: is incomplete, {name}/ has no vocabulary. Copy or download it again."
        )
    if kind.endswith(WEIGHTLESS):
        return
    if not (part / "config.json").is_file():
        raise GobelinError(
            f"{where}: is incomplete, {name}/config.json is missing. Copy or download it again."
        )
    if file := leads_elsewhere(part, _json):
        raise GobelinError(
            f"{where}: {name}/{file} has weights read from elsewhere, which is never done. Use a"
            " pipeline whose weights lie in its folders."
        )
    shards = {
        s for i in part.glob("*.safetensors.index.json") for s in _json(i)["weight_map"].values()
    }
    missing = sorted(s for s in shards if not (part / s).is_file())
    if missing or not any(part.glob("*.safetensors")):
        lacks = missing[0] if missing else "weights (*.safetensors)"
        raise GobelinError(
            f"{where}: is incomplete, {name}/ has no {lacks}. Copy or download it again."
        )


def pipeline_files(folder: Path) -> list[Path]:
    """The files that loading the pipeline in `folder` can read, sorted."""
    below = [
        p
        for d in sorted(folder.iterdir())
        if d.is_dir()
        for p in d.rglob("*")
        if p.suffix in LOADED_SUFFIXES and p.is_file()
    ]
    return sorted([folder / "model_index.json", *below])


def pipeline_fingerprint(folder: Path) -> str:
    """A hash of the names and bytes of `pipeline_files`; they are read in pieces."""

    def parts() -> Iterator[str]:
        for path in pipeline_files(folder):
            yield path.relative_to(folder).as_posix() + file_hash(path)

    return fingerprint(*parts())


def _json(path: Path) -> Any:  # noqa: ANN401 - JSON is any
    try:
        stored = read_json(path)
    except Unreadable as error:
        raise GobelinError(
            f"pretrained: {path}: can't be read as JSON ({error.reason}). Copy or download it"
            " again."
        ) from error
    if path.name == "model_index.json" and not isinstance(stored, dict):
        raise GobelinError(
            f"pretrained: {path}: is no list of components. Copy or download it again."
        )
    return stored
