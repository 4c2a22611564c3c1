"""Faults that a ninth walk of a new user met."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from gobelin.sklearn import MultimodalClassifier


@pytest.mark.parametrize("word", ["None", "NA", "null"])
def test_a_class_that_pandas_read_as_missing_gets_a_remedy_that_works(word: str) -> None:
    text = "a,y\n" + "".join(f"{i},{word if i % 2 else 'Minor'}\n" for i in range(60))
    frame = pd.read_csv(io.StringIO(text))
    with pytest.raises(ValueError, match=r"30 of 60 labels.*keep_default_na=False"):
        MultimodalClassifier().fit(frame[["a"]], frame["y"])
    kept = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert set(kept["y"]) == {word, "Minor"}
