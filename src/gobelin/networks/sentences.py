"""Word vectors of a language model to one vector a text, as the model's folder says it.

`modules.json` of sentence-transformers (Reimers & Gurevych 2019) lists a transformer, a pooling,
dense layers, a scaling to length 1. Without that file the mean over the words is taken."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from gobelin.core.errors import GobelinError
from gobelin.core.files import read_json
from gobelin.networks.hub_model import Place, has_tower, own_vector, tower_output, transformers

MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
LONGEST = 512  # tokens of a text where neither model nor tokenizer names a limit
BROAD = (
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "HANGUL",
    "BOPOMOFO",
    "YI",
)  # scripts with a letter a syllable or word
MOST = (
    0.8,
    1.2,
    # tokens a letter that a model needs at most for letters that it knows: of an alphabet, of a
    # broad
    # script
)
UNKNOWN = "letters that the model doesn't know"


class Sentences(nn.Module):
    """A text tower: tokens to one vector."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.network, self.pooled = place.network()
        self.joint = has_tower(self.network, "text") or type(self.network).__name__.endswith(
            "WithProjection"
        )
        self.modes: tuple[str, ...] = ("mean",)
        self.filled = shows_fillings(self.network)
        self.unit, dense = False, []
        for kind, folder in _modules(place):
            if kind == "Pooling":
                self.modes = _modes(place, folder)
            elif kind == "Dense":
                dense.append(_dense(place, folder))
            elif kind == "Normalize":
                self.unit = True
            elif kind != "Transformer":
                raise GobelinError(
                    f"{place.where}: {place.folder}: asks for {kind}, which isn't known here. Use"
                    " another model."
                )
        self.dense = nn.Sequential(*dense)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 [n, T] tokens, [n, T] 1 = a token -> [n, D]."""
        inputs = {"input_ids": ids} if self.filled else {"input_ids": ids, "attention_mask": mask}
        output = tower_output(self.network, "text", inputs)
        found = own_vector(output, self.pooled) if self.joint else None
        if found is None:
            last = output.last_hidden_state.float()
            found = torch.cat([pooling(last, mask, mode) for mode in self.modes], 1)
        found = self.dense(found)
        return functional.normalize(found.float(), dim=1) if self.unit else found


def shows_fillings(network: Any) -> bool:  # noqa: ANN401 - of any class
    """Whether the model reads texts filled up to one length, fillings as words (SigLIP), because it
    was trained so."""
    return str(network.config.model_type).startswith("siglip")


def pooling(words: Tensor, mask: Tensor, mode: str) -> Tensor:
    """[n, T, D], [n, T] with 1 = a word (fillings come last) -> [n, D]."""
    there = mask[..., None].to(words.dtype)
    if mode == "cls":
        return words[:, 0]
    if mode == "max":
        return words.masked_fill(there == 0, -torch.inf).amax(1)
    if mode == "lasttoken":
        return words[torch.arange(len(words), device=words.device), mask.sum(1) - 1]
    if mode == "weightedmean":  # Muennighoff 2022, eq. 2
        there = there * torch.arange(1, words.shape[1] + 1, device=words.device)[:, None]
    total, count = (words * there).sum(1), there.sum(1)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)


class Tokenizer:
    """Texts to tokens."""

    def __init__(self, place: Place, network: Any, prompt: str) -> None:  # noqa: ANN401 - of any class
        library, folder, config = transformers(), place.folder, network.config
        self.tokenizer = place.opened(
            lambda: library.AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        )
        inner = getattr(config, "text_config", None) or config
        said = _said(place, folder / "sentence_bert_config.json")
        places = getattr(inner, "max_position_embeddings", None) or LONGEST
        known = min(int(self.tokenizer.model_max_length), int(places))
        self.limit = int(said.get("max_seq_length") or known)
        self.lower = bool(said.get("do_lower_case"))
        more = _said(place, folder / "config_sentence_transformers.json")
        self.prompt = prompt or str(
            (more.get("prompts") or {}).get(more.get("default_prompt_name")) or ""
        )
        self.filled = shows_fillings(network)
        self.filling = int(self.tokenizer.pad_token_id or 0)
        ends = (
            self.tokenizer.bos_token_id,
            self.tokenizer.eos_token_id,
            self.tokenizer.pad_token_id,
        )
        self.unknown = None if self.tokenizer.unk_token_id in ends else self.tokenizer.unk_token_id
        self.around = len(self.tokenizer("")["input_ids"])  # tokens that stand in every text
        self.tokens("a")  # the tokenizer is now set to the limit, and no worker changes it

    def tokens(self, text: str) -> np.ndarray:
        """int32 [T]."""
        text = self.prompt + (text.lower() if self.lower else text)
        return np.array(
            self.tokenizer(text, truncation=True, max_length=self.limit)["input_ids"], np.int32
        )

    def trouble(self, text: str, tokens: np.ndarray) -> str:
        """What a reader must know of the text: its letters are unknown to the model, or words were
        cut off.

        Letters are unknown where a third of the tokens say so, or where most letters fall into
        pieces: a language that a tokenizer was made for needs about 0.3 tokens a letter, one whose
        letters it spells out needs 1 and more."""
        broad = (
            sum(c.isalpha() and unicodedata.name(c, "").startswith(BROAD) for c in text)
            if not text.isascii()
            else 0
        )
        letters = sum(c.isalpha() for c in text) - broad
        marks = (
            0 if text.isascii() else sum(unicodedata.category(c).startswith("M") for c in text)
        )  # part of their letter
        others = len(text) - letters - broad - marks - text.count(" ")
        count = len(tokens) - self.around
        spelt = (
            letters + broad >= 4
            and count - others > letters * MOST[0] + broad * MOST[1]
            and not text.isascii()
        )
        if spelt or (self.unknown is not None and int((tokens == self.unknown).sum()) * 3 > count):
            return UNKNOWN
        return (
            f"cut to {self.limit} tokens" if len(tokens) >= self.limit and not self.filled else ""
        )

    def padded(self, texts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """int64 [n, T] tokens and their mask; fillings come last."""
        longest = self.limit if self.filled else max(map(len, texts))
        ids, mask = (
            np.full((len(texts), longest), self.filling),
            np.zeros((len(texts), longest), np.int64),
        )
        for row, tokens in enumerate(texts):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        return torch.from_numpy(ids), torch.from_numpy(mask)


def _modules(place: Place) -> list[tuple[str, Path]]:
    """Kind and folder of each module that modules.json lists."""
    said = _said(place, place.folder / "modules.json") or []
    listed = [
        (str(m["type"]).rsplit(".", 1)[-1], (place.folder / str(m.get("path", ""))).resolve())
        for m in said
    ]
    outside = [folder for _, folder in listed if not folder.is_relative_to(place.folder.resolve())]
    if outside:
        raise GobelinError(
            f"{place.where}: {place.folder}: modules.json leads out of it. Use another model."
        )
    return listed


def _modes(place: Place, folder: Path) -> tuple[str, ...]:
    """Of a pooling's config.json, in the older or the newer spelling."""
    said = _said(place, folder / "config.json")
    named = (
        said.get("pooling_mode")
        or [mode for key, mode in MODES.items() if said.get(key)]
        or ["mean"]
    )
    modes = tuple([named] if isinstance(named, str) else named)
    if not set(modes) <= set(MODES.values()) or said.get("include_prompt") is False:
        raise GobelinError(
            f"{place.where}: {folder}: pools by {modes}, which isn't known here. Use another model."
        )
    return modes


def _dense(place: Place, folder: Path) -> nn.Module:
    """A linear layer and its activation."""
    said = _said(place, folder / "config.json")
    kind = str(said.get("activation_function", "Tanh")).rsplit(".", 1)[-1]
    if (
        kind not in ("Tanh", "Identity", "ReLU", "GELU")
        or not (folder / "model.safetensors").is_file()
    ):
        raise GobelinError(
            f"{place.where}: {folder}: is no dense layer as safetensors that is known here. Use"
            " another model."
        )
    layer = nn.Linear(said["in_features"], said["out_features"], bool(said.get("bias", True)))
    weights = place.opened(lambda: load_file(folder / "model.safetensors"))
    place.opened(
        lambda: layer.load_state_dict(
            {k.removeprefix("linear."): v.float() for k, v in weights.items()}
        )
    )
    return nn.Sequential(layer, getattr(nn, kind)())


def _said(place: Place, path: Path) -> Any:  # noqa: ANN401 - JSON is any
    """What a JSON file says; nothing where there is none."""
    try:
        return read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise GobelinError(
            f"{place.where}: {path}: is damaged ({error}). Copy or download it again."
        ) from error
