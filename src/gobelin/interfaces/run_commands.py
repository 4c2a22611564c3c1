"""Commands about components, settings and whole runs: list, settings, show, audit, report, save,
demo."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.printable import in_digits
from gobelin.interfaces.brief import all_option, print_brief
from gobelin.interfaces.option_values import settings_of_groups
from gobelin.interfaces.options import json_option, open_workbench, run_argument
from gobelin.interfaces.stopping import loading
from gobelin.interfaces.terminal import (
    out,
    print_conclusions,
    print_findings,
    progress,
    say,
    say_fields,
    say_json,
    say_table,
)


@click.command("audit")
@run_argument
@all_option
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="A.B=C",
    help="Any setting of judge.*, such as judge.references=2 (see the docs: it trains generators).",
)
@json_option
def audit_command(run: Path, whole: bool, sets: tuple[str, ...], as_json: bool) -> None:
    """Test whether generated images copy training images, and tell who was trained on."""
    bench = open_workbench(run, settings_of_groups(sets, "audit", ("judge",)))
    print_brief(bench.audit(), "audit", as_json, whole)
    print_conclusions(bench, as_json)


@click.command("list")
@click.argument("slot", required=False)
@json_option
def list_command(slot: str | None, as_json: bool) -> None:
    """List the installed components: all, or those of a SLOT, such as generators."""
    columns = (
        ("name", "what", "conditions", "licence", "cost")
        if slot == "generators"
        else ("slot", "name", "what")
    )
    rows = [
        catalog.described(listed, name)
        for listed in ([slot] if slot else catalog.SLOTS)
        for name in catalog.names(listed)
    ]
    if as_json:
        for row in rows:
            say_json(row)
    else:
        heads = ["what it is" if key == "what" else key for key in columns]
        cells = [[row[key] for key in columns] for row in rows]
        say_table(heads, cells, whole=columns.index("name") + 1)


@click.command("settings")
@click.argument("group", default="")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON schema.")
def settings_command(group: str, as_json: bool) -> None:
    """List all settings, or those of a GROUP, with default, limits and meaning.

    GROUP is a group of settings, such as align, or a component, such as generators.flow."""
    with loading():
        from gobelin.core import config
        from gobelin.workbench.run import settings

    prefix, cls = settings.group(group)
    if as_json:
        return say_json(config.schema(cls), indent=1)
    rows = [(s.name, s.shown, s.takes, s.meaning) for s in config.listed(cls, prefix)]
    if not out.is_terminal:
        return say_fields(rows)
    say_table(("setting", "default", "takes", "meaning"), rows, whole=1)


@click.command("show")
@run_argument
@json_option
def show_command(run: Path, as_json: bool) -> None:
    """Show a run folder and its findings."""
    bench = open_workbench(run)
    findings, lines = bench.findings(), bench.summary()
    if not as_json:
        for line in lines:
            say(line)
    print_findings(findings, as_json)


@click.command("report")
@run_argument
@json_option
def report_command(run: Path, as_json: bool) -> None:
    """Write one self-contained page of all findings."""
    bench = open_workbench(run)
    page = bench.report()
    if as_json:
        return print_findings(bench.findings(), True)
    say(page, whole=True)


@click.command("leaderboard")
@run_argument
@json_option
def leaderboard_command(run: Path, as_json: bool) -> None:
    """List every head or fusion that fit compared, the best first.

    A head is a small model. It is scored on training rows that it did not learn from, by the metric
    of the run (--metric of gobelin fit). The share says how much it counts in the average that
    predicts."""
    rows = open_workbench(run).leaderboard()
    if as_json:
        for row in rows:
            say_json(row)
        return
    score = rows[0].get("metric", "score").replace("_", " ")  # an earlier version named none
    heads = ("head", "reads", score, "95 % interval", "loss", "share", "processor s")
    cells = [
        (
            row["head"],
            row["reads"],
            in_digits(row["score"]),
            f"{in_digits(row['low'])} to {in_digits(row['high'])}",
            in_digits(row["loss"]) if "loss" in row else "",
            f"{row['share']:.0%}" if "share" in row else "",
            f"{row['seconds']:.1f}" if "seconds" in row else "",
        )
        for row in rows
    ]
    say_table(heads, cells, whole=2)


@click.command("save")
@run_argument
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--out",
    "out_folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The same as FOLDER.",
)
@click.option(
    "--push",
    metavar="OWNER/REPOSITORY",
    help="Upload it to this repository of the hub too. Private unless --public.",
)
@click.option("--public", is_flag=True, help="Create a public repository.")
@click.option(
    "--index", is_flag=True, help="Include the rows' ids and vectors, so that search works."
)
@json_option
def save_command(
    run: Path,
    folder: Path | None,
    out_folder: Path | None,
    push: str | None,
    public: bool,
    index: bool,
    as_json: bool,
) -> None:
    """Save a folder that predicts and generates without the data, with a model card. `generate` and
    `predict` take it as RUN."""
    if folder is not None and out_folder is not None:
        raise GobelinError(f"save: two folders, {folder} and --out {out_folder}. Give one.")
    folder = folder or out_folder
    if folder is None and push is None:
        raise GobelinError(
            "save: nowhere to save to. Give a FOLDER, --push OWNER/REPOSITORY, or both."
        )
    bench = open_workbench(run)
    saved = {"folder": str(bench.save_pretrained(folder, index))} if folder else {}
    if push is not None:
        source = open_workbench(folder) if folder else bench
        saved["repository"] = source.push_to_hub(push, not public, index)
    if as_json:
        return say_json(saved)
    for place in saved.values():
        say(place, whole=True)


@click.command("demo")
@click.option(
    "--run",
    default="runs/demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Run folder.",
)
@click.option(
    "--sample",
    default="openmoji",
    show_default=True,
    metavar="NAME",
    help="Sample set (see gobelin list samples).",
)
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Any setting.")
@json_option
def demo_command(run: Path, sample: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Run all main verbs on a sample set: check, fit, search, generate, augment, audit, report."""
    progress.begin("demo")
    with loading():
        from gobelin.core import config
        from gobelin.interfaces import demo

    step = (lambda text: None) if as_json else partial(say, lines=True)
    verdicts = demo.run(run, sample, config.assignments(sets), progress, step)
    print_findings(verdicts, as_json)
