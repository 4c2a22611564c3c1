"""Somebody's diffusers pipeline, found, checked and opened: the one door of that library.

A pipeline is a folder, or the id of a repository on the hub. It is opened as data alone: code that
a folder brings is refused (`networks.pipelines.folder`), and nothing is downloaded unless the user
allowed it.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from gobelin.core import hub
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.networks.pipelines.calls import quiet
from gobelin.networks.pipelines.folder import checked_pipeline, pipeline_fingerprint
from gobelin.networks.pipelines.pipeline import Pipeline, opened

# Files of a repository that are downloaded, and of these the ones that are left out.
PIPELINE_FILES = ["model_index.json", "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model"]
SKIPPED_PIPELINE_FILES = ["*.fp16.*", "*non_ema*"]


@dataclass(frozen=True)
class OpenedPipeline:
    """A pipeline that is ready to be called."""

    pipeline: Pipeline
    peft: ModuleType  # the library of low-rank additions
    fingerprint: str  # of the pipeline's files; their place doesn't matter


def open_pipeline(
    model: str, revision: str, local_only: bool, size: int, device: str
) -> OpenedPipeline:
    """The pipeline at `model`, a folder or a hub id, on `device`.

    revision: of a hub id. local_only: look in the hub's cache alone. size: side in pixels of what a
    text pipeline makes, 0 = its own. Raises MissingExtra without the libraries, and a GobelinError
    where there is no such pipeline or it brings code."""
    diffusers, transformers, peft = _libraries()
    folder, in_cache = _located(model, revision, local_only)
    homes = {
        "diffusers",
        "transformers",
        *(module.name for module in pkgutil.iter_modules(diffusers.pipelines.__path__)),
    }
    checked_pipeline(folder, homes, in_cache)
    fingerprint = pipeline_fingerprint(folder)
    pipeline = Pipeline(diffusers, opened(diffusers, transformers, folder), device, size)
    return OpenedPipeline(pipeline, peft, fingerprint)


def _libraries() -> tuple[ModuleType, ModuleType, ModuleType]:
    try:
        with quiet():
            import diffusers
            import peft
            import transformers
    except ImportError as error:
        raise MissingExtra("diffusers, which drives pretrained pipelines,", "diffusers") from error
    return diffusers, transformers, peft


def _located(model: str, revision: str, local_only: bool) -> tuple[Path, bool]:
    """The pipeline's folder, and whether it lies in the hub's cache."""
    if not model:
        raise GobelinError(
            "pretrained: no model was named. Give a pipeline's folder or hub id: --set"
            " generator.settings.model=..."
        )
    return hub.located(
        model,
        PIPELINE_FILES,
        SKIPPED_PIPELINE_FILES,
        revision,
        local_only,
        "pretrained",
        "generator.settings.local_only",
    )
