"""The quick preset of the end-to-end tests: the whole main job on drawn shapes, with everything
that is measured fixed.

Forty steps make no image that a reader would agree with: screening by label and fields has tests of
its own."""

from __future__ import annotations

import processor

SETS = [
    *processor.OPTIONS,
    "generator.steps=40",
    "generator.size=16",
    "generator.settings.width=8",
    "generator.settings.batch=16",
    "augment.seeds=3",
    "augment.tuning_seeds=1",
    "augment.ratio=0.5",
    "augment.agree=false",
    "augment.match=false",
    "judge.planted=42",
    "fusion.settings.steps=240",
    "fusion.settings.components=48",
    "align.steps=40",
]

# the smallest chain that trains every part of a run with images and texts
SMALL = [
    *processor.OPTIONS,
    "encoders.image.name=pixels",
    "encoders.text.name=characters",
    "align.width=16",
    "align.steps=20",
    "fusion.settings.steps=30",
    "predict.folds=2",
    "predict.decays=0.01",
    "generator.size=16",
]


def as_options(sets: list[str] = SETS) -> list[str]:
    """--set A=B --set C=D ..."""
    return [word for one in sets for word in ("--set", one)]
