"""The forward pass of a sentence encoder of convolutions, without computing anything twice.

The network is the multilingual sentence encoder with convolutions (Yang et al. 2020): every token
is looked up, projected and normalised; for each of three widths, two convolutions with a shortcut
read windows of so many tokens; what they say is normalised, summed over the sentence and read by
three dense layers.

What a convolution says of a window depends on the tokens inside alone, and sentences share most of
their short windows. So each *different* token is projected once, and each different window is
convolved once. A convolution over a window is a sum over its places, so its products are made of
the different inputs and then gathered. Short texts that resemble each other take a quarter of the
time that way, running prose somewhat more than half (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

FIRST, LAST = 1, 2  # numbers of the tokens that begin and end a sentence
UNKNOWN = 0  # token of what the tokenizer doesn't know
WIDEST = 5  # places of the widest window
BEFORE = 2  # of those stand before the token itself
MOST_TOKENS = 8192  # read at once


@dataclass(frozen=True, eq=False)
class Branch:
    """Two convolutions over windows of one width. first, second: float32 [width, H, H] and their
    offsets [H]. before: places of the window before the token itself."""

    before: int
    first: np.ndarray
    first_offset: np.ndarray
    second: np.ndarray
    second_offset: np.ndarray


@dataclass(frozen=True, eq=False)
class EncoderWeights:
    """What the network has learned; all float32.

    table: uint8 [V, E], the vectors of V tokens. scale, low: [S], what a step of the table is worth
    and where it begins, for token v those of v modulo S. projection: [E, B * H] of B branches, its
    offset, and gain and shift of the normalising after it [B * H]. gain, shift: [E + B * H], after
    the convolutions. out, out_offset: [E + B * H, D], [D]. dense: four matrices, and two that lead
    past the first and the third. smallest: added to variances."""

    table: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    projection: np.ndarray
    projection_offset: np.ndarray
    projection_gain: np.ndarray
    projection_shift: np.ndarray
    branches: tuple[Branch, ...]
    gain: np.ndarray
    shift: np.ndarray
    out: np.ndarray
    out_offset: np.ndarray
    dense: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    past: tuple[np.ndarray, np.ndarray]
    smallest: float


class WordTokens:
    """Tokens of texts, each word read once.

    No token of the encoder's vocabulary goes on after a blank, so the tokens of a text are those of
    its words, one after the other."""

    def __init__(self, tokens_of: Callable[[str], list[int]]) -> None:
        """tokens_of: the tokens of a text, without those of its beginning and end."""
        self._tokens_of = tokens_of
        self._known: dict[str, list[int]] = {}

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, with those of its beginning and end."""
        words = [self._word(word) for word in text.split(" ") if word]
        if not words or [UNKNOWN] in words:  # signs that vanish, or become a word with others
            return [FIRST, *self._tokens_of(text), LAST]
        return [FIRST, *(token for word in words for token in word), LAST]

    def _word(self, word: str) -> list[int]:
        if word not in self._known:
            self._known[word] = self._tokens_of(word)
        return self._known[word]


def vectors(weights: EncoderWeights, sentences: Sequence[Sequence[int]]) -> np.ndarray:
    """float32 [n, D], of unit length, of n sentences of tokens."""
    parts, start, count = [], 0, 0
    for k, tokens in enumerate(sentences):
        if k > start and count + len(tokens) > MOST_TOKENS:
            parts.append(_vectors(weights, sentences[start:k]))
            start, count = k, 0
        count += len(tokens)
    return np.concatenate([*parts, _vectors(weights, sentences[start:])])


def _vectors(weights: EncoderWeights, sentences: Sequence[Sequence[int]]) -> np.ndarray:
    """The same for sentences that are read at once."""
    lengths = np.array([len(tokens) for tokens in sentences])
    different, place = np.unique(np.concatenate(sentences), return_inverse=True)
    which = different % len(weights.scale)
    embedded = weights.table[different].astype(np.float32)
    embedded = embedded * weights.scale[which, None] + weights.low[which, None]
    projected = _normalised(embedded @ weights.projection + weights.projection_offset, weights)
    places = _places(lengths)
    width = projected.shape[1] // len(weights.branches)
    read = [(embedded, place)]  # different rows, and which of them each token has
    for k, branch in enumerate(weights.branches):
        own = projected[:, k * width : (k + 1) * width]
        read.append(_convolved(own, place, places, branch))
    return _answer(weights, _summed(weights, read, lengths), lengths)


