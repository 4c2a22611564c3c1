"""The model card of a saved run: what it was fitted on, how, what was measured of it and what was
not, how to use it.

Every number is printed as its `Finding` holds it; a verb that wasn't run is "not measured". Words
that come from the data are escaped.

What this cannot show: whether the numbers hold for other data than the rows that they were measured
on, nor whether somebody has edited the card since."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from gobelin.core import catalog
from gobelin.evidence.findings import Finding
from gobelin.generation.generators import Sampler
from gobelin.report.drawing import NUMERIC_COLUMNS, PrintedTable
from gobelin.report.page import markdown_text, tables
from gobelin.workbench.run.chain import Run

QUALITY = {
    "evaluate": "Predictions, on validation rows",
    "generate": "Made images",
    "augment": "Did made images help?",
    "audit": "Audit: are made images copies?",
}
STILL_TELLS = (
    "the names of columns and classes, the categories of table columns and the quantiles of numbers"
    " and dates (smallest and largest value included), counts, a hash of the whole data set, and"
    " whatever the weights have memorised"
)


KINDS = {
    "class": "a class",
    "ordinal": "ordered levels",
    "number": "a number",
    "labels": "labels, any number of them",
}
ASKED = {
    "vectors": "any of its fields",
    "text": "a text",
    "source": "an image to start from",
    "mask": "a mask",
}


def render(
    run: Run, name: str, findings: Sequence[Finding], sampler: Sampler | None, index: bool
) -> str:
    """README.md of the saved run called `name`. sampler: its generator, if it has one. index:
    whether the rows' shared vectors are in it."""
    generator = run.settings.generator.name if sampler else ""
    parts = [
        _front(run, generator),
        f"# {markdown_text(name)}",
        _what(run, sampler),
        *_use(run, sampler, index),
    ]
    parts += [
        "## Data",
        *_data(run, findings, index),
        "## Settings",
        *_settings(run, generator),
        "## Quality",
    ]
    for verb, title in QUALITY.items():
        found = [one for one in findings if one.source == verb]
        if verb == "augment":
            found = [
                one for one in found if not {"class", "fields"} & set(one.scope)
            ]  # exploratory
        if generator or verb == "evaluate":
            parts += [
                f"### {title}",
                *(_printed(tables(found)) if found else [f"Not measured: `{verb}` was not run."]),
            ]
        if verb == "audit" and generator:
            parts += [f"- {markdown_text(note)}" for note in getattr(sampler, "notes", ())]
            parts += (
                []
                if found
                else ["Nobody has looked whether this generator copies its training images."]
            )
    parts += ["All that was found, by class and by fields too, is in `findings.jsonl`."]
    return "\n\n".join([*parts, "## Limits", *_limits(run, generator)]) + "\n"


def licence(cited: str) -> str:
    """The licence that a credit line names, as the hub writes it; 'unknown' where it names none,
    several, or another."""
    named = re.findall(r"\bCC[ -](BY(?:-(?:NC|SA|ND)){0,2})[ -](\d\.\d)", cited)
    found = {f"cc-{kind}-{version}".lower() for kind, version in named}
    found |= {"cc0-1.0"} if re.search(r"\bCC0\b", cited) else set()
    return found.pop() if len(found) == 1 else "unknown"


def _front(run: Run, generator: str) -> str:
    tags = ["gobelin", "multimodal", *(["image-generation"] if generator else [])]
    lines = [
        f"license: {licence(run.settings.data.cited)}",
        "library_name: gobelin",
        f"tags: {json.dumps(tags)}",
    ]
    return "\n".join(["---", *lines, "---"])


def _what(run: Run, sampler: Sampler | None) -> str:
    fields = ", ".join(markdown_text(one) for one in run.predictor.fields)
    text = (
        "A Gobelin run without its data. It predicts"
        f" {markdown_text(run.predictor.model.target)} from any of: {fields}."
    )
    if sampler:
        height, width, _ = sampler.size
        asked = [words for part, words in ASKED.items() if part in sampler.accepts]
        asked += (
            [KINDS[run.predictor.model.kind]]
            if "target" in sampler.accepts and run.predictor.model.kind != "labels"
            else []
        )
        text += (
            f" It makes images ({markdown_text(run.generator.field)}, {width} x {height} pixels)"
            f" with `{run.settings.generator.name}`, from"
            f" {', '.join(asked)}{' or ' * bool(asked)}nothing."
        )
    return text


