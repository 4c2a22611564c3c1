"""AutoGluon Tabular on the tables of `peers.py`, run by the Python of its own environment.

python peer_autogluon.py FOLDER TARGET class|number SECONDS: FOLDER has few-train.parquet,
few-test.parquet and the same of `wide`, and gets answers.json: those of the table whose model has
the better score on AutoGluon's own validation rows. Each has half of SECONDS, which are of this
process's own processor time: AutoGluon's limits read `time.time`, which tells that time here, so
that other programs take nothing from it."""

import json
import sys
import time
from pathlib import Path

BEGUN = time.time()
time.time = lambda: BEGUN + time.process_time()  # before AutoGluon takes it

import pandas as pd  # noqa: E402
from autogluon.tabular import TabularPredictor  # noqa: E402
from peer_process import answered, spent  # noqa: E402

PARTS = ("train", "test")


def main() -> None:
    folder, target, kind, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    start, found = spent(), []
    for name in ("few", "wide"):
        train, test = (pd.read_parquet(folder / f"{name}-{part}.parquet") for part in PARTS)
        predictor = fitted(train, target, kind, seconds // 2, folder / name)
        score = float(predictor.leaderboard()["score_val"].max())  # above is better
        found.append((score, name, predictor.model_best, answered(predictor, test, kind)))
    best = max(found, key=lambda one: one[0])
    answers = best[3] | {"seconds": spent() - start, "note": f"{best[1]} {best[2]}"}
    (folder / "answers.json").write_text(json.dumps(answers))


def fitted(
    train: pd.DataFrame, target: str, kind: str, seconds: int, folder: Path
) -> TabularPredictor:
    """A predictor of the first preset that fits into so many seconds."""
    if kind == "number":
        train[target] = train[target].astype(float)
    predictor = TabularPredictor(
        target,
        problem_type="regression" if kind == "number" else None,
        eval_metric="rmse" if kind == "number" else "log_loss",
        path=str(folder),
        verbosity=1,
    )
    return predictor.fit(
        train, presets="medium_quality", time_limit=seconds, num_cpus=1, num_gpus=0
    )


if __name__ == "__main__":
    main()
