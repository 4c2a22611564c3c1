"""AutoGluon Tabular on the table of `peers.py`, run by the Python of its own environment.

python peer_autogluon.py FOLDER TARGET class|number SECONDS: FOLDER has train.parquet and
test.parquet, and gets answers.json. SECONDS are of this process's own processor time: its limits
read `time.time`, which tells that time here, so that other programs take nothing from it."""

import json
import resource
import sys
import time
from pathlib import Path

BEGUN = time.time()
time.time = lambda: BEGUN + time.process_time()  # before AutoGluon takes it

import pandas as pd  # noqa: E402
from autogluon.tabular import TabularPredictor  # noqa: E402


def main() -> None:
    folder, target, kind, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    train, test = (pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test"))
    if kind == "number":
        train[target] = train[target].astype(float)
    start = spent()
    predictor = TabularPredictor(
        target,
        problem_type="regression" if kind == "number" else None,
        eval_metric="rmse" if kind == "number" else "log_loss",
        path=str(folder / "models"),
        verbosity=1,
    )
    predictor.fit(train, presets="medium_quality", time_limit=seconds, num_cpus=1, num_gpus=0)
    if kind == "number":
        classes, values = [], predictor.predict(test).tolist()
    else:
        table = predictor.predict_proba(test)
        classes, values = [str(c) for c in table.columns], table.to_numpy().tolist()
    answers = {"classes": classes, "values": values, "seconds": spent() - start}
    answers["note"] = predictor.model_best
    (folder / "answers.json").write_text(json.dumps(answers))


def spent() -> float:
    """Processor time of this process and its children, in seconds."""
    both = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in both)


if __name__ == "__main__":
    main()
