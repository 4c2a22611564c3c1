"""Explanations: how long a row takes, whether they describe the predictor, whether they find what
was planted.

python benchmarks/explain.py --run DIR [--rows 6]: each explainer on rows of a fitted run: processor
seconds a row, and what `explain --summary` says of it. Appends a line for each. Where DIR is not
there, the run is made: 240 drawn shapes of 128 pixels.
python benchmarks/explain.py --planted: rows in which a planted patch is found; appends a line.

Processor seconds are those of all threads together, so that other programs hardly change them.

What it can't show: seconds with other encoders or larger images. They are nearly all those of the
encoder, once for each mask or each text."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field, Target
from gobelin.data.image.images import png_bytes
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.prediction import predictor
from gobelin.prediction.attribution.parts import answers_of
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.explainers import Question

SIDE_OF_SHAPES = 128  # pixels
SIDE, PATCH = 32, 8  # pixels of the images and of the patch
TOP = 0.1  # share of the pixels in which the patch must lie
FOUND = 0.5  # of the patch's pixels that lie there


def patches(encoder: str, train: int, rows: int) -> np.ndarray:
    """float64 [rows]: how much of the planted patch lies in the top tenth of the pixels.

    The class is the colour of a patch, red or blue, anywhere in an image of smooth noise."""
    rng, n = np.random.default_rng(0), train + rows
    coarse = rng.uniform(60, 200, (n, SIDE // 4, SIDE // 4, 3))
    images = coarse.repeat(4, 1).repeat(4, 2)
    label, place = rng.integers(0, 2, n), rng.integers(0, SIDE - PATCH + 1, (n, 2))
    for k, (top, left) in enumerate(place):
        colour = (220, 30, 30) if label[k] else (30, 30, 220)
        images[k, top : top + PATCH, left : left + PATCH] = colour
    field, runtime = Field("photo", "image", ("photo",), "image"), Runtime(threads=1).resolved()
    cells = [{"photo": png_bytes(image.astype(np.uint8))} for image in images]
    known = TrainingCells(cells[:train])
    eyes = catalog.build("encoders", encoder).fit(known, field, {"photo": "image"}, runtime)
    features = eyes.embed([eyes.decode(cell, Path())[0] for cell in cells])
    ids = tuple(map(str, range(n)))
    x = Embeddings(("photo",), {"photo": features}, np.ones((n, 1), bool), ids, "planted")
    target = Target("colour", "class", label, ("blue", "red"), np.ones(2, bool))
    settings, weights = Predict(folds=2, decays=(1e-3,)), np.ones(n, np.float32)
    training = Training(settings, x, target, np.arange(train), list(ids), weights, runtime)
    model = predictor.fit("concat", catalog.build("fusion", "concat"), training)
    embedder = cast(Embedder, SimpleNamespace(encoders={"photo": eyes}, lexicons={}))
    explainer, out = catalog.build("explainers", "pixels"), []
    for k in range(train, n):
        question = Question(
            x.rows([k]),
            {"photo": cells[k]},
            x.fields,
            embedder,
            Path(),
            lambda rows: answers_of(model.predict(rows)),
            int(label[k]),
            None,
            {},
            0,
        )
        values = explainer.explain(explainer.parts(question, "photo"), 0).values
        values, (top, left) = values.reshape(SIDE, SIDE), place[k]
        best = values >= np.quantile(values, 1 - TOP)
        out.append(best[top : top + PATCH, left : left + PATCH].mean())
    return np.array(out)


def drawn_run(folder: Path) -> None:
    """A fitted run of 240 drawn shapes, with an image network and a predictor that gradients can
    follow."""
    from gobelin import Workbench
    from gobelin.data.samples.shapes import Shapes

    file = Shapes(rows=240, size=SIDE_OF_SHAPES).write(folder.with_name(f"{folder.name}-data"), 0)
    Workbench(file, "shape", folder, {"fusion": {"name": "concat"}}).fit()


def of_run(folder: Path, rows: int) -> list[dict[str, Any]]:
    """A line for each explainer, on rows of a fitted run."""
    from gobelin import Workbench
    from gobelin.workbench.explain.answers import FIELDS, answers_of_run, looking_into
    from gobelin.workbench.explain.asked import of_run as rows_of

    bench = Workbench.open(folder)
    summary = bench.explain(summary=True)
    answers = answers_of_run(bench.run)
    x = bench.run.features.embeddings
    complete = np.flatnonzero(x.present.all(1))[:rows]
    out = []
    jobs = [(FIELDS, "")] + [(e, f) for f in answers.fields for e in looking_into(answers, f)]
    for name, field in jobs:
        explainer, seconds = catalog.build("explainers", name), []
        for row in rows_of(bench.run, complete):
            question = answers.question(row, 0)
            start = time.process_time()
            parts = explainer.parts(question, field)
            if parts is not None:
                explainer.explain(parts, 0)
                seconds.append(time.process_time() - start)
        parts_name = f"{explainer.unit}s"
        scope = {**({"field": field} if field else {}), "parts": parts_name}
        told = {f.name: f for f in summary if f.scope == scope}
        faithful, stable = told.get("faithfulness"), told.get("stability")
        if faithful is None or not seconds:
            continue
        out.append(
            {
                "cell": f"{name} {field}".strip(),
                "explainer": name,
                "field": field,
                "rows_of_run": len(x),
                "processor_s": round(statistics.median(seconds), 3),
                "gain": [faithful.value, faithful.low, faithful.high],
                "n": faithful.n,
                "verdict": faithful.verdict,
                "stability": None if stable is None else stable.value,
            }
        )
    return out


def main() -> None:
    import record

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="A fitted run folder, or a new one.")
    parser.add_argument("--rows", type=int, default=6, help="Rows that are timed.")
    parser.add_argument("--planted", action="store_true", help="The planted patch.")
    asked = parser.parse_args()
    if asked.run:
        if not asked.run.exists():
            drawn_run(asked.run)
        for line in of_run(asked.run, asked.rows):
            record.append("explain", line)
    if asked.planted:
        for encoder in ("pixels", "convolution"):
            found = patches(encoder, 600, 60)
            line = {"rows": len(found), "found_share": float((found >= FOUND).mean())}
            record.append("explain", {"cell": f"patch {encoder}", "encoder": encoder, **line})


if __name__ == "__main__":
    main()
