"""The words of texts: against TF-IDF of scikit-learn, and what a lexicon keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.lexicon import MOST_WORDS, WORD, Lexicon, cut, terms_of

WORDS = ["oak", "ash", "elm", "fir", "bolt m-8", "café", "№7", "rust"]


def texts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(2, 7))) for _ in range(n)]


def cells(some: list[str], groups: list[str] | None = None, least: int = 5) -> TrainingCells:
    return TrainingCells([{"note": t} for t in some], groups, least)


def test_counts_are_those_of_scikit_learn() -> None:
    some = texts(200)
    lexicon = Lexicon.fit(cells(some))
    assert lexicon is not None
    counter = TfidfVectorizer(
        ngram_range=(1, 2),
        token_pattern=WORD.pattern,
        vocabulary=lexicon.terms,
        sublinear_tf=True,
        use_idf=False,
    )
    assert np.allclose(lexicon.weighted(some).toarray(), counter.fit_transform(some).toarray())


def test_components_keep_what_differs() -> None:
    """Cosines of the components are those of the weighted counts: there are directions enough."""
    some = texts(300)
    lexicon = Lexicon.fit(cells(some))
    assert lexicon is not None
    full = lexicon.weighted(some).toarray()
    share = np.array([np.mean([t in set(terms_of(s)) for s in some]) for t in lexicon.terms])
    exact = normalize(full * (1 - np.log(share)))
    found = normalize(lexicon.embed(some))
    near = exact @ exact.T, found @ found.T
    assert np.corrcoef(near[0].ravel(), near[1].ravel())[0, 1] > 0.97  # rarities are drawn to steps


def test_a_word_of_few_groups_is_not_kept() -> None:
    some = [*texts(60), *["secret word"] * 8]
    groups = [*map(str, range(60)), *["one"] * 4, *["two"] * 4]
    lexicon = Lexicon.fit(cells(some, groups))
    assert lexicon is not None and "oak" in lexicon.terms
    assert not [t for t in lexicon.terms if "secret" in t or "word" in t]
    assert not lexicon.embed(["secret word"]).any()
    two = Lexicon.fit(cells(some, groups, least=2))
    assert two is not None and "secret" in two.terms


def test_rarity_does_not_tell_one_group() -> None:
    """The attack: with exact counts, or such as are rounded in one way, the terms that become less
    rare are those of the text that joined. Now others do as often."""
    own, others = [], []
    for n in range(100, 140):
        some = texts(n)
        first, second = Lexicon.fit(cells(some)), Lexicon.fit(cells(some[:-1]))
        assert first is not None and second is not None
        rarities = [dict(zip(x.terms, lengths_of(x), strict=True)) for x in (first, second)]
        for term in rarities[0].keys() & rarities[1].keys():
            fell = rarities[0][term] / rarities[1][term] < 0.98
            (own if term in set(terms_of(some[-1])) else others).append(fell)
    assert np.mean(own) < 1.5 * np.mean(others) and np.mean(others) > 0.1


def lengths_of(lexicon: Lexicon) -> list[float]:
    return np.linalg.norm(lexicon.components, axis=0).tolist()


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    some = texts(100)
    lexicon = Lexicon.fit(cells(some))
    assert lexicon is not None
    lexicon.save(tmp_path / "words")
    again = Lexicon.load(tmp_path / "words")
    assert again.fingerprint() == lexicon.fingerprint()
    assert np.array_equal(again.embed(some), lexicon.embed(some))
    (tmp_path / "words" / "terms.json").write_text('{"terms": ["oak"]}', encoding="utf-8")
    with pytest.raises(ValueError, match="belong together"):
        Lexicon.load(tmp_path / "words")


@pytest.mark.parametrize("some", [[], ["a"], ["one two"] * 3, ["", " "]])
def test_too_little_makes_no_lexicon(some: list[str]) -> None:
    assert Lexicon.fit(cells(some)) is None


def test_part_numbers_are_words() -> None:
    found = list(terms_of("Bolt M-8.5, C++ (rev2)"))
    assert found[:4] == ["bolt", "m-8.5", "c", "rev2"] and "bolt m-8.5" in found


def test_a_text_of_more_words_than_are_read_is_known() -> None:
    whole = "ab " * MOST_WORDS
    assert not cut(whole) and cut(f"{whole} end")
    assert len([t for t in terms_of(f"{whole} end") if t == "end"]) == 0
    assert not cut("a" * 10 * MOST_WORDS)  # one long word
