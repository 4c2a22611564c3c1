"""The verb `generate`: images or volumes from a query, a label or a source, written to a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError, repeated
from gobelin.core.files import file_hash, fingerprint
from gobelin.core.machine import Progress
from gobelin.data.c2pa import Signer
from gobelin.data.fields import Field
from gobelin.data.files import BadCell, file_bytes
from gobelin.data.image_headers import opened
from gobelin.data.media import Medium
from gobelin.generation import sampling
from gobelin.generation.conditions import from_query
from gobelin.generation.generators import Condition, Controls
from gobelin.generation.image_rows import mask_image, source_image
from gobelin.generation.sampling import Generation
from gobelin.workbench.query import kind_of, label_index, query_cells
from gobelin.workbench.run import lineage
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.commands import fit_command
from gobelin.workbench.run.generator import Trained

VARIATION_STRENGTH = 0.6  # default strength for variations of a source image
SHOWN_LETTERS = 32  # of a condition, in the name of a file
FILES = ("image", "audio", "series")  # kinds whose cells may name a file
TOLD = ("label", "text", "strength", "nothing")  # of a condition, in a signed image
CHUNK = 1024  # images whose conditions are in memory at once


@dataclass(frozen=True)
class Start:
    """The source image of generated images, and the settings of sampling.

    Raises GobelinError for values out of range, and for a mask or strength without a source.
    """

    source: Path | None = None  # an image file
    mask: Path | None = None  # an image file, white where pixels are generated
    # 0 keeps the source, 1 starts from noise alone; None = 0.6 for variations, else 1
    strength: float | None = None
    guidance: float | None = None  # None = as in the run's settings
    steps: int = 0  # 0 = the generator's default

    def __post_init__(self) -> None:
        for name, value, most in (
            ("strength", self.strength, 1),
            ("guidance", self.guidance, 100),
            ("steps", self.steps, 10000),
        ):
            if value is not None and not 0 <= value <= most:
                raise GobelinError(f"--{name} {value}: from 0 to {most} was expected.")
        for name, given in (("mask", self.mask), ("strength", self.strength)):
            if given is not None and self.source is None:
                raise GobelinError(
                    f"--{name} {given}: needs an image to start from. Give --source FILE too."
                )

    def controls(self, generator: Generation) -> Controls:
        strength = self.strength
        if strength is None:
            varied = self.source and not self.mask and not generator.source
            strength = VARIATION_STRENGTH if varied else 1.0
        guidance = generator.guidance if self.guidance is None else self.guidance
        return Controls(guidance, strength, self.steps)

    def described(self, controls: Controls) -> dict[str, object]:
        """For the provenance of images: names of files, no paths."""
        if self.source is None:
            return {}
        mask = {"mask": self.mask.name} if self.mask else {}
        return {"source": self.source.name, **mask, "strength": controls.strength}


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


def condition_of(
    run: Run, trained: Trained, label: str | None, query: Mapping[str, str], start: Start, n: int
) -> Condition:
    """The condition of a query, a label and a source image, n times.

    It has the parts that the sampler accepts. Raises GobelinError for a query that the sampler
    can't use at all.
    """
    accepts, size = trained.sampler.accepts, trained.sampler.size
    prompt, rest = split_prompt(run, query) if "text" in accepts else (None, dict(query))
    if prompt is not None and "vectors" in accepts and any(map(_is_text, run.data.schema.fields)):
        rest = dict(query)  # the prompt is a vector of the condition too
    if rest and "text" in accepts and "vectors" not in accepts:
        raise GobelinError(
            f"generate: {trained.name} does not accept {next(iter(rest))!r}; it accepts"
            f" {', '.join(sorted(accepts))}. Leave it out or choose another generator."
        )
    space, model = run.space, run.predictor.model
    vectors = None
    if rest:
        cells = query_cells(run.data, rest)
        vectors = space.alignment.project(space.features.embedder.embed_cells(cells))
    target = None if label is None else label_index(model, label)
    source, mask = None, None
    if start.source is not None:
        source, whole = opened_source(run, start.source, size)
        mask = None if start.mask is None else mask_image(start.mask, size, whole)
    return from_query(
        vectors, target, space.empty(), model.kind, n, text=prompt, source=source, mask=mask
    )


def opened_source(
    run: Run, path: Path, size: tuple[int, ...]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """As `source_image`, opened as the rows of its column were."""
    column = run.settings.generator.source or run.generator.column
    opening = run.space.features.embedder.openings([column]).get(column)
    return source_image(path, size, run.generator.medium.kind, opening)


def split_prompt(run: Run, query: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """The texts of a query as one prompt (None without texts), and the rest of the query."""
    schema = run.data.schema
    names = {"text"}
    for field in schema.fields:
        if _is_text(field):
            names |= {field.name, *field.columns}
    texts = {key: text for key, text in query.items() if key in names}
    if empty := next((key for key, text in texts.items() if not text.strip()), None):
        raise GobelinError(f"--{empty}: is empty. Give a text.")
    return ", ".join(texts.values()) or None, {k: v for k, v in query.items() if k not in texts}


def _is_text(field: Field) -> bool:
    return field.kind == "text"


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
                progress("make images", done, len(seeds))
                yield block

    names = (f"{prefix}seed-{seed}" for seed in seeds)
    origins = ({**lineage, "seed": s} for s in seeds)
    return sampling.write(blocks(), names, origins, folder, marked, pictures, of_kind)
