"""The verb that makes: queries into conditions, images into a folder, and the contact sheet."""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gobelin import catalog, filling, generation, judge, matching, search
from gobelin.align import Shared
from gobelin.artefacts import Artefacts
from gobelin.data.fields import Cell, Field
from gobelin.data.images import png_bytes
from gobelin.encoders import Encoder
from gobelin.errors import GobelinError, nearest
from gobelin.evaluation import scored_rows
from gobelin.evidence import Finding
from gobelin.exhibits import Shelf
from gobelin.generators import Condition, Controls, Sampler
from gobelin.matching import Trained
from gobelin.provenance import save_png
from gobelin.schema import build_encoder
from gobelin.store import file_hash, fingerprint

SHOWN = 8  # images a condition on the contact sheet
READ = 40  # images a class that are read for label agreement
VARIED = 0.6  # strength of a variation that nobody named
CHUNK = 1024  # images whose conditions lie in memory at once


def image_field_or_none(made: Artefacts) -> str | None:
    try:
        return made.image_field
    except GobelinError:
        return None


def query_cells(made: Artefacts, query: Mapping[str, str]) -> dict[str, Cell]:
    """{field: cell} from {flag or column: text}. A flag means the first field whose encoder gives it that has the columns."""
    cells: dict[str, Cell] = {}
    for key, text in query.items():
        field, encoder, value = _asked(made, key, text)
        cells[field.name] = {**cells.get(field.name, {}), **encoder.parse(value, field)}
    if not cells:
        raise GobelinError("query: is empty. Give --text, --image, --row or --query COLUMN=VALUE.")
    return cells


def _asked(made: Artefacts, key: str, text: str) -> tuple[Field, Encoder, str]:
    fields = made.schema.fields
    column = next((f for f in fields if key in f.columns), None)
    if column is not None:
        encoder = build_encoder(column.encoder, made.settings.choices)
        return column, encoder, f"{key}={text}" if encoder.joined else text
    whole = next((f for f in fields if f.name == key), None)
    able = [whole] if whole else [f for f in fields if catalog.find("encoders", f.encoder).flag == key]
    if not able:
        known = {catalog.find("encoders", f.encoder).flag for f in fields} | {c for f in fields for c in f.columns}
        raise GobelinError(f"query: nothing in this run answers to {key!r}.{nearest(key, known)}")
    if len(able) > 1 and "=" in text:
        first = text.split("=")[0].strip()
        able = [f for f in able if first in f.columns] or able
    return able[0], build_encoder(able[0].encoder, made.settings.choices), text


def query(made: Artefacts, asked: Mapping[str, str]) -> Shared:
    """One row of the shared space."""
    return search.query_vector(made.reader, made.alignment, query_cells(made, asked))


def label_index(made: Artefacts, label: str) -> int | float:
    """The class index of a label, or the number that it spells."""
    model = made.model
    if model.kind == "number":
        try:
            number = float(label)
        except ValueError as error:
            raise GobelinError(f"--label {label!r}: {model.target} is a number, found a word. Give a number.") from error
        if not math.isfinite(number):
            raise GobelinError(f"--label {label!r}: {model.target} is a finite number. Give a number.")
        return number
    if model.kind == "labels":
        raise GobelinError(
            f"--label {label!r}: {model.target!r} has several labels a row, and generators are asked for one class. Ask with "
            "--text, --row or another field."
        )
    if label not in model.classes:
        raise GobelinError(f"--label {label!r}: no such class of {model.target!r}.{nearest(label, model.classes)}")
    return model.classes.index(label)


def fit_command(made: Artefacts, generator: bool = False) -> str:
    """The command that fits this run, ready for a shell."""
    data, name = made.settings.data, made.settings.generator.name
    folder = made.run.folder
    words = ["gobelin", "fit", data.path or "DATA", "--target", data.target or "COLUMN", "--run", str(folder)]
    words += ["--recipe", str(folder / "settings.json")]  # with the run's own settings
    return shlex.join([*words, *(["--generator", name] if generator else [])])


