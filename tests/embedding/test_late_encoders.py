"""Encoders that load when they are asked for. Oracle: a list of what was loaded."""

from __future__ import annotations

from typing import Any

from gobelin.embedding.late_encoders import EncoderFacts, LoadedLate


def test_an_encoder_is_loaded_once_and_only_where_it_is_asked_for() -> None:
    loaded: list[str] = []

    def load(field: str) -> Any:  # noqa: ANN401 - in the place of an encoder
        loaded.append(field)
        return field.upper()

    known = {"picture": EncoderFacts(8, "p"), "text": None}
    encoders = LoadedLate(["picture", "text"], load, known.get)
    assert list(encoders) == ["picture", "text"] and len(encoders) == 2
    assert encoders.facts("picture") == EncoderFacts(8, "p") and encoders.facts("text") is None
    assert loaded == []
    assert [encoders["picture"], encoders["picture"]] == ["PICTURE", "PICTURE"]
    assert loaded == ["picture"]
    assert encoders.facts("picture") is None  # a loaded one is asked itself
