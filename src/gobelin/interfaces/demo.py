"""All main verbs on a sample set."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gobelin.core import catalog, config
from gobelin.core.errors import MissingExtra
from gobelin.core.machine import Progress
from gobelin.core.shell import shell_line
from gobelin.core.stages import RunFolder
from gobelin.data.provenance.c2pa import Signer
from gobelin.evidence.findings import Finding
from gobelin.workbench.bench import Workbench
from gobelin.workbench.run.settings import Settings

# The largest decides the number of generated images, and so the time that the demo takes.
QUICK_RATIOS = (0.25, 1.0)


def run(
    folder: Path,
    sample: str,
    over: Mapping[str, Any],
    progress: Progress,
    say: Callable[[str], None],
) -> list[Finding]:
    """Run every main verb on a sample set. `say` gets a line for each step. Returns the verdicts.

    over: settings that replace those of the sample set.
    """
    start = time.monotonic()
    source = catalog.build("samples", sample)
    store = RunFolder(folder)
    store.clean()
    quick = {"data": {"cited": source.credit}, "augment": {"ratio": QUICK_RATIOS}}
    settings = config.merge(config.merge(quick, source.settings()), {"data": quick["data"]})
    settings = config.merge(config.limited(settings, over), over)
    # Wrong settings are refused here, before anything is written.
    seed = config.build(Settings, settings).runtime.seed
    data = source.write(folder / "data", seed)
    bench = Workbench(data, source.target, folder, settings, progress)

    def step(name: str, work: Callable[[], object]) -> None:
        say(f"{time.monotonic() - start:5.0f} s  {name}")
        work()

    step("check: the columns of the data, and the problems in it", bench.check)
    step("fit: encoders and a calibrated predictor", bench.fit)
    step("evaluate: all fields, each alone, what is mistaken for what", bench.evaluate)
    step("search: recall for every ordered pair of fields", bench.recall)
    for query in source.queries():
        hits = bench.search(5, **query)
        say(f"         {query}: {', '.join(h.id for h in hits)}")
    step("explain: which fields, words and pixels decide", lambda: bench.explain(summary=True))
    # of a sample set whose images nobody needs more of, none are generated
    generates = getattr(source, "generates", True)
    pictures = generates and bench.run.generator.field_or_none is not None
    if pictures:
        step("fit --generator: train it on the training rows", lambda: bench.fit(generator=True))
        step(
            "generate: from classes, texts, images, a table row, nothing",
            lambda: bench.showcase(source.queries()),
        )
        if source.queries() and bench.run.generator.field in bench.run.predictor.fields:
            step(
                "explain --generated: which pixels of generated images decide",
                lambda: bench.explain(generated=True, **source.queries()[0]),
            )
        if unstudied := getattr(source, "unstudied", ""):
            say(f"         no study of whether they help: {unstudied}")
        else:
            step("augment: do generated images help?", bench.augment)
        step("audit: are generated images copies, and can anybody be found?", bench.audit)
        step("generate --sign, verify: where images come from", lambda: _signed(bench, say))
    if not generates:
        say("         no images are generated: this sample set needs none")
    step("report", bench.report)
    say(f"\n{bench.findings('evaluate')[0].sentence()}")
    for finding in bench.findings("evaluate"):
        if finding.name.startswith("net_return"):
            say(finding.sentence())
    verdicts = [f for f in bench.findings("augment") if f.name == "verdict"]
    for verdict in verdicts:
        against = f"{verdict.scope['arm']} against {verdict.comparator}"
        say(f"\n{against}: {verdict.verdict}\n  {verdict.note}")
    for line in bench.conclusions():
        say(f"\n{line}")
    say(f"\nReport: {folder / 'report.html'}   ({time.monotonic() - start:.0f} s)")
    say(f"Next: {following(folder, source.queries()[:1] if pictures else None)}")
    return verdicts


def following(folder: Path, queries: Sequence[Mapping[str, str]] | None) -> str:
    """The command to try after the demo: images from the sample set's own query; `show` where no
    images are generated (None)."""
    words = ["gobelin", "show" if queries is None else "generate", str(folder)]
    for flag, value in (pair for query in queries or () for pair in query.items()):
        known = flag in ("text", "row")  # else the name of a column
        words += [f"--{flag}", value] if known else ["--query", f"{flag}={value}"]
    return shell_line(words if queries is None else [*words, "--out", "made"])


def _signed(bench: Workbench, say: Callable[[str], None]) -> None:
    """Generate signed images and say what a reader of them can verify. Without the extra for
    signatures, say how to get it."""
    from gobelin.workbench.keys import new_keys
    from gobelin.workbench.verify import verify

    folder = bench.folder / "signed"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier demo in this folder
    try:
        files = new_keys(folder / "keys")
        signer = Signer(files["key"], files["chain"])
        bench.generate(range(4), out=folder / "images", signer=signer)
        found = verify(folder / "images", files["authority"])
    except MissingExtra as error:
        say(f"         {error}")
        return
    for verdict in dict.fromkeys(f.verdict for f in found):
        count = sum(f.verdict == verdict for f in found)
        say(f"         {count} of {len(found)} images: {verdict}")