@dataclass(frozen=True)
class Start:
    """What images begin with, and how they are sampled. source, mask: image files. strength: 0 keeps the source, 1 starts from
    noise alone; None = 1 where a mask says what to keep or pairs were learned, else 0.6. guidance: None = the run's. steps:
    0 = the generator's own."""

    source: Path | None = None
    mask: Path | None = None
    strength: float | None = None
    guidance: float | None = None
    steps: int = 0

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
                raise GobelinError(f"--{name} {given}: says nothing without an image to start from. Give --source FILE too.")

    def controls(self, how: generation.Generation) -> Controls:
        strength = self.strength
        if strength is None:
            strength = VARIED if self.source and not self.mask and not how.source else 1.0
        return Controls(how.guidance if self.guidance is None else self.guidance, strength, self.steps)

    def said(self, controls: Controls) -> dict[str, object]:
        """For the provenance: names of files, no paths."""
        if self.source is None:
            return {}
        mask = {"mask": self.mask.name} if self.mask else {}
        return {"source": self.source.name, **mask, "strength": controls.strength}


def generate(
    made: Artefacts, seeds: Sequence[int], label: str | None, asked: Mapping[str, str], out: Path | None, start: Start
) -> list[Path]:
    """One PNG a seed, named by it, in `out` (or in the run's images folder)."""
    _ = made.image_field
    if not made.has_generator():
        raise GobelinError(
            f"{made.run.folder}: has no trained generator, and generate never trains. Run {fit_command(made, True)}."
        )
    if len(set(seeds)) != len(seeds):
        twice = next(s for s in seeds if list(seeds).count(s) > 1)
        raise GobelinError(f"--seeds: {twice} stands there twice; the same seed makes the same image. Give each once.")
    if not seeds:
        raise GobelinError("generate: no image was asked for (0). Give -n 16 or --seeds 0-15.")
    trained = sampler, name, _ = made.sampler(0)
    wanted = _wanted(made, sampler, name, label, asked, start, 1)
    controls = start.controls(made.settings.generator)
    files = [file_hash(f) for f in (start.source, start.mask) if f]
    more = [files, asdict(controls)] if start != Start() else []
    base = Path() if made.run.saved else made.run.folder  # what was saved stays as it is
    folder = out or base / "images" / "generate" / fingerprint(dict(asked), label, *more)[:8]
    described = {**asked, **({"label": label} if label is not None else {}), **start.said(controls)} or {"nothing": ""}
    return [folder / name for name in _write(made, trained, wanted, seeds, described, folder, controls)]


def _wanted(
    made: Artefacts, sampler: Sampler, name: str, label: str | None, asked: Mapping[str, str], start: Start, n: int
) -> Condition:
    """n times what was asked for, in the parts that the sampler accepts. What it can't use at all is an error."""
    prompt, query_left = _prompt(made, asked) if "text" in sampler.accepts else (None, dict(asked))
    if prompt is not None and "vectors" in sampler.accepts and _reads_text(made):
        query_left = dict(asked)  # as a vector too
    if query_left and "text" in sampler.accepts and "vectors" not in sampler.accepts:
        raise GobelinError(
            f"generate: {name} can't be asked by {next(iter(query_left))!r}; it accepts {', '.join(sorted(sampler.accepts))}. "
            "Leave it out or choose another generator."
        )
    shared = query(made, query_left) if query_left else None
    index = None if label is None else label_index(made, label)
    source, mask = None, None
    if start.source is not None:
        source, size = generation.source_image(start.source, sampler.size)
        mask = None if start.mask is None else generation.mask_image(start.mask, sampler.size, size)
    return generation.from_query(shared, index, _space(made), made.model.kind, n, text=prompt, source=source, mask=mask)


