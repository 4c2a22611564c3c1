"""The command line: the verbs of `Workbench`, and no logic of its own."""

from __future__ import annotations

import csv
import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from gobelin import __version__
from gobelin.core import catalog, config
from gobelin.core.errors import GobelinError
from gobelin.interfaces.options import (
    MOST_IMAGES,
    asked,
    augment_options,
    gathered,
    json_option,
    mix_options,
    mixed,
    parsed_seeds,
    query_options,
    run_argument,
    shared_options,
    studied,
)
from gobelin.interfaces.terminal import drawn, err, open_progress, out


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: a user's mistake is one line and exit code 2; Ctrl-C is 130."""
    # Waiting threads sleep and don't spin: on a machine that others use too, spinning made training
    # six times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with open_progress():
            cli(
                args=list(arguments) if arguments is not None else None,
                standalone_mode=False,
                obj={},
            )
    except GobelinError as error:
        err.print(str(error), markup=False)
        sys.exit(2)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        err.print(f"gobelin: {error.format_message()}", markup=False)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        err.print("Stopped. The same command continues from what was finished.", markup=False)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="gobelin")
@click.pass_context
def cli(context: click.Context) -> None:
    """Learn from pictures, words and numbers together; make the images that you lack; know whether
    they helped."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def show(findings: Iterable[Any], as_json: bool) -> None:
    """Findings as JSON lines, or as sentences."""
    for one in findings:
        if as_json:
            click.echo(json.dumps(one.to_dict(), ensure_ascii=False))
        else:
            out.print(one.sentence(), markup=False)


def bench_of(
    options: Mapping[str, Any],
) -> Any:  # noqa: ANN401 - a Workbench, imported late: torch is slow to load
    from gobelin.workbench.bench import Workbench

    return Workbench(options["data"], options["target"], options["run"], gathered(options), drawn)


def opened(run: Path) -> Any:  # noqa: ANN401
    from gobelin.workbench.bench import Workbench

    return Workbench.open(run, drawn)


@cli.command("check")
@shared_options
def check_command(**options: Any) -> None:  # noqa: ANN401 - click hands over options by name
    """What is in the data, and what is wrong with it."""
    bench = bench_of(options)
    if options["dry_run"]:
        return show(bench.plan(), options["as_json"])
    found = bench.check()
    if not options["as_json"]:
        table = Table("column", "kind", "role", "sure", "why")
        for c in bench.run.data.schema.columns:
            table.add_row(escape(c.name), c.kind, c.role, f"{c.confidence:.2f}", escape(c.reason))
        out.print(table)
    show(found, options["as_json"])


@cli.command("fit")
@shared_options
def fit_command(**options: Any) -> None:  # noqa: ANN401
    """Encoders, the shared space and a calibrated predictor; with --generator, a generator too."""
    bench = bench_of(options)
    if options["dry_run"]:
        return show(bench.plan(generator=options["generator"] is not None), options["as_json"])
    found = bench.fit(generator=options["generator"] is not None)
    show(found, options["as_json"])
    next_step(options["as_json"], "evaluate", options["run"])


@cli.command("evaluate")
@run_argument
@json_option
def evaluate_command(run: Path, as_json: bool) -> None:
    """The predictor on validation rows: overall, by class, for every subset of fields."""
    show(opened(run).evaluate(), as_json)
    next_step(as_json, "report", run)


@cli.command("predict")
@run_argument
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out", "target", required=True, type=click.Path(path_type=Path), help="CSV file to write."
)
@click.option(
    "--root", metavar="DIR", help="Folder that relative paths start from and that none may leave."
)
@click.option(
    "--max-bad",
    type=float,
    metavar="SHARE",
    help="Share of a column's cells that may be set aside.",
)
@json_option
def predict_command(
    run: Path, data: Path, target: Path, root: str | None, max_bad: float | None, as_json: bool
) -> None:
    """Predictions for every row of DATA."""
    from gobelin.core.files import atomic_file

    bench = opened(run)
    with (
        atomic_file(target) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = bench.predict(data, root, max_bad).rows()
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["id", "prediction"])
        writer.writeheader()
        writer.writerows(rows)
    click.echo(
        json.dumps({"rows": len(rows), "file": str(target)})
        if as_json
        else f"{len(rows)} rows in {target}"
    )


@cli.command("search")
@run_argument
@mix_options
@click.option(
    "--where",
    default="",
    metavar="FILTER",
    help="Among these rows only: \"weight > 100 AND category = 'tool'\".",
)
@click.option("-k", default=5, show_default=True, type=click.IntRange(1), help="How many rows.")
@click.option(
    "--recall",
    is_flag=True,
    help="Say how well search works on validation rows, instead of searching.",
)
@json_option
def search_command(
    run: Path,
    k: int,
    recall: bool,
    where: str,
    columns: tuple[str, ...],
    without: tuple[str, ...],
    as_json: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """The rows nearest to a query of any parts, in any weights.

    Every flag may stand there several times; the query is the sum of its parts. A weight stands at
    the end of a part: --text "a red apple^2" --image pear.png^0.5 --without text=green. A text that
    itself ends like that gets ^1 after it."""
    bench = opened(run)
    if recall:
        return show(bench.recall(), as_json)
    hits = bench.search(k, where, **mixed(options, columns, without))
    for hit in hits:
        click.echo(json.dumps(vars(hit)) if as_json else f"{hit.score:6.3f}  {hit.id}")
    if not hits:
        err.print(
            "No row is found: " + (f"none has {where}." if where else "the index is empty."),
            markup=False,
        )


@cli.command("index")
@run_argument
@click.option(
    "--add",
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Find the rows of this data set too.",
)
@click.option(
    "--delete",
    multiple=True,
    metavar="ID,ID",
    help='Find these rows no more. An id with a comma: "one,id".',
)
@json_option
def index_command(run: Path, add: Path | None, delete: tuple[str, ...], as_json: bool) -> None:
    """What search looks through; rows to add and to delete. Added ones are never trained or judged
    on."""
    ids = [i.strip() for row in csv.reader(delete) for i in row if i.strip()]
    show(opened(run).index(add, ids), as_json)


@cli.command("describe")
@run_argument
@query_options
@click.option(
    "-k", default=5, show_default=True, type=click.IntRange(1), help="How many classes and rows."
)
@click.option(
    "--labels", metavar="A,B,...", help="Words to choose from, which need not be classes."
)
@json_option
def describe_command(
    run: Path,
    k: int,
    labels: str | None,
    columns: tuple[str, ...],
    as_json: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """The classes and the nearest rows of one record, and what is typical and odd about it."""
    words = tuple(word.strip() for word in labels.split(",")) if labels is not None else ()
    show(opened(run).describe(k, words, **asked(options, columns)), as_json)


@cli.command("generate")
@run_argument
@query_options
@click.option("--label", help="The class (or number) to make.")
@click.option(
    "-n",
    "count",
    default=16,
    show_default=True,
    type=click.IntRange(0, MOST_IMAGES),
    help="How many images.",
)
@click.option("--seeds", help="Which seeds: 0-15, or 3,7,9.")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="An image file to start from: translated or varied.",
)
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    help="An image of the source's size, white where to make it anew.",
)
@click.option("--strength", type=float, help="0 keeps the source, 1 starts from noise alone.")
@click.option("--guidance", type=float, help="Pull towards what is asked for; 1 = as learned.")
@click.option(
    "--steps", default=0, help="Evaluations of the network for an image; 0 = the generator's own."
)
@click.option("--out", "target", type=click.Path(path_type=Path), help="Folder for the PNG files.")
@json_option
def generate_command(
    run: Path,
    label: str | None,
    count: int,
    seeds: str | None,
    target: Path | None,
    columns: tuple[str, ...],
    as_json: bool,
    source: Path | None,
    mask: Path | None,
    strength: float | None,
    guidance: float | None,
    steps: int,
    **options: Any,  # noqa: ANN401
) -> None:
    """Images from a text, an image, a table row, a class, a source image, any mix of them, or
    nothing. Never trains."""
    chosen = parsed_seeds(seeds) if seeds is not None else list(range(count))
    paths = opened(run).generate(
        chosen,
        label,
        target,
        source=source,
        mask=mask,
        strength=strength,
        guidance=guidance,
        steps=steps,
        query=asked(options, columns),
    )
    if as_json:
        click.echo(json.dumps({"images": [str(p) for p in paths]}))
    else:
        out.print(f"{len(paths)} images in {paths[0].parent}", markup=False)


@cli.command("augment")
@run_argument
@augment_options
@json_option
def augment_command(
    run: Path,
    export: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """Did made images help? Trains what it lacks, compares with every rival, opens the test rows
    once."""
    from gobelin.workbench.bench import Workbench

    bench = Workbench.open(run, drawn, studied(options))
    if dry_run:
        return show(bench.plan(augment=True), as_json)
    show(
        [f for f in bench.augment(export) if as_json or not {"class", "fields"} & set(f.scope)],
        as_json,
    )
    conclude(bench, as_json)
    next_step(as_json, "report", run)


@cli.command("audit")
@run_argument
@json_option
def audit_command(run: Path, as_json: bool) -> None:
    """Are made images copies of training images?"""
    bench = opened(run)
    show(bench.audit(), as_json)
    conclude(bench, as_json)


@cli.command("curate")
@run_argument
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    help="Folder for the mended rows, with their weights.",
)
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Any setting of curate.*")
@json_option
def curate_command(run: Path, export: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Which training labels look wrong? Mends, gives and weighs labels and captions of training
    rows, to train on them."""
    from gobelin.workbench.bench import Workbench

    said = config.assignments(sets)
    if other := sorted(set(said) - {"curate"}):
        raise GobelinError(
            f"--set {other[0]}: curate takes settings of curate alone. Give others to gobelin fit."
        )
    show(Workbench.open(run, drawn, said).curate(export), as_json)


