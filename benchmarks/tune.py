"""Does training the image encoder on help? Fashion-MNIST, a few rows: untouched, low-rank changes,
every weight.

    python benchmarks/tune.py --encoder convolution --minutes 0.5

The training rows, and they alone, are given to `tuned`; the linear fusion is then fitted on the
features of every kind of encoder, and all are scored on the same rows, seen by none of them. `kept`
says what the rows held back decided; the score is that of the tuned encoder all the same, so that a
wrong decision shows."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from fashion import CLASSES, load
from record import append

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field, Schema, Target
from gobelin.data.image.images import png_bytes
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.prediction import fusion_choice, predictor
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.tuning import decision
from gobelin.prediction.tuning.tuner import Tune, TuningData


def rows_of(part: str, count: int, seed: int) -> tuple[list[bytes], np.ndarray]:
    images, labels = load(part)
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    return [png_bytes(np.repeat(images[k], 3, 2)) for k in chosen], labels[chosen]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoder", default="convolution")
    parser.add_argument("--pixels", type=int, default=32)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--unseen", type=int, default=1500)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    runtime = Runtime(seed=asked.seed).resolved()
    (cells, labels), (more, others) = (
        rows_of("train", asked.rows, asked.seed),
        rows_of("t10k", asked.unseen, asked.seed),
    )
    dataset = Dataset(pa.table({"image": cells + more}), Path()).with_ids()
    every = np.ones(len(CLASSES), bool)
    target = Target("kind", "class", np.concatenate([labels, others]), CLASSES, scored=every)
    train, unseen = np.arange(asked.rows), np.arange(asked.rows, len(dataset))
    field = Field("image", asked.encoder, ("image",), "image")
    schema = Schema((Column("image", "image"),), (field,))
    component = catalog.build("encoders", asked.encoder, {"pixels": asked.pixels})
    encoder = component.fit(dataset.rows(train).cells(field), field, {"image": "image"}, runtime)
    reader = Embedder(schema, {"image": encoder})
    plain, groups, fusion = (
        reader.embed(dataset),
        tuple(map(str, range(len(dataset)))),
        catalog.build("fusion", "concat"),
    )

    def training(
        features: Embeddings, rows: np.ndarray, unseen: np.ndarray | None = None
    ) -> Training:
        weights = np.ones(len(features), np.float32)
        return Training(
            Predict(), features, target.rows(rows), train, groups, weights, runtime, unseen=unseen
        )

    def hits(features: Embeddings, judging: np.ndarray | None = None) -> np.ndarray:
        """float64 [unseen]: 1 where the fusion of the training rows reads a row right."""
        model = predictor.fit(
            "concat", fusion, training(features, np.arange(len(dataset)), judging)
        )
        return (model.predict(features.rows(unseen)).class_indices == others).astype(float)

    before, units = hits(plain), [groups[r] for r in unseen]
    material = TuningData(reader, dataset.rows(train), training(plain.rows(train), train))
    for how in ("frozen", "lora", "full"):
        after, said, start = before, {}, time.perf_counter()
        if how != "frozen":
            asked_for = Tune(("image",), how, minutes=asked.minutes)
            found, kept, findings = decision.trained(asked_for, material, None)
            said = {"kept": kept, "note": findings[1].note}
            changed = replace(reader, encoders=dict(found)).embed(dataset)
            features = replace(plain, features=changed.features)
            after = hits(features, train[decision.held_back(asked_for, material.training)])
        own = fusion_choice.score_interval(after, target, unseen, units)
        gain = fusion_choice.paired(before, after, target, unseen, units)
        append(
            "tune",
            {
                "name": f"{asked.encoder} {how}",
                "rows": asked.rows,
                "unseen_rows": asked.unseen,
                "seed": asked.seed,
                "balanced_accuracy": round(own.value, 4),
                "low": round(own.low, 4),
                "high": round(own.high, 4),
                "gain": round(gain.value, 4),
                "gain_low": round(gain.low, 4),
                "gain_high": round(gain.high, 4),
                **said,
                "minutes_asked": asked.minutes,
                "seconds": round(time.perf_counter() - start, 1),
                "threads": runtime.threads,
                "precision": runtime.precision,
            },
        )


if __name__ == "__main__":
    main()