def _use(run: Run, sampler: Sampler | None, index: bool) -> list[str]:
    lines = [
        "import gobelin",
        "",
        'bench = gobelin.from_pretrained("FOLDER")  # or OWNER/REPOSITORY on the hub',
    ]
    lines += [
        'predictions = bench.predict("new.csv")  # the same columns; those that it lacks are'
        " missing"
    ]
    if sampler:
        label = (
            f"label={run.predictor.model.classes[0]!r}, "
            if run.predictor.model.exclusive and "target" in sampler.accepts
            else ""
        )
        lines += [f'bench.generate(seeds=range(8), {label}out="made")']
    lines += ['bench.search(text="...")'] if index else []
    shell = ["gobelin predict FOLDER new.csv --out predictions.csv"]
    shell += ["gobelin generate FOLDER -n 8 --out made"] if sampler else []
    return ["## Use", "\n".join(["```python", *lines, "```"]), "\n".join(["```sh", *shell, "```"])]


def _data(run: Run, findings: Sequence[Finding], index: bool) -> list[str]:
    model, rows = (
        run.predictor.model,
        [one for one in findings if one.source == "check" and one.name == "rows"],
    )
    counts = ", ".join(f"{one.n} {markdown_text(one.scope.get('split', ''))}" for one in rows)
    classes = [one for one in findings if one.source == "check" and one.name == "training_rows"]
    source = markdown_text(run.settings.data.cited) or "not said"
    lines = [f"- Source: {source}", f"- Rows: {counts or 'not counted'}"]
    lines += [f"- Target: {markdown_text(model.target)}, {KINDS[model.kind]}"]
    field = {column: one for one in run.data.schema.fields for column in one.columns}
    columns = [
        [
            c.name,
            c.kind,
            c.role,
            f"{field[c.name].name} ({field[c.name].encoder})" if c.name in field else "",
        ]
        for c in run.data.schema.columns
    ]
    shown = [PrintedTable("", ["column", "kind", "role", "field (encoder)"], columns)]
    shown += (
        [PrintedTable("", ["class", "n"], [[one.scope["class"], str(one.n)] for one in classes])]
        if classes
        else []
    )
    also = ", the rows' ids and their shared vectors, which tell much of a row" if index else ""
    here = (
        "Rows, images and texts are not in this folder. What still tells about them:"
        f" {STILL_TELLS}{also}."
    )
    return ["\n".join(lines), *_printed(shown), here]


def _settings(run: Run, generator: str) -> list[str]:
    s = run.settings
    rows = [
        ["fusion", s.fusion.name],
        ["shared space", f"{s.align.width} dimensions, {run.space.alignment.trained_by}"],
    ]
    rows += [["seed", str(s.runtime.seed)], ["precision", s.runtime.precision]]
    if generator:
        rows += [["generator", generator], ["steps of training", str(s.generator.steps)]]
        rows += [
            ["side of the images", f"{s.generator.size} pixels"],
            ["guidance", f"{s.generator.guidance:g}"],
        ]
        rows += [
            ["licence of what it loads", catalog.described("generators", generator)["licence"]]
        ]
    return [
        *_printed([PrintedTable("", ["what", "setting"], rows)]),
        "All of them are in `settings.json`.",
    ]


def _limits(run: Run, generator: str) -> list[str]:
    lines = [
        "- The scores hold for rows that were drawn like those above. Nothing is said of others."
    ]
    lines += [
        "- Verbs that need the data (check, fit, evaluate, augment, audit, report) don't work from"
        " this folder."
    ]
    lines += ["- `manifest.json` guards against damage. It doesn't show who wrote the files."]
    if generator:
        lines += [
            "- Made images can be copies of training images or nearly so; the audit above says what"
            " was seen of that, if it was run. A small training set makes it likelier."
        ]
        lines += [
            "- Made images say that they were made, in their metadata. A mark can be stripped."
        ]
        if model := str(run.settings.generator.settings.get("model", "")):
            lines += [
                "- The generator needs the pipeline"
                f" `{markdown_text(model.rstrip('/').split('/')[-1])}`, which isn't in this folder:"
                " set generator.settings.model to its place."
            ]
    if run.settings.data.cited and licence(run.settings.data.cited) == "unknown":
        lines += [
            "- The licence of the data was not recognised in its credit line; look it up before you"
            " use this."
        ]
    return ["\n".join(lines)]


def _printed(shown: Sequence[PrintedTable]) -> list[str]:
    """Tables in Markdown, each under its title and over its foot."""
    out = []
    for table in shown:
        rules = ["---:" if one in NUMERIC_COLUMNS else "---" for one in table.columns]
        rows = [[markdown_text(one) for one in row] for row in (table.columns, *table.rows)]
        lines = [f"| {' | '.join(row)} |" for row in (rows[0], rules, *rows[1:])]
        out += [f"**{markdown_text(table.title)}**"] if table.title else []
        out += ["\n".join(lines)]
        out += [markdown_text(table.foot)] if table.foot else []
    return out
