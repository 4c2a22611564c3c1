"""The command line: its entry point, and the commands of the main loop, from check to report.

Each command calls one verb of `Workbench` and prints the result.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gobelin import __version__
from gobelin.core.printable import counted
from gobelin.interfaces.brief import all_option, print_brief, rivals_line
from gobelin.interfaces.examples import EXAMPLES
from gobelin.interfaces.option_values import MOST_IMAGES, parsed_seeds, query_of, study_settings
from gobelin.interfaces.options import (
    augment_options,
    data_options,
    json_option,
    new_workbench,
    open_workbench,
    query_options,
    run_argument,
    training_options,
    with_loudness,
)
from gobelin.interfaces.provenance_commands import COMMANDS, signer_of, signing_options
from gobelin.interfaces.row_commands import (
    curate_command,
    describe_command,
    explain_command,
    index_command,
    search_command,
)
from gobelin.interfaces.run_commands import (
    audit_command,
    demo_command,
    leaderboard_command,
    list_command,
    report_command,
    save_command,
    settings_command,
    show_command,
)
from gobelin.interfaces.stopping import loading, signals_raise
from gobelin.interfaces.terminal import (
    mistakes_told,
    open_progress,
    print_conclusions,
    print_exported,
    print_findings,
    print_next,
    say,
    say_json,
    say_table,
    tell,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point."""
    # Waiting threads sleep instead of spinning: on a shared machine, spinning made training six
    # times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with mistakes_told(), signals_raise(), open_progress():
        cli(
            args=list(arguments) if arguments is not None else None,
            standalone_mode=False,
            obj={},
        )


