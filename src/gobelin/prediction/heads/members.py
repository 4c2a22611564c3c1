"""The heads that `fusion.pool` averages: what each reads, how it is fitted, what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint
from gobelin.core.lazy import special, torch
from gobelin.core.machine import Runtime, derived_seed, one_thread, silent
from gobelin.core.softmax import softmax
from gobelin.data.coarse import LEAST_GROUPS, coarseness, rows_of_groups
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.heads import linear, trees
from gobelin.prediction.heads.cuts import short_cuts
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.kernel import WIDTHS, Kernel, kernel
from gobelin.prediction.heads.linear import Linear
from gobelin.prediction.heads.logarithm import Logarithm, logarithm
from gobelin.prediction.heads.neural import NeuralPredictor, Projection
from gobelin.prediction.heads.ordered import Ordered, proportional_odds
from gobelin.prediction.heads.recent import RECENT
from gobelin.prediction.heads.trees import Trees

COMPONENTS_OF_TREES = 16  # of a wide field
# features of a field that trees read as they are, at most: of any field, and of a table
NARROW, NARROW_TABLE = 64, 4096
MOST_VALUES = 64  # different ones of a column that trees read, at most
OFTEN_LACKED, LEAST_LACKING = 0.02, 5  # share and count of rows that lack a field
BOOSTED = ("boosted", "deep")  # heads of trees that are grown one after the other
GROWERS: dict[str, Callable[..., Trees]] = {
    "boosted": trees.boosted,
    "deep": partial(trees.boosted, shape=trees.LARGE),
    "forest": trees.forest,
}
TREES = tuple(GROWERS)  # heads that are trees
# heads that are given components, with zeros for an absent field, and draw nothing
LINEAR = ("linear", "ordered", "logarithm", *WIDTHS)
# in a saved pool: trees of a number tell no single row, by a leaf or by what they start from
LEAVES_OF_GROUPS = "leaves and starts of groups"
SMALLEST = 1e-6  # probability of a class that a head gives at least


@settings_class
class Member:
    """One head of a pool."""

    head: Literal[
        "linear",
        "ordered",
        "logarithm",
        "kernel",
        "near",
        "dropout",
        "boosted",
        "deep",
        "forest",
    ] = setting(
        default="linear",
        description="Kind of head; docs/how-to/choose_fusion.md says what each is.",
    )
    fields: tuple[str, ...] = setting(
        default=(), description="The fields that it reads; none named: all."
    )
    strength: float = setting(
        default=10.0,
        gt=0,
        le=1e9,
        description="Weight of the data beside the penalty, of a linear head.",
    )
    decay: float = setting(
        default=1e-3, ge=0, le=1e6, description="Weight decay, of a head with dropout."
    )
    trees: int = setting(
        default=60, ge=1, le=10_000, description="Rounds of boosting, or trees of the forest."
    )
    words: bool = setting(
        default=False, description="Whether it reads the words of texts beside their vectors."
    )
    share: float = setting(default=1.0, ge=0, le=1e6, description="Weight of its answers.")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What heads read of rows: each field as principal components with a total variance of 1.

    lacked: bool [F], the fields that many rows lack, so that every head knows how to do without.
    whole: the fields that trees read as they are; of others they read the first components, which
    hide a single column."""

    fields: tuple[str, ...]
    projections: Mapping[str, Projection]
    lacked: np.ndarray
    words: Mapping[str, Projection]  # of fields of texts
    whole: frozenset[str]

    @staticmethod
    def fit(rows: Embeddings, components: int) -> Inputs:
        """Scales and components of these rows."""
        fitted = {f: Projection.fit(rows, f, components, total=1.0) for f in rows.fields}
        spoken = replace(rows, features={**rows.features, **rows.words})
        words = {f: Projection.fit(spoken, f, components, total=1.0) for f in rows.words}
        lacking = (~rows.present).sum(0)
        often = lacking >= max(LEAST_LACKING, OFTEN_LACKED * len(rows))
        return Inputs(rows.fields, fitted, often, words, whole(fitted, rows.tables))

    def of(
        self, member: Member, rows: Embeddings, known: dict[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """float64 [N, K]: what a head is given. A linear head has zeros for an absent field, trees
        have nan. known: components of these rows that other heads were given before; those of this
        head are added."""
        known, parts = {} if known is None else known, []
        some = np.asarray(rows.present.any(0))  # bool [F], the others are not computed

        def components(name: str, k: int, projection: Projection, x: np.ndarray) -> np.ndarray:
            if name not in known:
                nothing = np.zeros((len(rows), projection.directions.shape[1]))
                known[name] = projection.exact()(x) if some[k] else nothing
            return known[name]

        for k, field in enumerate(self.fields):
            if not reads(member, field):
                continue
            x = rows.features[field]
            if member.head in LINEAR:
                part, absent = components(field, k, self.projections[field], x), 0.0
            elif field in self.whole:
                part, absent = np.asarray(x, np.float64), np.nan
            else:
                part = components(field, k, self.projections[field], x)[:, :COMPONENTS_OF_TREES]
                absent = np.nan
            parts.append(np.where(rows.present[:, [k]], part, absent))
            if member.words and field in self.words:
                spoken = self.words[field]
                # rows without words, as of generated images, say nothing by them
                x = rows.words.get(field, spoken.mean[None].repeat(len(rows), 0))
                part = components(f"{field}/words", k, spoken, x)
                part = part if member.head in LINEAR else part[:, :COMPONENTS_OF_TREES]
                parts.append(np.where(rows.present[:, [k]], part, absent))
        return np.concatenate(parts, 1) if parts else np.zeros((len(rows), 0))

    def place(self, member: Member, field: str) -> slice:
        """Where the components of a field stand in what a linear head is given."""
        start = 0
        for other in filter(partial(reads, member), self.fields):
            width = self.projections[other].directions.shape[1]
            if other == field:
                return slice(start, start + width)
            if member.words and other in self.words:
                width += self.words[other].directions.shape[1]
            start += width
        raise KeyError(field)

    def heard(self, member: Member, rows: Embeddings) -> np.ndarray:
        """bool [N]: whether the head knows such rows. It doesn't where a row has none of its
        fields. It doesn't either where the row lacks one that nearly all training rows had, but for
        the head that learned with fields hidden."""
        read = np.array([reads(member, f) for f in self.fields], bool)
        some = rows.present[:, read].any(1)
        if member.head == "dropout":
            return np.asarray(some)
        return np.asarray(some & (rows.present | self.lacked)[:, read].all(1))


def whole(
    projections: Mapping[str, Projection], tables: frozenset[str] = frozenset()
) -> frozenset[str]:
    """The fields that are narrow enough for trees to read as they are."""
    most = {f: NARROW_TABLE if f in tables else NARROW for f in projections}
    return frozenset(f for f, p in projections.items() if len(p.mean) <= most[f])


def reads(member: Member, field: str) -> bool:
    return not member.fields or field in member.fields


Smooth = Linear | Logarithm | Kernel  # with `scores_of`
LinearHead = Smooth | Ordered  # one of `LINEAR`


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted head. columns: int64, those of its inputs that trees were given; None: all. several:
    it answers labels, each for itself."""

    member: Member
    head: LinearHead | Trees | NeuralPredictor
    columns: np.ndarray | None = None
    several: bool = False

    def answers(
        self, inputs: Inputs, rows: Embeddings, known: dict[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """float64 [N, C] probabilities, or numbers [N, 1], of N rows. known: as of `Inputs.of`."""
        if isinstance(self.head, NeuralPredictor):
            read = rows.keep([f for f in inputs.fields if reads(self.member, f)])
            scores = self.head.scores(read).astype(np.float64)
            return as_answers(self.member, scores, self.several)
        return self.of(inputs.of(self.member, rows, known))

    def answers_of(
        self, inputs: Inputs, row: Embeddings, field: str, features: torch.Tensor
    ) -> torch.Tensor:
        """float64 [n, C] or [n, 1]: `answers` of one row with other features of a field, float [n,
        D_f], differentiable in them. Of heads that are `Smooth` or networks."""
        if isinstance(self.head, NeuralPredictor):
            read = row.keep([f for f in inputs.fields if reads(self.member, f)])
            scores = self.head.scores_of(read, field, features)
        else:
            assert isinstance(self.head, Smooth)
            x = torch.from_numpy(inputs.of(self.member, row)).repeat(len(features), 1)
            if reads(self.member, field):
                x[:, inputs.place(self.member, field)] = inputs.projections[field].of(
                    features.double()
                )
            scores = self.head.scores_of(x)
        if self.several:
            return scores.sigmoid().clamp(SMALLEST, 1 - SMALLEST)
        if scores.shape[1] == 1:
            return scores
        out = scores.softmax(1).clamp_min(SMALLEST)
        return out / out.sum(1, keepdim=True)

    def of(self, x: np.ndarray) -> np.ndarray:
        """The same of inputs [N, K], as `Inputs.of`."""
        assert not isinstance(self.head, NeuralPredictor)
        if isinstance(self.head, Trees):
            scores = self.head.sums(x if self.columns is None else x[:, self.columns])
        else:
            scores = self.head.scores(x)
        return as_answers(self.member, scores, self.several)


def as_answers(member: Member, scores: np.ndarray, several: bool) -> np.ndarray:
    """float64 [N, C] probabilities of scores [N, C]; numbers [N, 1] as they are."""
    if several:
        out = scores if member.head == "forest" else special.expit(scores)
        return np.clip(out, SMALLEST, 1 - SMALLEST)
    if scores.shape[1] == 1:
        return scores
    out = scores if member.head == "forest" else softmax(scores, axis=1)
    out = np.clip(out, SMALLEST, None)
    return out / out.sum(1, keepdims=True)


def fit(
    member: Member,
    x: np.ndarray,
    answers: np.ndarray,
    weights: np.ndarray,
    outputs: int,
    seed: int,
    group: np.ndarray,
    least_groups: int,
    zero: float = 0.0,
) -> Fitted:
    """A fitted head, but for one with dropout. x: [n, K], as `Inputs.of`. answers: int [n] of
    classes, int [n, C] of labels, or float [n] where outputs is 1. weights: [n]. group: int [n]. A
    leaf of a number is the mean of `least_groups` groups or more, rounded: of fewer, it would tell
    theirs. Numbers have a rounded mean of 0. zero: what the number 0 is among the answers."""
    several = answers.ndim == 2
    if member.head in LINEAR:
        with one_thread():
            head = _linear_head(member, x, answers, weights, outputs, zero, group, least_groups)
        return Fitted(member, head, several=several)
    used = weights > 0
    x, answers, weights = x[used], answers[used], weights[used]
    # numbered anew: the same rows among others are the same trees
    group = np.unique(group[used], return_inverse=True)[1]
    columns = np.flatnonzero(~np.isnan(x).all(0))
    alone = outputs > 1 and not several and len(np.unique(answers)) < 2
    if not len(columns) or alone:
        if outputs == 1:
            return Fitted(member, trees.constant(np.zeros(1)), columns, several)
        # nothing to cut: a linear head whose input is 0 says what all rows say together
        line, nothing = replace(member, head="linear"), np.zeros((len(x), 1))
        lone = fit(line, nothing, answers, weights, outputs, seed, group, least_groups)
        answer = lone.of(nothing[:1])[0]
        if several:
            answer = answer if member.head == "forest" else special.logit(answer)
        elif member.head != "forest":
            answer = np.log(answer)
        return Fitted(member, trees.constant(answer), columns, several)
    from sklearn import config_context

    seen, own = x[:, columns], derived_seed(seed, "member", member.head)
    leaf = rows_of_groups(group, least_groups) if outputs == 1 else 1
    # half of that of a mean: a row moves a leaf of five by a fifth, and many leaves are added
    step = coarseness(least_groups, least_groups) / 2 if outputs == 1 else 0.0

    def grown() -> Trees:
        few = max(2, min(MOST_VALUES, len(x) // LEAST_GROUPS))
        values, grow = trees.few_values(seen, weights, few), GROWERS[member.head]
        # its checks of settings take as long as the trees of few rows
        with one_thread(), config_context(skip_parameter_validation=True):
            found = grow(values, answers, weights, outputs, member.trees, own, leaf, step)
        return short_cuts(found, seen, group, least_groups)

    given = (member.head, member.trees, seen, answers, weights, outputs, own, leaf, step)
    known = fingerprint(*given, group, least_groups)
    return Fitted(member, RECENT.of(known, grown), columns, several)


def _linear_head(
    member: Member,
    x: np.ndarray,
    answers: np.ndarray,
    weights: np.ndarray,
    outputs: int,
    zero: float,
    group: np.ndarray,
    least_groups: int,
) -> LinearHead:
    """As `fit`, of a head in `LINEAR`."""
    strength = member.strength
    if member.head == "ordered":
        return proportional_odds(x, answers, weights, outputs, strength)
    if member.head == "logarithm":
        return logarithm(x, answers, weights, strength, zero, group, least_groups)

    def line(inputs: np.ndarray) -> Linear:
        if answers.ndim == 2:
            return linear.logistic_labels(inputs, answers, weights, strength)
        if outputs == 1:
            return linear.ridge(inputs, answers, weights, strength)
        return linear.logistic(inputs, answers, weights, outputs, strength)

    return kernel(x, WIDTHS[member.head], line) if member.head in WIDTHS else line(x)


def loaded_linear_head(member: Member, arrays: Mapping[str, np.ndarray]) -> LinearHead:
    """A head in `LINEAR` of its arrays by name, as `vars` gives them."""
    kinds = {"ordered": Ordered, "logarithm": Logarithm, **dict.fromkeys(WIDTHS, Kernel)}
    return kinds.get(member.head, Linear)(**arrays)


def dropout_fusion(member: Member) -> Fusion:
    """The fusion that a head with dropout is."""
    return cast(Fusion, catalog.build("fusion", "concat", {"decay": member.decay}))


def dropout_heads(
    member: Member,
    embeddings: Embeddings,
    target: Target,
    jobs: Sequence[Job],
    basis: np.ndarray,
    runtime: Runtime,
) -> list[NeuralPredictor]:
    """Linear networks that learned with fields hidden, one a job. A number is in units of its
    standard deviation, as those of other heads."""
    rows = embeddings.keep([f for f in embeddings.fields if reads(member, f)])
    fitted = dropout_fusion(member).fit(rows, target, jobs, basis, runtime, silent)
    heads = [cast(NeuralPredictor, one) for one in fitted]
    unit = np.array([0.0, 1.0], np.float32)
    return [head if head.answer is None else replace(head, answer=unit) for head in heads]


def mixed(
    answers: Sequence[np.ndarray], heard: Sequence[np.ndarray], shares: Sequence[float]
) -> np.ndarray:
    """float64 [N, V]: the weighted mean of the answers of M heads. A head that a row tells nothing
    abstains, unless all of them do. answers: M of [N, V]. heard: M of bool [N]."""
    given = np.array(shares, np.float64)[:, None] * np.array(heard, np.float64)  # [M, N]
    silent = given.sum(0) == 0
    given[:, silent] = np.array(shares, np.float64)[:, None]
    return np.einsum("mn,mnv->nv", given / given.sum(0), np.array(answers))
