"""One vector a text from a language model, pooled as the files in the model's folder prescribe.

`modules.json` of sentence-transformers (Reimers & Gurevych 2019) lists a transformer, a pooling,
dense layers, a scaling to length 1. Without that file the mean over the tokens is taken.
"""

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
from gobelin.core.parse import Unreadable
from gobelin.networks.hub_model import (
    ModelSource,
    has_tower,
    pooled_vector,
    tower_output,
    transformers,
)

# key in a pooling's configuration of the older spelling: the mode's name in the newer one
MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
LONGEST_TEXT = 512  # tokens of a text where neither model nor tokenizer gives a limit
# scripts with one letter a syllable or word
BROAD_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "YI")
# tokens a letter that a tokenizer needs at most for letters that it was made for
TOKENS_A_LETTER = 0.8  # of an alphabet
TOKENS_A_BROAD_LETTER = 1.2  # of a broad script
LETTERS_A_TOKEN = 100  # of a text, beyond which none is read: no tokenizer has longer tokens
UNKNOWN_LETTERS = "letters that the model doesn't know"


class Sentences(nn.Module):
    """A text encoder: tokens of a text to one vector."""

    def __init__(self, place: ModelSource) -> None:
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
                    f"{place.where}: {place.folder}: needs the module {kind}, which isn't supported"
                    " here. Use another model."
                )
        self.dense = nn.Sequential(*dense)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids: tokens int64 [n, T]. mask: int64 [n, T], 1 = a token, 0 = padding. -> [n, D]."""
        inputs = {"input_ids": ids} if self.filled else {"input_ids": ids, "attention_mask": mask}
        output = tower_output(self.network, "text", inputs)
        vector = pooled_vector(output, self.pooled) if self.joint else None
        if vector is None:
            last = output.last_hidden_state.float()
            vector = torch.cat([pooling(last, mask, mode) for mode in self.modes], 1)
        vector = self.dense(vector)
        return functional.normalize(vector.float(), dim=1) if self.unit else vector


def shows_fillings(network: Any) -> bool:  # noqa: ANN401 - of any class
    """Whether the model takes texts padded to one length and treats padding as words (SigLIP), as
    it did in training.
    """
    return str(network.config.model_type).startswith("siglip")


def pooling(words: Tensor, mask: Tensor, mode: str) -> Tensor:
    """Vectors of tokens [n, T, D] -> [n, D]. mask: [n, T], 1 = a token; padding comes last."""
    weight = mask[..., None].to(words.dtype)
    if mode == "cls":
        return words[:, 0]
    if mode == "max":
        return words.masked_fill(weight == 0, -torch.inf).amax(1)
    if mode == "lasttoken":
        return words[torch.arange(len(words), device=words.device), mask.sum(1) - 1]
    if mode == "weightedmean":  # Muennighoff 2022, eq. 2
        weight = weight * torch.arange(1, words.shape[1] + 1, device=words.device)[:, None]
    total, count = (words * weight).sum(1), weight.sum(1)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)


class TextTokenizer:
    """Texts to tokens, with the tokenizer in the model's folder.

    prompt: text before every text; '' = the model's default prompt.
    """

    def __init__(self, place: ModelSource, network: Any, prompt: str) -> None:  # noqa: ANN401 - of any class
        library, folder, config = transformers(), place.folder, network.config
        self.tokenizer = place.opened(
            lambda: library.AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        )
        text_config = getattr(config, "text_config", None) or config
        sentence_config = _stored(place, folder / "sentence_bert_config.json")
        positions = getattr(text_config, "max_position_embeddings", None) or LONGEST_TEXT
        default_limit = min(int(self.tokenizer.model_max_length), int(positions))
        self.limit = int(sentence_config.get("max_seq_length") or default_limit)
        self.lower = bool(sentence_config.get("do_lower_case"))
        prompt_config = _stored(place, folder / "config_sentence_transformers.json")
        self.prompt = prompt or str(
            (prompt_config.get("prompts") or {}).get(prompt_config.get("default_prompt_name")) or ""
        )
        self.filled = shows_fillings(network)
        self.filling = int(self.tokenizer.pad_token_id or 0)
        special = (
            self.tokenizer.bos_token_id,
            self.tokenizer.eos_token_id,
            self.tokenizer.pad_token_id,
        )
        self.unknown = (
            None if self.tokenizer.unk_token_id in special else self.tokenizer.unk_token_id
        )
        self.around = len(self.tokenizer("")["input_ids"])  # tokens that every text has
        self.tokens("a")  # sets the tokenizer's limit once, before several workers use it

    def tokens(self, text: str) -> np.ndarray:
        """The tokens of a text, int32 [T]."""
        text = text[: self.limit * LETTERS_A_TOKEN]
        text = self.prompt + (text.lower() if self.lower else text)
        return np.array(
            self.tokenizer(text, truncation=True, max_length=self.limit)["input_ids"], np.int32
        )

    def trouble(self, text: str, tokens: np.ndarray) -> str:
        """A warning about the text, '' for none: the model doesn't know its letters, or words were
        cut off.

        Letters are unknown where a third of the tokens are the unknown token, or where most letters
        are split into pieces: a language that a tokenizer was made for needs about 0.3 tokens a
        letter, one whose letters it spells out needs 1 or more.
        """
        cut = len(tokens) >= self.limit or len(text) > self.limit * LETTERS_A_TOKEN
        text = text[: self.limit * LETTERS_A_TOKEN]
        broad = (
            sum(c.isalpha() and unicodedata.name(c, "").startswith(BROAD_SCRIPTS) for c in text)
            if not text.isascii()
            else 0
        )
        letters = sum(c.isalpha() for c in text) - broad
        accents = (
            0 if text.isascii() else sum(unicodedata.category(c).startswith("M") for c in text)
        )  # part of their letter
        other_marks = len(text) - letters - broad - accents - text.count(" ")
        word_tokens = len(tokens) - self.around
        spelled_out = (
            letters + broad >= 4
            and word_tokens - other_marks
            > letters * TOKENS_A_LETTER + broad * TOKENS_A_BROAD_LETTER
            and not text.isascii()
        )
        if spelled_out or (
            self.unknown is not None and int((tokens == self.unknown).sum()) * 3 > word_tokens
        ):
            return UNKNOWN_LETTERS
        return f"cut to {self.limit} tokens" if cut and not self.filled else ""

    def padded(self, texts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Tokens int64 [n, T] of n texts, and their mask int64 [n, T]; padding comes last."""
        length = self.limit if self.filled else max(map(len, texts))
        ids, mask = (
            np.full((len(texts), length), self.filling),
            np.zeros((len(texts), length), np.int64),
        )
        for row, tokens in enumerate(texts):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        return torch.from_numpy(ids), torch.from_numpy(mask)


