"""The whole main job on a sample set, through the same verbs as everybody's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gobelin.core import catalog, config
from gobelin.core.machine import Progress
from gobelin.core.stages import RunFolder
from gobelin.evidence.findings import Finding
from gobelin.workbench.bench import Workbench
from gobelin.workbench.generate import images
from gobelin.workbench.run.settings import Settings

QUICK_RATIOS = (
    0.25,
    1.0,
)  # the largest decides how many images are made, encoded and screened, and so the demo's minutes


def run(
    folder: Path,
    sample: str,
    over: Mapping[str, Any],
    progress: Progress,
    say: Callable[[str], None],
) -> list[Finding]:
    """Run every verb; `say` gets a line for each step. Returns the verdicts."""
    start = time.monotonic()
    source = catalog.build("samples", sample)
    store = RunFolder(folder)
    store.clean()
    quick = {"data": {"cited": source.credit}, "augment": {"ratio": QUICK_RATIOS}}
    settings = config.merge(
        config.merge(config.merge(quick, source.settings()), {"data": quick["data"]}), over
    )
    seed = config.build(
        Settings, settings
    ).runtime.seed  # a mistake in them is found before anything is written
    data = source.write(folder / "data", seed)
    bench = Workbench(data, source.target, folder, settings, progress)

    def step(name: str, work: Callable[[], object]) -> None:
        say(f"{time.monotonic() - start:5.0f} s  {name}")
        work()

    step("check: what is in the data, and what is wrong with it", bench.check)
    step("fit: encoders, one shared space, a calibrated predictor", bench.fit)
    step("evaluate: on validation rows, by class, for every subset of fields", bench.evaluate)
    step("search: recall for every ordered pair of fields", bench.recall)
    for query in source.queries():
        hits = bench.search(5, **query)
        say(f"         {query}: {', '.join(h.id for h in hits)}")
    pictures = images.image_field_or_none(bench.made) is not None
    if pictures:
        step("fit --generator: train it on the training rows", lambda: bench.fit(generator=True))
        step(
            "generate: from classes, texts, images, a table row, nothing",
            lambda: bench.showcase(source.queries()),
        )
        step("augment: did made images help?", bench.augment)
        step("audit: are they copies?", bench.audit)
    step("report", bench.report)
    say(f"\n{bench.findings('evaluate')[0].sentence()}")
    verdicts = [f for f in bench.findings("augment") if f.name == "verdict"]
    for one in verdicts:
        say(f"\n{one.scope['arm']} against {one.comparator}: {one.verdict}\n  {one.note}")
    for line in bench.conclusions():
        say(f"\n{line}")
    say(f"\nReport: {folder / 'report.html'}   ({time.monotonic() - start:.0f} s)")
    say(
        f"Next: gobelin generate {folder} --text 'a blue bird' --out made"
        if pictures
        else f"Next: gobelin show {folder}"
    )
    return verdicts
