"""Fitted encoders that are loaded when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gobelin.embedding.encoders import FittedEncoder


@dataclass(frozen=True)
class EncoderFacts:
    """What an encoder's stage says of it, so that it needs not be loaded."""

    width: int  # D_f
    fingerprint: str


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
