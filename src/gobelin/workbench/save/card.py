"""The model card of a saved run: its data, settings, measured quality, limits and use.

Every number is the value of a `Finding`. A verb that was not run is "not measured". Words from the
data are escaped.

What this cannot show: whether the numbers hold for other data than the rows that they were measured
on, and whether somebody has edited the card since.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from gobelin.core import catalog
from gobelin.core.stored_settings import portable
from gobelin.evidence.findings import Finding
from gobelin.generation.generators import Sampler
from gobelin.privacy.guarantee import Guarantee
from gobelin.report.drawing import NUMERIC_COLUMNS, PrintedTable
from gobelin.report.finding_tables import tables
from gobelin.report.page import markdown_text
from gobelin.workbench.run import privacy_ledger
from gobelin.workbench.run.chain import Run
from gobelin.workbench.save import disclosure

QUALITY = {
    "evaluate": "Predictions, on validation rows",
    "generate": "Generated images",
    "augment": "Did generated images help?",
    "audit": "Audit: are generated images copies?",
}
KINDS = {
    "class": "a class",
    "ordinal": "ordered levels",
    "number": "a number",
    "labels": "labels, any number of them",
}
REFITTED = (
    "The predictor in this folder was fitted on all labelled rows, with the same settings. The"
    " scores on validation rows are those of a predictor that was fitted on training rows alone."
)
CONDITIONS = {
    "vectors": "any of its fields",
    "text": "a text",
    "source": "an image to start from",
    "mask": "a mask",
}


def render(
    run: Run,
    name: str,
    findings: Sequence[Finding],
    sampler: Sampler | None,
    index: bool,
    rare: str,
) -> str:
    """README.md of the saved run called `name`.

    sampler: its generator, if it has one. index: whether the shared vectors of the rows are in it.
    rare: what it tells of rows whose answer few groups have.
    """
    generator = run.settings.generator.name if sampler else ""
    parts = [
        _front(run, generator),
        f"# {markdown_text(name)}",
        _what(run, sampler),
        *_use(run, sampler, index),
    ]
    parts += [
        "## Data",
        *_data(run, findings, index, rare),
        "## Settings",
        *_settings(run, generator),
        "## Quality",
    ]
    for verb, title in QUALITY.items():
        measured = [f for f in findings if f.source == verb]
        if verb == "augment":
            # those by class and by fields are exploratory
            measured = [f for f in measured if not {"class", "fields"} & set(f.scope)]
        if generator or verb == "evaluate":
            parts += [
                f"### {title}",
                *(
                    _printed(tables(measured))
                    if measured
                    else [f"Not measured: `{verb}` was not run."]
                ),
            ]
        if verb == "evaluate" and measured and run.delivered.refitted:
            parts += [REFITTED]
        if verb == "audit" and generator:
            parts += [f"- {markdown_text(note)}" for note in getattr(sampler, "notes", ())]
            parts += (
                []
                if measured
                else ["It was not measured whether this generator copies its training images."]
            )
    if promise := getattr(sampler, "promise", None):
        parts += ["### Differential privacy", *_promised(run, promise)]
    parts += ["All findings, by class and by fields too, are in `findings.jsonl`."]
    return "\n\n".join([*parts, "## Limits", *_limits(run, generator)]) + "\n"


def licence(cited: str) -> str:
    """The Creative Commons licence that a credit line names, as the hub writes it.

    'unknown' where the line names none, several, or another licence.
    """
    named = re.findall(r"\bCC[ -](BY(?:-(?:NC|SA|ND)){0,2})[ -](\d\.\d)", cited)
    licences = {f"cc-{kind}-{version}".lower() for kind, version in named}
    licences |= {"cc0-1.0"} if re.search(r"\bCC0\b", cited) else set()
    return licences.pop() if len(licences) == 1 else "unknown"


def _front(run: Run, generator: str) -> str:
    tags = ["gobelin", "multimodal", *(["image-generation"] if generator else [])]
    lines = [
        f"license: {licence(run.settings.data.cited)}",
        "library_name: gobelin",
        f"tags: {json.dumps(tags)}",
    ]
    return "\n".join(["---", *lines, "---"])


def _what(run: Run, sampler: Sampler | None) -> str:
    fields = ", ".join(markdown_text(field) for field in run.predictor.fields)
    text = (
        "A Gobelin run without its data. It predicts"
        f" {markdown_text(run.predictor.model.target)} from any of: {fields}."
    )
    if sampler:
        medium, sides = run.generator.medium, " x ".join(map(str, sampler.size[-2::-1]))
        conditions = [words for part, words in CONDITIONS.items() if part in sampler.accepts]
        conditions += (
            [KINDS[run.predictor.model.kind]]
            if "target" in sampler.accepts and run.predictor.model.kind != "labels"
            else []
        )
        text += (
            f" It generates {medium.plural} ({markdown_text(run.generator.field)}, {sides}"
            f" {medium.unit}) with `{run.settings.generator.name}`, from"
            f" {', '.join(conditions)}{' or ' * bool(conditions)}nothing."
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
        lines += [f'bench.generate(seeds=range(8), {label}out="images")']
    lines += ['bench.search(text="...")'] if index else []
    shell = ["gobelin predict FOLDER new.csv --out predictions.csv"]
    shell += ["gobelin generate FOLDER -n 8 --out images"] if sampler else []
    return ["## Use", "\n".join(["```python", *lines, "```"]), "\n".join(["```sh", *shell, "```"])]


def _data(run: Run, findings: Sequence[Finding], index: bool, rare: str) -> list[str]:
    model, rows = (
        run.predictor.model,
        [f for f in findings if f.source == "check" and f.name == "rows"],
    )
    counts = ", ".join(f"{f.n} {markdown_text(f.scope.get('split', ''))}" for f in rows)
    classes = [f for f in findings if f.source == "check" and f.name == "training_rows"]
    source = markdown_text(run.settings.data.cited) or "not given"
    lines = [f"- Source: {source}", f"- Rows: {counts or 'not counted'}"]
    lines += [f"- Target: {markdown_text(model.target)}, {KINDS[model.kind]}"]
    field = {column: f for f in run.data.schema.fields for column in f.columns}
    columns = [
        [
            c.name,
            c.kind,
            c.role,
            f"{field[c.name].name} ({field[c.name].encoder})" if c.name in field else "",
        ]
        for c in run.data.schema.columns
    ]
    printed = [PrintedTable("", ["column", "kind", "role", "field (encoder)"], columns)]
    printed += (
        [PrintedTable("", ["class", "n"], [[f.scope["class"], str(f.n)] for f in classes])]
        if classes
        else []
    )
    also = ", the rows' ids and their shared vectors, which reveal much of a row" if index else ""
    not_included = " ".join(
        [
            "Rows, images and texts are not in this folder.",
            *disclosure.promised(run.folder),
            *[f"But: {markdown_text(rare)}"] * bool(rare),
            f"It still reveals of them: {disclosure.REMAINING_FACTS}{also}.",
        ]
    )
    return ["\n".join(lines), *_printed(printed), not_included]


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
        *_printed([PrintedTable("", ["part", "setting"], rows)]),
        "All of them are in `settings.json`.",
    ]


def _promised(run: Run, promise: Guarantee) -> list[str]:
    """The promise of the generator, what the run has spent, and what is not covered."""
    covered, not_covered = promise.sentences()
    first = f"- The generator alone: epsilon {promise.epsilon:g}, {covered}."
    lines = [first, f"- {privacy_ledger.spent(run.folder).capitalize()}.", f"- {not_covered}."]
    return ["\n".join(line for line in lines if line != "- .")]


def _limits(run: Run, generator: str) -> list[str]:
    lines = ["- The scores hold for rows that were drawn like those above, for no others."]
    lines += [
        "- Verbs that need the data (check, fit, evaluate, augment, audit, report) don't work from"
        " this folder."
    ]
    lines += ["- `manifest.json` shows damage. It doesn't show who wrote the files."]
    if generator:
        lines += [
            "- Generated images can be copies of training images or nearly so. The audit above"
            " measures that, if it was run. It is more likely with a small training set."
        ]
        lines += [
            "- Metadata of generated images say that they are generated. Metadata can be removed."
        ]
        if model := str(run.settings.generator.settings.get("model", "")):
            lines += [
                "- The generator needs the pipeline"
                f" `{markdown_text(portable(model).split('/')[-1])}`, which isn't in this folder:"
                " set generator.settings.model to its folder."
            ]
    if run.settings.data.cited and licence(run.settings.data.cited) == "unknown":
        lines += [
            "- The licence of the data was not recognised in its credit line. Look it up before you"
            " use this."
        ]
    return ["\n".join(lines)]


def _printed(printed: Sequence[PrintedTable]) -> list[str]:
    """Tables in Markdown, each with its title and its foot."""
    out = []
    for table in printed:
        rules = ["---:" if c in NUMERIC_COLUMNS else "---" for c in table.columns]
        rows = [[markdown_text(cell) for cell in row] for row in (table.columns, *table.rows)]
        lines = [f"| {' | '.join(row)} |" for row in (rows[0], rules, *rows[1:])]
        out += [f"**{markdown_text(table.title)}**"] if table.title else []
        out += ["\n".join(lines)]
        out += [markdown_text(table.foot)] if table.foot else []
    return out
