"""The pipeline that a careful person builds in ten minutes, for `peers.py`.

TF-IDF of words and word pairs, one-hot categories, numbers, the run's frozen image features, mean
and deviation of log-mel bands over time, of a series its last, mean, smallest and largest value and
its deviation; then logistic regression (of a number: ridge) or histogram gradient boosting,
whichever has the smaller loss in its own cross-validation over groups."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peer_sets import Cell, table
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from gobelin import Workbench
from gobelin.data.read import read
from gobelin.data.sound.mel import heard, mel_power
from gobelin.data.sound.sounds import open_sound

DECAYS = (0.1, 1.0, 10.0)  # C of logistic regression, alpha of ridge
COMPONENTS = 50  # of texts and of images, for trees
BANDS = 40  # of the mel spectrum
LEAST_PROBABILITY = 1e-6
# Kinds of columns by AutoGluon MultiModal's names; others are numbers
TYPES = {"text": "text", "category": "categorical", "image": "image_path"}


@dataclass(frozen=True)
class Features:
    """Of training and held-out rows: sparse for a linear model, dense for trees."""

    linear: tuple[Any, Any]
    dense: tuple[np.ndarray, np.ndarray]
    answers: np.ndarray
    groups: list[str]


def answered(cell: Cell, opened: Path) -> tuple[list[str], np.ndarray, float, str]:
    """Classes, probabilities or numbers of the held-out rows, seconds of processor time, the model.

    opened: a fitted run of the same rows, for its schema and its image features."""
    run = Workbench.open(opened).run
    images = image_features(cell, run)
    start = time.process_time()
    made = features(cell, run, images)
    best, note = chosen(cell.numeric, made)
    tree = "HistGradient" in note
    train, test = made.dense if tree else made.linear
    best.fit(train, made.answers)
    values = (best.predict if cell.numeric else best.predict_proba)(test)
    classes = [] if cell.numeric else [str(c) for c in best.classes_]
    return classes, values, time.process_time() - start, note


def image_features(cell: Cell, run: Any) -> list[list[np.ndarray]]:
    """Of each image column: the run's frozen features of the training and of the held-out rows."""
    fields = [f.name for f in run.data.schema.fields if f.kind == "image"]
    embedded = [run.features.embedder.embed(read(p)).features for p in (cell.train, cell.test)]
    return [[e[name] for e in embedded] for name in fields]


def features(cell: Cell, run: Any, images: Sequence[Sequence[np.ndarray]]) -> Features:
    """The blocks of all columns and image features, side by side."""
    train, test = table(cell.train), table(cell.test)
    linear: list[tuple[Any, Any]] = []  # (train, test) blocks
    trees: list[tuple[Any, Any]] = []
    for column in run.data.schema.columns:
        values = [[row.get(column.name) or "" for row in rows] for rows in (train, test)]
        for block, dense in blocks(column.kind, column.name, run, values, cell.train.parent):
            linear.append(block)
            trees.append(dense)
    for both in images:
        scaler = StandardScaler().fit(both[0])
        scaled = [scaler.transform(x) for x in both]
        linear.append((scaled[0], scaled[1]))
        trees.append(reduced(scaled[0], scaled[1]))
    x = [sparse.hstack([sparse.csr_matrix(b[k]) for b in linear]).tocsr() for k in (0, 1)]
    dense = [np.concatenate([b[k] for b in trees], 1) for k in (0, 1)]
    answers = [row[cell.target] for row in train]
    return Features(
        (x[0], x[1]),
        (dense[0], dense[1]),
        np.array(answers, float) if cell.numeric else np.array(answers),
        groups_of(run, train),
    )


def groups_of(run: Any, rows: Sequence[dict[str, str]]) -> list[str]:
    """The group of each row: its own where the schema has none."""
    column = next((c.name for c in run.data.schema.columns if c.role == "group"), "id")
    return [row[column] for row in rows]


def blocks(
    kind: str, name: str, run: Any, values: Sequence[list[str]], root: Path
) -> Iterator[tuple[tuple[Any, Any], tuple[Any, Any]]]:
    """The features of a column: for a linear model, and dense for trees."""
    used = {c for f in run.data.schema.fields for c in f.columns}
    if name not in used:
        return
    if kind == "text":
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
        try:
            train = vectors.fit_transform(values[0])
        except ValueError:  # no word stands in two rows
            return
        test = vectors.transform(values[1])
        yield (train, test), reduced(train, test)
    elif kind == "category":
        encoder = OneHotEncoder(handle_unknown="ignore", min_frequency=2)
        train = encoder.fit_transform([[v] for v in values[0]]).toarray()
        test = encoder.transform([[v] for v in values[1]]).toarray()
        yield (train, test), (train, test)
    elif kind == "number":
        columns = [np.array([[float(v) if v else np.nan] for v in some]) for some in values]
        imputer = SimpleImputer(add_indicator=True).fit(columns[0])
        scaler = StandardScaler().fit(imputer.transform(columns[0]))
        filled = [scaler.transform(imputer.transform(c)) for c in columns]
        yield (filled[0], filled[1]), (columns[0], columns[1])
    elif kind == "audio":
        sounds = [np.stack([heard_bands(v, root) for v in some]) for some in values]
        scaler = StandardScaler().fit(sounds[0])
        filled = [np.nan_to_num(scaler.transform(s)) for s in sounds]
        yield (filled[0], filled[1]), (sounds[0], sounds[1])
    elif kind == "series":
        parts = [np.stack([series_facts(v) for v in some]) for some in values]
        scaler = StandardScaler().fit(parts[0])
        filled = [np.nan_to_num(scaler.transform(s)) for s in parts]
        yield (filled[0], filled[1]), (parts[0], parts[1])


