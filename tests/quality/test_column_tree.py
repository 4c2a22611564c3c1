"""Trees of one column, and folds, against scikit-learn: every answer; ranks against scipy."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from gobelin.quality.column_tree import answers, stratified_folds
from gobelin.quality.giveaways import _ranks


def test_folds_and_answers_are_those_of_scikit_learn() -> None:
    """Of numbers and categories, with and without ties and missing cells. Where two splits are as
    good, scikit-learn draws one, and there is no answer here: a few of these columns."""
    random, undecided, count = np.random.default_rng(0), 0, 0
    for trial in range(60):
        size, classes = int(random.integers(20, 300)), int(random.integers(2, 5))
        label = random.integers(0, classes, size)
        values = label * random.uniform(0, 3) + random.normal(size=size)
        if trial % 2:
            values = random.integers(0, random.integers(2, 30), size) + label % 2
        missing = random.random(size) < random.choice([0, 0, 0.1, 0.4])
        place = np.unique(np.where(missing, 0, values), return_inverse=True)[1]
        with warnings.catch_warnings(action="ignore"):
            expected_folds = list(StratifiedKFold(3).split(label, label))
        for (train, held), expected in zip(stratified_folds(label, 3), expected_folds, strict=True):
            assert np.array_equal(train, expected[0]) and np.array_equal(held, expected[1])
            x = np.stack([place, missing], 1).astype(np.float32)
            tree = DecisionTreeClassifier(min_samples_leaf=2, random_state=0)
            tree.fit(x[train], label[train])
            found = answers(place, missing, label, train, held)
            count, undecided = count + 1, undecided + (found is None)
            assert found is None or np.array_equal(found, tree.predict(x[held]))
    assert undecided < count / 5


def test_ranks() -> None:
    x = np.random.default_rng(0).integers(0, 9, 40).astype(float)
    assert np.array_equal(_ranks(x), rankdata(x))
