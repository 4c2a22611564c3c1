"""The shared space on Tux Paint's stamps: search between every two fields, beside closed forms of
the pair alone.

python benchmarks/alignment.py [--keep DIR] [--without bridge|landmarks|power|spelling]

Eight folds split by concept (the English caption without case and punctuation, with all its
translations): every stamp is a query once, its pool holds each unseen concept of the fold once
(about 97). Fields: picture, English caption, French caption, the French one spoken, the sound
effect. Penalties and the weight of a bridge are chosen on training rows. The defaults of `Align`
were chosen on these very stamps, in other folds (docs/log.md), so the figures are a little
optimistic. The bridge uses ImageNet's class names; `--without bridge` leaves them out."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin import Workbench
from gobelin.core import catalog, config
from gobelin.core.machine import numpy_generator
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.alignment.align import Align, Alignment
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.features import Embeddings
from gobelin.embedding.search import recall_baselines
from gobelin.evidence import intervals

FOLDS, SEED = 8, 0
WITHOUT = {"landmarks": {"landmarks": 0}, "power": {"power": 1.0}}
SETTINGS = {
    "schema": {"name_de": "ignore", "name_es": "ignore", "name_ja": "ignore"},
    "fields": {"caption": ["name_en"], "french": ["name_fr"], "speech": ["speech_fr"]},
    "encoders": {
        "image": {"pixels": 288},
        "text": {
            "name": "texts",
            "of": ["text", "text_model", "characters"],
            "parts": {"characters": {"width": 256}},
        },
    },
}
OF = ("ours", *recall_baselines.METHODS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--keep", type=Path, help="Folder for the run; encoded cells are used again."
    )
    parser.add_argument("--without", choices=("bridge", "spelling", *WITHOUT))
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure((said.keep or Path(temporary)).resolve(), said.without or "")


def measure(folder: Path, without: str) -> None:
    source = catalog.build(
        "samples", "tuxpaint", {"size": 288, "languages": ["en", "de", "fr", "es", "ja"]}
    )
    data = folder / "data" / "records.csv"
    settings = config.merge(source.settings(), SETTINGS)
    settings["fields"] = SETTINGS["fields"]
    if without == "spelling":
        settings = config.merge(
            settings, {"encoders": {"text": {"of": ["text", "text_model"], "parts": {}}}}
        )
    bench = Workbench(
        data if data.is_file() else source.write(folder / "data", 0),
        source.target,
        folder,
        settings,
    )
    start = time.perf_counter()
    run = bench.run.begin()
    x, groups = run.features.embeddings, list(run.checked.rows.groups)
    runtime = run.data.runtime
    concepts = sorted(set(groups))
    order = numpy_generator(SEED, "concepts").permutation(len(concepts))
    place = {concepts[k]: at % FOLDS for at, k in enumerate(order)}
    fold = np.array([place[g] for g in groups])
    how = replace(Align(), **WITHOUT.get(without, {}))
    bridges = [] if without == "bridge" else kept_space.bridges_of(run.features.embedder)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    kept = []
    for f in range(FOLDS):
        train, fresh = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        names = [groups[k] for k in train]
        taught = x.rows(train)
        fitted = fit_alignment(how, taught, names, runtime, bridges=bridges)
        bridged = [(b.field, b.to, b.strength) for b in fitted.bridges]
        kept.append([fitted.trained_by, *bridged])
        rivals = recall_baselines.RecallBaselines(taught, names, SEED)
        sys.stderr.write(f"fold {f + 1} of {FOLDS}\n")
        for a, b in permutations(x.fields, 2):
            found.setdefault((a, b), []).append(one_fold(x, groups, fitted, rivals, fresh, a, b))
    rows = {f"{a} to {b}": joined(folds) for (a, b), folds in found.items()}
    record.append(
        "alignment",
        {
            "contender": f"tuxpaint{' without ' + without if without else ''}",
            "fields": list(x.fields),
            "concepts": len(concepts),
            "pairs": rows,
            "kept": kept,
            "seconds": round(time.perf_counter() - start),
        },
    )


def one_fold(
    x: Embeddings,
    groups: list[str],
    fitted: Alignment,
    rivals: recall_baselines.RecallBaselines,
    fresh: np.ndarray,
    a: str,
    b: str,
) -> dict[str, Any]:
    """Ranks of every query of a fold, by ours and by each closed form, in a pool of one row a
    concept."""
    there = fresh[x.present[fresh, x.fields.index(a)] & x.present[fresh, x.fields.index(b)]]
    units = [groups[k] for k in there]
    pool = np.array(
        sorted({g: k for k, g in reversed(list(zip(there, units, strict=True)))}.values())
    )
    right = np.array([[groups[k] for k in pool].index(g) for g in units])
    shared = fitted.project(x.rows(there))
    at = np.searchsorted(there, pool)
    answers = {"ours": (shared.of(a), shared.of(b)[at])}
    for name, mapped in rivals.fit(a, b).items():
        answers[name] = mapped(x.features[a][there], x.features[b][pool])
    ranks = {}
    for name, (queries, vectors) in answers.items():
        cosines = queries @ vectors.T
        ranks[name] = (cosines >= cosines[np.arange(len(there)), right][:, None]).sum(1)
    return {"units": units, "pool": len(pool), "ranks": ranks}


def joined(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures over all folds; units are concepts."""
    units = [u for one in folds for u in one["units"]]
    ranks = {name: np.concatenate([one["ranks"][name] for one in folds]) for name in OF}
    pool = float(np.mean([one["pool"] for one in folds]))

    def figure(interval: intervals.Interval) -> dict[str, float]:
        return {
            "value": float(interval.value),
            "low": float(interval.low),
            "high": float(interval.high),
        }

    out: dict[str, Any] = {
        "queries": len(units),
        "concepts": len(set(units)),
        "pool": round(pool, 1),
        "chance_at_1": 1 / pool,
    }
    for name, one in ranks.items():
        out[name] = {f"recall@{k}": figure(intervals.recall_at(one, k, units)) for k in (1, 5, 10)}
        out[name] |= {"median_rank": figure(intervals.median_rank(one, units))}
        out[name] |= {"mean_reciprocal_rank": figure(intervals.mean(1 / one, units))}
    for score, of in (
        ("recall@1", lambda r: (r == 1).astype(float)),
        ("mean_reciprocal_rank", lambda r: 1 / r),
    ):
        best = max(recall_baselines.METHODS, key=lambda name, of=of: float(of(ranks[name]).mean()))
        out[f"gain {score}"] = {
            "over": best,
            **figure(intervals.mean(of(ranks["ours"]) - of(ranks[best]), units)),
        }
    return out


if __name__ == "__main__":
    main()
