"""What the scripts of AutoGluon share. Gobelin is not imported: their environments lack it."""

import resource
from typing import Any

import pandas as pd


def answered(predictor: Any, test: pd.DataFrame, kind: str) -> dict[str, object]:  # noqa: ANN401
    """Classes, and probabilities or numbers of the rows."""
    if kind == "number":
        return {"classes": [], "values": predictor.predict(test).tolist()}
    table = predictor.predict_proba(test, as_pandas=True)
    return {"classes": [str(c) for c in table.columns], "values": table.to_numpy().tolist()}


def spent() -> float:
    """Processor time of this process and its children, in seconds."""
    both = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in both)