def _modules(place: ModelSource) -> list[tuple[str, Path]]:
    """Kind and folder of each module that modules.json lists."""
    entries = _stored(place, place.folder / "modules.json") or []
    modules = [
        (str(m["type"]).rsplit(".", 1)[-1], (place.folder / str(m.get("path", ""))).resolve())
        for m in entries
    ]
    outside = [folder for _, folder in modules if not folder.is_relative_to(place.folder.resolve())]
    if outside:
        raise GobelinError(
            f"{place.where}: {place.folder}: modules.json names a folder outside of it. Use another"
            " model."
        )
    return modules


def _modes(place: ModelSource, folder: Path) -> tuple[str, ...]:
    """Modes of a pooling's config.json, in the older or the newer spelling."""
    stored = _stored(place, folder / "config.json")
    names = (
        stored.get("pooling_mode")
        or [mode for key, mode in MODES.items() if stored.get(key)]
        or ["mean"]
    )
    modes = tuple([names] if isinstance(names, str) else names)
    if not set(modes) <= set(MODES.values()) or stored.get("include_prompt") is False:
        raise GobelinError(
            f"{place.where}: {folder}: pools by {modes}, which isn't supported here. Use another"
            " model."
        )
    return modes


def _dense(place: ModelSource, folder: Path) -> nn.Module:
    """A linear layer and its activation."""
    stored = _stored(place, folder / "config.json")
    kind = str(stored.get("activation_function", "Tanh")).rsplit(".", 1)[-1]
    if (
        kind not in ("Tanh", "Identity", "ReLU", "GELU")
        or not (folder / "model.safetensors").is_file()
    ):
        raise GobelinError(
            f"{place.where}: {folder}: is no dense layer that is supported here. Use another model."
        )
    layer = nn.Linear(stored["in_features"], stored["out_features"], bool(stored.get("bias", True)))
    weights = place.opened(lambda: load_file(folder / "model.safetensors"))
    place.opened(
        lambda: layer.load_state_dict(
            {k.removeprefix("linear."): v.float() for k, v in weights.items()}
        )
    )
    return nn.Sequential(layer, getattr(nn, kind)())


def _stored(place: ModelSource, path: Path) -> Any:  # noqa: ANN401 - JSON is any
    """The content of a JSON file; {} where there is none."""
    try:
        return read_json(path) if path.is_file() else {}
    except Unreadable as error:
        raise GobelinError(
            f"{place.where}: {path}: is damaged ({error.reason}). Copy or download it again."
        ) from error
