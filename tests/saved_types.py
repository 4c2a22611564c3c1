"""What scikit-learn's estimators are made of when they are saved: the second way to the list in
`src/gobelin/prediction/saved_types.txt`.

Every estimator that `estimators.build` makes is fitted, with its defaults and with every other
word, truth value or None that each of its settings takes, on two classes, on three, and on
numbers. `python tests/saved_types.py` writes the list again.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import skops.io
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils._param_validation import Options, StrOptions
from skops.io.exceptions import UnsupportedTypeException

from gobelin.core.errors import GobelinError
from gobelin.prediction import estimators

LIST = Path(estimators.__file__).with_name("saved_types.txt")
ROWS = np.random.default_rng(0).random((36, 3)).astype(np.float32)
ANSWERS = [
    (False, np.arange(36) % 2),
    (False, np.arange(36) % 3),
    (True, ROWS.sum(1).astype(np.float64)),
]
QUICK = {"n_estimators": 2, "max_iter": 20, "n_restarts_optimizer": 0, "cv": 2}


def kinds(path: Path) -> set[str]:
    """'Node module.Class' of every node in a saved file."""
    with zipfile.ZipFile(path) as archive:
        nodes, found = [json.loads(archive.read("schema.json"))], set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if "__loader__" in node:
                found.add(f"{node['__loader__']} {node['__module__']}.{node['__class__']}")
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return found


def made(name: str, numeric: bool, others: bool) -> Iterator[Any]:
    """Estimators of this name. others: with each other value of each setting too."""
    try:
        plain = estimators.build(name, numeric, {}, 0)
    except GobelinError:  # made of other estimators
        return
    plain.set_params(**{k: v for k, v in QUICK.items() if k in plain.get_params()})
    yield plain
    for setting, constraints in getattr(plain, "_parameter_constraints", {}).items():
        for constraint in constraints if others and isinstance(constraints, list) else ():
            words: set[Any] = set()
            if isinstance(constraint, StrOptions | Options):
                words = set(constraint.options)
            elif isinstance(constraint, str) and constraint == "boolean":
                words = {True, False}
            elif constraint is None:
                words = {None}
            for word in sorted(words, key=str):
                if setting in plain.get_params() and word != plain.get_params()[setting]:
                    yield clone(plain).set_params(**{setting: word})


def found(others: bool = True) -> set[str]:
    """The kinds of nodes of all estimators."""
    out: set[str] = set()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "panel.skops"
        for numeric, answers in ANSWERS:
            head = Ridge() if numeric else LogisticRegression()
            base = {"outputs": 1, "numeric": numeric, "resting": np.zeros(3)}
            for name in estimators.known(numeric):
                for estimator in made(name, numeric, others):
                    try:
                        estimator.fit(ROWS.copy(), answers.copy())  # some write into them
                    except (ValueError, TypeError, AttributeError, NotImplementedError):
                        continue  # it doesn't take these values together
                    state = {"members": {"field": estimator}, "head": head.fit(ROWS, answers)}
                    try:
                        skops.io.dump(base | state, path)
                    except (UnsupportedTypeException, TypeError):
                        continue  # it can't be saved
                    out |= kinds(path)
    return out


if __name__ == "__main__":
    LIST.write_text("\n".join(sorted(found())) + "\n", encoding="utf-8")