@cli.command("report")
@run_argument
@json_option
def report_command(run: Path, as_json: bool) -> None:
    """One self-contained page of everything found so far."""
    bench = opened(run)
    page = bench.report()
    if as_json:
        return show(bench.findings(), True)
    out.print(str(page), markup=False)


@cli.command("list")
@click.argument("slot", required=False)
@json_option
def list_command(slot: str | None, as_json: bool) -> None:
    """The components that are installed."""
    shown = (
        ("name", "what", "conditions", "licence", "cost")
        if slot == "generators"
        else ("slot", "name", "what")
    )
    table = Table(*("what it is" if key == "what" else key for key in shown))
    for one in [slot] if slot else catalog.SLOTS:
        for name in catalog.names(one):
            row = catalog.described(one, name)
            if as_json:
                click.echo(json.dumps(row))
            table.add_row(*(row[key] for key in shown))
    if not as_json:
        out.print(table)


@cli.command("show")
@run_argument
@json_option
def show_command(run: Path, as_json: bool) -> None:
    """What a run folder holds, and what was found so far."""
    bench = opened(run)
    found, lines = bench.findings(), bench.summary()
    if not as_json:
        for line in lines:
            out.print(line, markup=False)
    show(found, as_json)


@cli.command("save")
@run_argument
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--push", metavar="OWNER/REPOSITORY", help="Send it there too (hub); private unless --public."
)
@click.option("--public", is_flag=True, help="A repository that is made is open to everybody.")
@click.option(
    "--index", is_flag=True, help="With the rows' ids and vectors, so that it can be searched."
)
@json_option
def save_command(
    run: Path, folder: Path | None, push: str | None, public: bool, index: bool, as_json: bool
) -> None:
    """A folder to predict and generate from without the data, with a model card; generate and
    predict take it as RUN."""
    if folder is None and push is None:
        raise GobelinError(
            "save: nowhere to save to. Give a FOLDER, --push OWNER/REPOSITORY, or both."
        )
    bench = opened(run)
    said = {"folder": str(bench.save_pretrained(folder, index))} if folder else {}
    if push:
        said["repository"] = (opened(folder) if folder else bench).push_to_hub(
            push, not public, index
        )
    click.echo(json.dumps(said)) if as_json else out.print("\n".join(said.values()), markup=False)


@cli.command("demo")
@click.option(
    "--run",
    default="runs/demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Run folder.",
)
@click.option(
    "--sample", default="openmoji", show_default=True, help="Sample set (see gobelin list samples)."
)
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Any setting.")
@json_option
def demo_command(run: Path, sample: str, sets: tuple[str, ...], as_json: bool) -> None:
    """The whole main job on a sample set: check, fit, search, generate, augment, audit, report."""
    from gobelin.interfaces import demo

    say = (lambda text: None) if as_json else (lambda text: out.print(text, markup=False))
    show(demo.run(run, sample, config.assignments(sets), drawn, say), as_json)


def conclude(bench: Any, as_json: bool) -> None:  # noqa: ANN401
    """The last word of a study: utility, leak and quality in one line an arm."""
    for line in [] if as_json else bench.conclusions():
        out.print(f"\n{line}", markup=False)


def next_step(as_json: bool, verb: str, run: Path) -> None:
    if not as_json:
        err.print(f"Next: {shlex.join(['gobelin', verb, str(run)])}", markup=False)
