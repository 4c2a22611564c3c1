"""The verb `generate`: images or volumes from a query, a label or a source, written to a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError, repeated
from gobelin.core.files import file_hash, fingerprint
from gobelin.core.machine import Progress
from gobelin.data.files import BadCell, file_bytes
from gobelin.data.image.headers import opened
from gobelin.data.media import Medium
from gobelin.data.provenance.c2pa import Signer
from gobelin.generation import sampling
from gobelin.generation.generators import Condition, Controls
from gobelin.workbench.generate.request import Start, condition_of
from gobelin.workbench.query import kind_of
from gobelin.workbench.run import lineage
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.commands import fit_command
from gobelin.workbench.run.generator import Trained

SHOWN_LETTERS = 32  # of a condition, in the name of a file
FILES = ("image", "audio", "series")  # kinds whose cells may name a file
TOLD = ("label", "text", "strength", "nothing")  # of a condition, in a signed image
CHUNK = 1024  # images whose conditions are in memory at once


def generate(
    run: Run,
    seeds: Sequence[int],
    label: str | None,
    query: Mapping[str, str],
    out: Path | None,
    start: Start,
    signer: Signer | None = None,
) -> list[Path]:
    """Write a file for each seed: a PNG, or a volume in NIfTI. out: folder; None = in the run
    folder. signer: signs them; of the condition they then tell the class and the text alone, as the
    rest may be somebody's data.

    A name has the condition in a few words, a hash of everything but the seed that the image
    follows from, and the seed: an image of another condition never takes its place.
    """
    trained = trained_generator(run, "generate")
    if (twice := repeated(seeds)) is not None:
        raise GobelinError(
            f"--seeds: {twice} appears twice; the same seed makes the same image. Give each once."
        )
    if not seeds:
        raise GobelinError("generate: found 0 images to generate. Give -n 16 or --seeds 0-15.")
    if min(seeds) < 0:
        raise GobelinError(f"--seeds: {min(seeds)} is below 0. Give whole numbers from 0 up.")
    condition = condition_of(run, trained, label, query, start, 1)
    controls = start.controls(run.settings.generator)
    files = [file_hash(f) for f in (start.source, start.mask) if f]
    files += filter(None, map(_file_hash, _of_kinds(run, query, FILES)))
    named = {"label": label} if label is not None else {}
    described = {**query, **named, **start.described(controls)} or {"nothing": ""}
    weights = trained.sampler.fingerprint()
    asked = (dict(query), label, files, asdict(controls))
    key = fingerprint(trained.name, weights, *asked)[:8]
    told = query.values() if signer is None else [query.get("text", "")]  # in the files' names
    shown = "-".join(filter(None, [_words(label or next(iter(told), "")), key]))
    base = Path() if run.folder.saved else run.folder.folder  # a saved run stays as it is
    folder = out or base / "images" / "generate"
    marked = partial(run.generator.medium.marked, extent=run.generator.extent)
    if signer is not None:
        if (medium := run.generator.medium).kind != "image":
            raise GobelinError(
                f"--sign: signs PNG images, the run makes {medium.plural}. Leave it out; each file"
                " bears the mark of generated data."
            )
        marked = partial(signer.png, sources=_inputs(run, start, query))
        described = {k: v if k in TOLD else "given" for k, v in described.items()}
    names = write_images(
        trained,
        condition,
        seeds,
        described,
        folder,
        controls,
        run.data.progress,
        f"{shown}-",
        marked,
        of_kind=run.generator.medium,
    )
    paths = [folder / name for name in names]
    about = lineage.about(trained.name, 0, run.generator.stage(0))
    made = lineage.one_name("generate", folder, f"{shown}-seed-", seeds)
    lineage.record_images(run.folder, weights[:16], about, [made])
    if start.source is None:
        from gobelin.workbench.generate import likeness

        likeness.tell_of_files(run, condition, paths, f"for {label!r}" if label else "")
    return paths


def trained_generator(run: Run, verb: str) -> Trained:
    """The generator of a run. Raises GobelinError where it has none that is trained."""
    if run.folder.saved and not run.generator.trained:
        raise GobelinError(
            f"{run.folder.folder}: was saved without a generator. Use a run that has one."
        )
    _ = run.generator.field  # refuses a run without images
    if not run.generator.trained:
        raise GobelinError(
            f"{run.folder.folder}: has no trained generator, and {verb} never trains. Run"
            f" {fit_command(run, True)}."
        )
    if run.generator.outdated():
        raise GobelinError(
            f"{run.folder.folder}: its generator was trained with other data or settings than the"
            f" run has by now, and {verb} never trains. Run {fit_command(run, True)}."
        )
    return run.generator.sampler(0)


def _of_kinds(run: Run, query: Mapping[str, str], kinds: Sequence[str]) -> list[str]:
    """The parts of a query that are cells of these kinds. A text or a category is none of a file,
    even where a file has its name."""
    return [text for key, text in query.items() if kind_of(run.data, key, text) in kinds]


def _inputs(run: Run, start: Start, query: Mapping[str, str]) -> list[bytes]:
    """The image files that images are made from: the source, and those of the query."""
    found = []
    for place in (*filter(None, [start.source]), *map(Path, _of_kinds(run, query, FILES[:1]))):
        try:
            data = file_bytes(place)
            with opened(data):
                found.append(data)
        except (BadCell, OSError, ValueError):  # no image file
            continue
    return found


def _file_hash(text: str) -> str:
    """The hash of the file that a part of a query names; '' for other parts."""
    try:
        return file_hash(Path(text)) if Path(text).is_file() else ""
    except (OSError, ValueError):  # a text that no file can be called
        return ""


def _words(text: str) -> str:
    """The words of a text as the beginning of a file's name."""
    return "-".join(re.findall(r"\w+", text.lower()))[:SHOWN_LETTERS].rstrip("-")


def write_images(
    trained: Trained,
    condition: Condition,
    seeds: Sequence[int],
    described: Mapping[str, object],
    folder: Path,
    controls: Controls,
    progress: Progress,
    prefix: str = "",
    marked: Callable[[np.ndarray, Mapping[str, Any]], bytes] | None = None,
    pictures: bool = False,
    of_kind: Medium | None = None,
) -> list[str]:
    """Write an image for each seed, all from the first row of `condition`; the file names, which
    are `prefix` and the seed. marked: the bytes of a file, from its pixels and its lineage; None =
    as its medium has it. pictures: whether a volume also gets its picture beside it. of_kind:
    the medium; None = by the shape of the arrays.

    They are sampled and written in chunks, so that memory does not grow with their number.
    """
    lineage = {
        "generator": trained.name,
        "weights": trained.sampler.fingerprint()[:16],
        "condition": dict(described),
        **trained.promised,
    }

    def blocks() -> Iterator[np.ndarray]:
        done = 0
        for first in range(0, len(seeds), CHUNK):
            chunk = seeds[first : first + CHUNK]
            repeated = condition.rows([0] * len(chunk))
            for block in trained.sample(repeated, chunk, controls):
                done += len(block)
                progress("generate", done, len(seeds))
                yield block

    names = (f"{prefix}seed-{seed}" for seed in seeds)
    origins = ({**lineage, "seed": s} for s in seeds)
    return sampling.write(blocks(), names, origins, folder, marked, pictures, of_kind)