def _say_version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked:
        say(f"gobelin, version {__version__}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Learn from images, texts and numbers together. Generate the images that you lack. Test
    whether they help."""
    if context.invoked_subcommand is None:
        say(context.get_help(), lines=True)


@cli.command("check")
@data_options
def check_command(**options: Any) -> None:  # noqa: ANN401 - click hands over options by name
    """Report the columns of the data and the problems in it."""
    bench = new_workbench(options, kept=("fusion", "generator"))
    findings = bench.check()
    if not options["as_json"]:
        columns = bench.run.data.schema.columns
        say_table(
            ("column", "kind", "role", "sure", "why"),
            [(c.name, c.kind, c.role, f"{c.confidence:.2f}", c.reason) for c in columns],
            whole=1,
        )
    print_findings(findings, options["as_json"])


@cli.command("fit")
@data_options
@training_options
def fit_command(**options: Any) -> None:  # noqa: ANN401
    """Train encoders and a calibrated predictor. With --generator, the shared space and a generator
    too."""
    bench = new_workbench(options)
    if options["dry_run"]:
        plan = bench.plan(generator=options["generator"] is not None)
        return print_findings(plan, options["as_json"])
    print_findings(bench.fit(generator=options["generator"] is not None), options["as_json"])
    print_next(options["as_json"], "evaluate", options["run"])


@cli.command("evaluate")
@run_argument
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option(
    "--all",
    "whole",
    is_flag=True,
    help="Print every number: by class, for every subset of fields, calibration.",
)
@click.option(
    "--root",
    metavar="DIR",
    help="Folder that relative paths of DATA start from. No path may leave it.",
)
@click.option(
    "--max-bad",
    type=float,
    metavar="SHARE",
    help="Largest share of a column's cells of DATA that may be set aside.",
)
@json_option
def evaluate_command(
    run: Path,
    data: Path | None,
    whole: bool,
    root: str | None,
    max_bad: float | None,
    as_json: bool,
) -> None:
    """Score the predictor on validation rows, or on DATA: labelled rows that were not in the run.

    Prints the score, the fields alone, the confusion and the ten worst mistakes."""
    bench = open_workbench(run)
    evaluation = bench.evaluate(data, root, max_bad)
    if as_json:
        return print_findings([*evaluation, *evaluation.rows_behind()], True)
    for line in evaluation.lines():
        say(line)
    if whole:
        say("")
        print_findings(evaluation, False)
    print_next(bench.run.folder.saved, "report", run)  # a saved run has no report


@cli.command("predict")
@run_argument
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write: .csv, .tsv, .jsonl or .parquet.",
)
@click.option(
    "--only-predictions",
    is_flag=True,
    help="Leave the columns of DATA out, except the ids.",
)
@click.option(
    "--root", metavar="DIR", help="Folder that relative paths start from. No path may leave it."
)
@click.option(
    "--max-bad",
    type=float,
    metavar="SHARE",
    help="Largest share of a column's cells that may be set aside.",
)
@click.option(
    "--raw-csv",
    "raw",
    is_flag=True,
    help="Write texts that a spreadsheet would read as formulas as they are.",
)
@json_option
def predict_command(
    run: Path,
    data: Path,
    target: Path,
    root: str | None,
    max_bad: float | None,
    raw: bool,
    only_predictions: bool,
    as_json: bool,
) -> None:
    """Predict every row of DATA. The file has the columns of DATA and the predictions."""
    bench = open_workbench(run)
    with loading():
        from gobelin.core.output import is_standard_output, output_file
        from gobelin.data.read import read_as_written
        from gobelin.workbench.predict import prediction_file

    suffix = prediction_file.format_of(target)
    if only_predictions:  # with the columns of the data, nothing is lost
        prediction_file.refuse_data(target, data)
    with output_file(target) as temporary:
        written, dataset = read_as_written(data, root)
        predictions = bench.predict(dataset, max_bad=max_bad)
        if only_predictions:
            table = prediction_file.alone(predictions)
        else:
            table = prediction_file.joined(written, predictions)
        changed = prediction_file.write(table, temporary, suffix, raw)
    rows = table.num_rows
    done = f"{counted(rows, 'row', 'rows')} in {target}"
    if changed:
        tell(
            f"{target}: {changed} cells would be formulas in a spreadsheet. Each got an apostrophe"
            " before it. --raw-csv leaves them as they are."
        )
    if is_standard_output(target):
        return tell(done)  # the rows alone go to the next program
    say_json({"rows": rows, "file": str(target)}) if as_json else say(done)


@cli.command("generate")
@run_argument
@query_options
@click.option("--label", metavar="CLASS", help="Class (or number) of the images.")
@click.option(
    "-n",
    "count",
    default=16,
    show_default=True,
    type=click.IntRange(0, MOST_IMAGES),
    metavar="N",
    help="Number of images.",
)
@click.option("--seeds", metavar="SEEDS", help="Seeds of the images: 0-15, or 3,7,9.")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Image file to start from. It is translated or varied.",
)
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Image of the source's size. White parts are generated, the others kept.",
)
@click.option(
    "--strength", type=float, metavar="S", help="0 keeps the source, 1 starts from noise."
)
@click.option(
    "--guidance", type=float, metavar="G", help="Strength of the conditions. 1 = as learned."
)
@click.option(
    "--steps",
    default=0,
    metavar="N",
    help="Evaluations of the network for each image. 0 = the generator's default.",
)
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the PNG files. Without it, images/generate in the run folder.",
)
@signing_options
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
    """Generate images from a text, an image, a table row, a class, a source image, several of
    them, or nothing. Never trains."""
    chosen = parsed_seeds(seeds) if seeds is not None else list(range(count))
    signer = signer_of(options)
    paths = open_workbench(run).generate(
        chosen,
        label,
        target,
        source=source,
        mask=mask,
        strength=strength,
        guidance=guidance,
        steps=steps,
        query=query_of(options, columns),
        signer=signer,
    )
    from gobelin.data.media import medium_of_file, stem_of
    from gobelin.workbench.generate import sheet

    together = sheet.write(paths, signer) if len(paths) > 1 else None
    if as_json:
        say_json(
            {"images": [str(p) for p in paths], **({"sheet": str(together)} if together else {})}
        )
    else:
        medium = medium_of_file(paths[0])
        name = f"{stem_of(paths[0]).removesuffix(str(chosen[0]))}*{medium.suffix}"
        what = counted(len(paths), medium.plural.removesuffix("s"), medium.plural)
        say(f"{what} in {paths[0].parent} ({name})")
        if together:
            say(f"side by side: {together}")


@cli.command("augment")
@run_argument
@augment_options
@signing_options
@all_option
@json_option
def augment_command(
    run: Path,
    export: Path | None,
    dry_run: bool,
    whole: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """Test whether generated images help. Trains missing generators, compares with every baseline
    method, opens the test rows once."""
    signer = signer_of(options)
    bench = open_workbench(run, study_settings(options))
    if dry_run:
        return print_findings(bench.plan(augment=True), as_json)
    findings = bench.augment(export, signer)
    print_brief(findings, "augment", as_json, whole)
    if not as_json and (line := rivals_line(findings)):
        say(line)
    print_conclusions(bench, as_json)
    print_exported(export, as_json)
    print_next(as_json, "report", run)


for command in (
    search_command,
    index_command,
    describe_command,
    explain_command,
    curate_command,
    leaderboard_command,
    list_command,
    audit_command,
    report_command,
    settings_command,
    show_command,
    save_command,
    demo_command,
    *COMMANDS,
):
    cli.add_command(command)
for command in cli.commands.values():
    with_loudness(command)
    # click would cut the sentence after 45 letters in the list of commands
    command.short_help = " ".join(str(command.help).split()).partition(". ")[0].rstrip(".") + "."

for name, line in EXAMPLES.items():
    cli.commands[name].epilog = f"\b\nExample:\n  {line}"