def tables(cell: Cell, run: Any) -> dict[str, list[dict[str, list[Any]]]]:
    """Tables of the training and of the held-out rows for others, {column: values}: texts and
    categories as they are, beside the features that trees have here (`few`), and beside these with
    whole image features (`wide`)."""
    images = image_features(cell, run)
    made = features(cell, run, images)
    used = {c for f in run.data.schema.fields for c in f.columns}
    columns = [c for c in run.data.schema.columns if c.name in used]
    words = [c.name for c in columns if c.kind not in ("number", "audio", "series", "image")]
    out: dict[str, list[dict[str, list[Any]]]] = {"few": [], "wide": []}
    for k, path in enumerate((cell.train, cell.test)):
        rows = table(path)
        own = {name: [row.get(name) or None for row in rows] for name in words}
        few = made.dense[k]
        for name, array in (
            ("few", few),
            ("wide", np.concatenate([few, *(i[k] for i in images)], 1)),
        ):
            numbers = {f"feature {j}": array[:, j].tolist() for j in range(array.shape[1])}
            out[name].append(own | numbers)
    return out


def columns(cell: Cell, run: Any) -> tuple[list[dict[str, list[Any]]], dict[str, str]]:
    """Tables of the training and of the held-out rows with their columns as they are, and the type
    of each by AutoGluon MultiModal's names. It reads no sound: log-mel bands stand for it."""
    used = {c for f in run.data.schema.fields for c in f.columns}
    tables: list[dict[str, list[Any]]] = [{}, {}]
    types: dict[str, str] = {}
    root = cell.train.parent
    for column in (c for c in run.data.schema.columns if c.name in used):
        for path, out in zip((cell.train, cell.test), tables, strict=True):
            values = [row.get(column.name) or None for row in table(path)]
            if column.kind == "audio":
                bands = np.stack([heard_bands(v or "", root) for v in values])
                made = {f"{column.name} {j}": bands[:, j].tolist() for j in range(bands.shape[1])}
            elif column.kind == "number":
                made = {column.name: [float(v) if v else None for v in values]}
            elif column.kind == "image":
                made = {column.name: [str((root / v).resolve()) if v else "" for v in values]}
            else:
                made = {column.name: values}
            out |= made
            types |= dict.fromkeys(made, TYPES.get(column.kind, "numerical"))
    return tables, types


def heard_bands(cell: str, root: Path) -> np.ndarray:
    """[2 BANDS]: mean and deviation of log-mel bands over time; nan for no sound."""
    if not cell:
        return np.full(2 * BANDS, np.nan)
    wave, _ = open_sound(cell, root, 30.0)
    bands, _ = heard(mel_power(wave, BANDS))
    return np.concatenate([bands.mean(0), bands.std(0)])


def series_facts(cell: str) -> np.ndarray:
    """[5 V]: last, mean, smallest, largest value and deviation of each variable; nan for none."""
    if not cell:
        return np.full(5, np.nan)
    x = np.atleast_2d(np.array(json.loads(cell), float).T)
    known = np.where(np.isnan(x), np.nanmean(x, 1, keepdims=True), x)
    return np.concatenate([known[:, -1], known.mean(1), known.min(1), known.max(1), known.std(1)])


def reduced(train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    """Few components, for trees."""
    count = min(COMPONENTS, train.shape[1] - 1, train.shape[0] - 1)
    if count < 1:
        return np.zeros((train.shape[0], 0)), np.zeros((test.shape[0], 0))
    svd = TruncatedSVD(count, random_state=0).fit(train)
    return svd.transform(train), svd.transform(test)


def chosen(numeric: bool, made: Features) -> tuple[Any, str]:
    """The model with the smallest cross-validated loss, and its name."""
    linear: list[Any] = [
        Ridge(d) if numeric else LogisticRegression(C=d, max_iter=300) for d in DECAYS
    ]
    boosted = HistGradientBoostingRegressor if numeric else HistGradientBoostingClassifier
    tree = boosted(max_iter=100, max_features=0.3, random_state=0)
    folds = GroupKFold(4) if numeric else StratifiedGroupKFold(4, shuffle=True, random_state=0)
    y = made.answers
    splits = list(folds.split(y, y, made.groups))
    losses = []
    for model in [*linear, tree]:
        x, loss = made.dense[0] if model is tree else made.linear[0], 0.0
        for train, test in splits:
            fit = clone(model).fit(x[train], y[train])
            if numeric:
                loss += float(((fit.predict(x[test]) - y[test]) ** 2).sum())
                continue
            place = {c: k for k, c in enumerate(fit.classes_)}
            p = fit.predict_proba(x[test])
            right = [p[k, place[c]] if c in place else 0 for k, c in enumerate(y[test])]
            loss -= float(np.log(np.clip(right, LEAST_PROBABILITY, 1)).sum())
        losses.append(loss)
    best = [*linear, tree][int(np.argmin(losses))]
    return clone(best), repr(best)
