"""Fitted encoders that are loaded when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gobelin.embedding.encoders import FittedEncoder

WIDEST = 10_000_000  # numbers of one field's features, at most


@dataclass(frozen=True)
class EncoderFacts:
    """What an encoder's stage says of it, so that it needs not be loaded."""

    width: int  # D_f
    fingerprint: str

    @classmethod
    def from_json(cls, values: Any) -> EncoderFacts:  # noqa: ANN401 - a file may hold anything
        """Raises TypeError or ValueError for what no encoder's stage says."""
        facts = cls(**values)
        if type(facts.width) is not int or not isinstance(facts.fingerprint, str):
            raise TypeError("width is no whole number, or fingerprint is no text")
        if not 0 < facts.width <= WIDEST:
            raise ValueError(f"width is not between 1 and {WIDEST}")
        return facts


class LoadedLate(Mapping[str, FittedEncoder]):
    """Encoders by field, each loaded when it is first asked for: a question about one field needs
    no network of another."""

    def __init__(
        self,
        fields: Sequence[str],
        load: Callable[[str], FittedEncoder],
        facts: Callable[[str], EncoderFacts | None],
    ) -> None:
        """load: the encoder of a field. facts: what is known of it without loading it, if
        anything."""
        self._load, self._loaded = load, dict.fromkeys(fields)
        self._facts = {field: facts(field) for field in fields}

    def __getitem__(self, field: str) -> FittedEncoder:
        encoder: FittedEncoder | None = self._loaded[field]
        if encoder is None:
            encoder = self._load(field)
            self._loaded[field], self._facts[field] = encoder, None
        return encoder

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)

    def facts(self, field: str) -> EncoderFacts | None:
        """What is known of an encoder that was not loaded; None of one that was."""
        return self._facts[field]