def _prompt(made: Artefacts, asked: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """The texts of a query as one prompt, and the rest of the query."""
    texts = {k: v for k, v in asked.items() if k == "text" or (k in made.schema.field_names and _is_text(made.schema.field(k)))
             or any(k in f.columns and _is_text(f) for f in made.schema.fields)}  # fmt: skip
    if empty := next((k for k, v in texts.items() if not v.strip()), None):
        raise GobelinError(f"--{empty}: is empty. Give a text.")
    return ", ".join(texts.values()) or None, {k: v for k, v in asked.items() if k not in texts}


def _is_text(field: Field) -> bool:
    return "text" in catalog.find("encoders", field.encoder).kinds


def _reads_text(made: Artefacts) -> bool:
    return any(_is_text(f) for f in made.schema.fields)


def _space(made: Artefacts) -> Shared:
    """An empty set of rows in this run's space, for its fields, width and fingerprint."""
    f = made.alignment.fields
    none = np.zeros((0, len(f), made.alignment.settings.width), np.float32)
    return Shared(f, none, np.zeros((0, len(f)), bool), (), made.alignment.fingerprint())


def _controls(made: Artefacts) -> Controls:
    return Controls(guidance=made.settings.generator.guidance)


def _write(
    made: Artefacts, trained: Trained, wanted: Condition, seeds: Sequence[int], described: Mapping[str, object], folder: Path,
    controls: Controls,
) -> list[str]:  # fmt: skip
    """An image a seed, all from the first row of `wanted`; made and written in chunks, however many they are."""
    sampler, name, space = trained
    said = {"generator": name, "weights": sampler.fingerprint()[:16], "condition": dict(described)}

    def blocks() -> Iterator[np.ndarray]:
        done = 0
        for first in range(0, len(seeds), CHUNK):
            some = seeds[first : first + CHUNK]
            for block in generation.sample(sampler, name, space, wanted.rows([0] * len(some)), some, controls):
                done += len(block)
                made.progress("make images", done, len(seeds))
                yield block

    names, lineage = (f"seed-{s}" for s in seeds), ({**said, "seed": s} for s in seeds)
    return generation.write(blocks(), names, lineage, folder)


def showcase(made: Artefacts, queries: Sequence[Mapping[str, str]], shelf: Shelf) -> list[Finding]:
    """The contact sheet, and how often the class asked for is read from the image alone. What the generator can't be asked
    is left out."""
    base = made.run.folder / "images" / "generate"
    shutil.rmtree(base, ignore_errors=True)
    seeds, space, groups = list(range(SHOWN)), _space(made), []
    trained = sampler, generator, _ = made.sampler(0)

    def add(name: str, label: str, wanted: Condition, described: Mapping[str, str], source: str | None = None) -> None:
        if not wanted.used() <= sampler.accepts:
            return
        names = _write(made, trained, wanted, seeds, described, base / name, _controls(made))
        group = {"label": label, "images": [f"images/generate/{name}/{n}" for n in names]}
        groups.append({**group, "source": source} if source else group)

    def beside(name: str, row: int, pixels: np.ndarray) -> str:
        save_png(made.run.folder / name, pixels, {"copy of row": made.ids([row])[0]}, trained=False)
        return name

    kind = made.model.kind
    for k, c in enumerate(made.model.exclusive):
        add(f"class-{k}", f"class: {c}", generation.from_query(None, k, space, kind, SHOWN), {"label": c})
    for k, asked in enumerate(queries):
        if {"text"} <= sampler.accepts and "vectors" not in sampler.accepts and _prompt(made, asked)[1]:
            continue
        said = ", ".join(f"{flag}: {text}" for flag, text in asked.items())
        add(f"query-{k}", said, _wanted(made, sampler, generator, None, asked, Start(), SHOWN), asked)
    field = made.image_field
    rows = made.rows.part("valid")
    for row in [int(r) for r in rows if made.shared.has(field)[r]][:: max(1, len(rows) // 3)][:3]:
        wanted = generation.condition(made.shared, None, np.array([row] * SHOWN), (field,))
        source = beside(f"images/generate/source-{row}.png", row, made.pictures(np.array([row]), 64).images[0])
        add(f"image-{row}", f"image: {made.ids([row])[0]} (unseen)", wanted, {"image": made.ids([row])[0]}, source)
    for row in _with_source(made)[:: max(1, len(rows) // 6)][:6]:
        pair = made.pictures(np.array([row]), made.settings.generator.size, frozenset({"source"})).condition.source
        assert pair is not None
        wanted = generation.from_query(None, None, space, kind, SHOWN, source=pair[0])
        source = beside(f"images/generate/start-{row}.png", row, pair[0])
        add(f"start-{row}", f"source: {made.ids([row])[0]} (unseen)", wanted, {"source": made.ids([row])[0]}, source)
    add("nothing", "nothing", generation.from_query(None, None, space, kind, SHOWN), {"nothing": ""})
    shelf.sheet("contact_sheet", "Made images, each row with what it was made from.", groups)
    found = _agreement(made, trained, space) if made.model.exclusive and "target" in sampler.accepts else []
    others = [k for k in range(1, made.settings.generator.seeds) if made.run.has(made.generator_folder(k))]
    found += matching.match(made, [trained, *(made.sampler(k) for k in others)])
    return found + filling.filled(made)


def _with_source(made: Artefacts) -> list[int]:
    """Validation rows that have an image and the image that it is made from."""
    source, field = made.settings.generator.source, made.image_field
    if not source:
        return []
    values = made.rows.dataset.values(source)
    return [int(r) for r in made.rows.part("valid") if values[int(r)] is not None and made.shared.has(field)[r]]


def _agreement(made: Artefacts, trained: Trained, space: Shared) -> list[Finding]:
    """Label agreement of made images by class and overall, with its ceiling from real validation images."""
    field, classes = made.image_field, made.model.classes
    if field not in made.predict_fields:
        return []
    asked = np.repeat(np.arange(len(classes)), READ)
    wanted = generation.from_query(None, 0, space, made.model.kind, len(asked))
    wanted = Condition(
        wanted.fields,
        wanted.vectors,
        wanted.present,
        generation.target_tensor(asked, "class"),
        fingerprint=wanted.fingerprint,
    )
    sampler, name, trained_in = trained
    seeds = [10_000 + k for k in range(len(asked))]
    blocks = generation.sample(sampler, name, trained_in, wanted, seeds, _controls(made), made.progress)
    read = _read(made, field, np.concatenate(list(blocks)))
    valid = scored_rows(made.rows.target, made.rows.labelled("valid"))
    valid = np.array([r for r in valid if made.shared.has(field)[r]])
    real = made.pictures(valid, made.settings.generator.size)
    right = _read(made, field, real.images) == made.rows.target.values[valid]
    ceilings = [float(right[made.rows.target.values[valid] == c].mean()) for c in np.unique(made.rows.target.values[valid])]
    units, chance = [str(s) for s in seeds], 1 / len(classes)
    found = [judge.agreement(read, asked, {}, chance, float(np.mean(ceilings)), units)]
    for k, c in enumerate(classes):
        own = asked == k
        found.append(
            judge.agreement(
                read[own], asked[own], {"class": c}, chance, None, [u for u, o in zip(units, own, strict=True) if o]
            )
        )
    return found


def _read(made: Artefacts, field: str, images: np.ndarray) -> np.ndarray:
    """The class that the predictor reads from images alone, int64 [n]."""
    values = [png_bytes(i) for i in images]
    column = made.schema.field(field).columns[0]
    x = made.reader.embed_column(field, column, values, Path())
    return made.model.predict(made.inputs(x).keep(made.predict_fields)).labels
