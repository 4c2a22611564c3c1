"""Commands about single rows: search, index, describe, curate."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import click

from gobelin.interfaces.brief import all_option, print_brief
from gobelin.interfaces.option_values import query_of, settings_of_groups, weighted_query_of
from gobelin.interfaces.options import (
    json_option,
    mix_options,
    open_workbench,
    query_options,
    run_argument,
)
from gobelin.interfaces.terminal import (
    out,
    print_exported,
    print_findings,
    say,
    say_json,
    tell,
)

LONGEST = 80  # characters of a cell in a line


@click.command("search")
@run_argument
@mix_options
@click.option(
    "--where",
    default="",
    metavar="FILTER",
    help="Search only these rows: \"weight > 100 AND category = 'tool'\".",
)
@click.option("-k", default=5, show_default=True, type=click.IntRange(1), help="Number of rows.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a contact sheet of the rows: FILE.html or FILE.png.",
)
@click.option(
    "--recall",
    is_flag=True,
    help="Measure search on validation rows instead of searching.",
)
@all_option
@json_option
def search_command(
    run: Path,
    k: int,
    recall: bool,
    whole: bool,
    where: str,
    sheet: Path | None,
    columns: tuple[str, ...],
    without: tuple[str, ...],
    as_json: bool,
    **options: Any,  # noqa: ANN401 - click hands over options by name
) -> None:
    """Find the rows nearest to a query, and show them.

    A query has one or more parts. Each option can be given several times. A weight stands at the
    end of a part: --text "a red apple^2" --image pear.png^0.5 --without text=green. If a text
    itself ends like that, write ^1 after it.

    A line is a row: its score, or `equal` if it has the very cell that was asked for, its id, its
    cells. The score says how seldom an unrelated row is so near, as a standard normal score: 2 is
    one row in 44, 3 one in 740. Long texts are cut; --all shows them whole."""
    bench = open_workbench(run)
    if recall:
        return print_brief(bench.recall(), "search", as_json, whole)
    hits = bench.search(k, where, sheet=sheet, **weighted_query_of(options, columns, without))
    _print_hits(bench, hits, as_json, whole)
    if not hits:
        tell("No row found: " + (f"none has {where}." if where else "the index is empty."))
    elif sheet is not None:
        tell(f"{sheet}: {len(hits)} rows")


def _print_hits(bench: Any, hits: Any, as_json: bool, whole: bool) -> None:  # noqa: ANN401
    """A line for each row. Its cells are cut, and on a terminal the line to the width of the
    screen. whole: nothing is cut."""
    from gobelin.workbench.search.hits import json_cells, shown_cells
    from gobelin.workbench.shown_rows import cut

    schema = bench.run.data.schema
    longest = min(LONGEST, max((len(hit.id) for hit in hits), default=0))
    for hit in hits:
        if as_json:
            say_json(vars(hit) | {"cells": json_cells(hit)})
            continue
        texts = shown_cells(hit, schema, hits.asked)
        cells = " | ".join(f"{c}: {v if whole else cut(v, LONGEST)}" for c, v in texts)
        line = f"{hits.nearness(hit):>6}  {hit.id:{longest if cells else 0}}  {cells}".rstrip()
        long = out.is_terminal and len(line) > out.width > 0 and not whole
        say(line[: out.width - 3] + "..." if long else line, whole=whole)
    if hits and not any(hit.cells for hit in hits):
        tell("Ids and scores only: this run was saved without the cells of its rows.")


@click.command("index")
@run_argument
@click.option(
    "--add",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Data set whose rows search finds too.",
)
@click.option(
    "--delete",
    multiple=True,
    metavar="ID,ID",
    help='Rows that search no longer finds. Quote an id with a comma: "one,id".',
)
@json_option
def index_command(run: Path, add: Path | None, delete: tuple[str, ...], as_json: bool) -> None:
    """Show the index that search uses. Add or delete rows. Added rows are never used in training or
    evaluation."""
    rows = [row for text in delete for row in csv.reader(io.StringIO(text, newline=""))]
    ids = [i.strip() for row in rows for i in row if i.strip()]
    print_findings(open_workbench(run).index(add, ids), as_json)


@click.command("describe")
@run_argument
@query_options
@click.option(
    "-k",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Number of classes and of rows.",
)
@click.option("--labels", metavar="A,B,...", help="Words to choose from. They need not be classes.")
@json_option
def describe_command(
    run: Path,
    k: int,
    labels: str | None,
    columns: tuple[str, ...],
    as_json: bool,
    **options: Any,  # noqa: ANN401 - click hands over options by name
) -> None:
    """Describe one row: its likely classes, the nearest rows, typical and unusual values. --row
    takes the id of a row of the run too."""
    words = tuple(word.strip() for word in labels.split(",")) if labels is not None else ()
    bench = open_workbench(run)
    print_findings(bench.describe(k, words, **query_of(options, columns)), as_json)


@click.command("explain")
@run_argument
@query_options
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Explain the rows of this data set, one by one; with --summary, together.",
)
@click.option("--label", metavar="CLASS", help="Explain this class, not the one that a row gets.")
@click.option(
    "--in", "inside", metavar="FIELD,...", help="Look into these fields only. Default: all."
)
@click.option(
    "--summary", is_flag=True, help="Explain what the answers for many rows have in common."
)
@click.option(
    "--generated",
    is_flag=True,
    help="Explain which part of the query moves the images that are generated from it.",
)
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for pictures (PNG) and values (JSON).",
)
@json_option
def explain_command(
    run: Path,
    data: Path | None,
    label: str | None,
    inside: str | None,
    summary: bool,
    generated: bool,
    target: Path | None,
    columns: tuple[str, ...],
    as_json: bool,
    **options: Any,  # noqa: ANN401 - click hands over options by name
) -> None:
    """Explain an answer: which fields moved it, and which pixels, words, columns or intervals of
    them. --row takes the id of a row of the run too.

    Values are in log odds of the class, or in the unit of a number, and add up to the answer.
    Beside each explanation stands how well it describes the predictor."""
    fields = tuple(name.strip() for name in inside.split(",")) if inside is not None else ()
    bench = open_workbench(run)
    query = query_of(options, columns)
    found = bench.explain(data, label, fields, target, summary, generated, **query)
    if as_json:
        return print_findings(found, True)
    for line in found.lines():
        say(line)


@click.command("curate")
@run_argument
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    help="Folder for the corrected rows, with their weights.",
)
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Any setting of curate.*")
@json_option
def curate_command(run: Path, export: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Find training labels that look wrong. Correct, add and weight labels and captions of training
    rows."""
    settings = settings_of_groups(sets, "curate", ("curate",))
    print_findings(open_workbench(run, settings).curate(export), as_json)
    print_exported(export, as_json)