def _normalised(x: np.ndarray, weights: EncoderWeights) -> np.ndarray:
    """Rows of mean 0 and variance 1 (Ba et al. 2016), times the gain, plus the shift."""
    x = x - x.mean(1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x) / x.shape[1]
    x *= (1 / np.sqrt(variance + weights.smallest))[:, None]
    return x * weights.projection_gain + weights.projection_shift


def _places(lengths: np.ndarray) -> np.ndarray:
    """int [T, WIDEST]: the tokens around each of T tokens; T itself where the sentence ends."""
    count = int(lengths.sum())
    ends = np.repeat(lengths.cumsum(), lengths)[:, None]
    around = np.arange(count)[:, None] + np.arange(-BEFORE, WIDEST - BEFORE)
    inside = (around >= ends - np.repeat(lengths, lengths)[:, None]) & (around < ends)
    return np.where(inside, around, count)


def _convolved(
    x: np.ndarray, place: np.ndarray, places: np.ndarray, branch: Branch
) -> tuple[np.ndarray, np.ndarray]:
    """The two convolutions of a branch: different rows [W, H], and which of them each token has.

    x: [U, H], the different inputs. place: int [T], which of them each token has."""
    width = len(branch.first)
    columns = places[:, BEFORE - branch.before : BEFORE - branch.before + width]
    once, place = _once(x, place, columns, branch.before, branch.first, branch.first_offset)
    return _once(once, place, columns, branch.before, branch.second, branch.second_offset)


def _once(
    x: np.ndarray,
    place: np.ndarray,
    columns: np.ndarray,
    before: int,
    weight: np.ndarray,
    offset: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """One convolution, with the token itself added: different rows, and which each token has."""
    windows = np.append(place, len(x))[columns]  # len(x) stands for nothing
    first, place = _different(windows, len(x) + 1)
    windows = windows[first]
    padded = np.concatenate([x, np.zeros((1, x.shape[1]), np.float32)])
    out = (padded @ weight[0])[windows[:, 0]]
    for k in range(1, len(weight)):
        out += (padded @ weight[k])[windows[:, k]]
    out += offset
    np.maximum(out, 0, out=out)
    out += padded[windows[:, before]]
    return out, place


def _different(windows: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    """Of windows [T, w] of numbers below base: a row of each different one, and which each has."""
    place = windows[:, 0]
    for k in range(1, windows.shape[1]):
        # at most T * base, so no number overflows
        _, first, place = np.unique(
            place * np.int64(base) + windows[:, k], return_index=True, return_inverse=True
        )
    return first, place


def _summed(
    weights: EncoderWeights, read: Sequence[tuple[np.ndarray, np.ndarray]], lengths: np.ndarray
) -> np.ndarray:
    """float32 [n, E + B * H]: the sum over each sentence's tokens of what was read of them,
    normalised over all parts together. A normalised row is the row less its mean, over its
    deviation; so the different rows are summed with weights, and the means apart."""
    size = sum(rows.shape[1] for rows, _ in read)
    mean = sum(rows.sum(1, dtype=np.float64)[place] for rows, place in read) / size
    squares = sum(np.einsum("ij,ij->i", rows, rows)[place] for rows, place in read) / size
    over = 1 / np.sqrt(squares - mean**2 + weights.smallest)
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    summed = np.concatenate([_weighed(rows, place, over, sentence) for rows, place in read], 1)
    summed -= np.bincount(sentence, mean * over).astype(np.float32)[:, None]
    return summed * weights.gain + lengths[:, None].astype(np.float32) * weights.shift


def _weighed(
    rows: np.ndarray, place: np.ndarray, over: np.ndarray, sentence: np.ndarray
) -> np.ndarray:
    """[n, H]: the sum of each sentence's rows, each times its weight."""
    shape = int(sentence[-1]) + 1, len(rows)
    share = np.bincount(sentence * len(rows) + place, over, shape[0] * shape[1])
    return share.reshape(shape).astype(np.float32) @ rows


def _answer(weights: EncoderWeights, summed: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """float32 [n, D]: the dense layers, and the scaling to length 1."""
    count = lengths[:, None].astype(np.float32)
    x = (summed @ weights.out + count * weights.out_offset) / np.sqrt(count)
    first, second, third, fourth = weights.dense
    x = np.maximum(x @ weights.past[0] + np.maximum(x @ first, 0) @ second, 0)
    x = np.tanh(x @ weights.past[1] + np.maximum(x @ third, 0) @ fourth)
    length = np.sqrt(np.maximum(np.einsum("ij,ij->i", x, x), weights.smallest))
    return np.asarray(x / length[:, None], np.float32)
