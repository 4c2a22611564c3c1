"""Commands about components, settings and whole runs: list, settings, show, save, demo."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from gobelin.core import catalog, config
from gobelin.core.errors import GobelinError
from gobelin.interfaces.options import json_option, open_workbench, run_argument
from gobelin.interfaces.terminal import out, print_findings, progress


@click.command("list")
@click.argument("slot", required=False)
@json_option
def list_command(slot: str | None, as_json: bool) -> None:
    """List the installed components."""
    columns = (
        ("name", "what", "conditions", "licence", "cost")
        if slot == "generators"
        else ("slot", "name", "what")
    )
    table = Table(*("what it is" if key == "what" else key for key in columns))
    for listed in [slot] if slot else catalog.SLOTS:
        for name in catalog.names(listed):
            row = catalog.described(listed, name)
            if as_json:
                click.echo(json.dumps(row))
            table.add_row(*(row[key] for key in columns))
    if not as_json:
        out.print(table)


@click.command("settings")
@click.argument("group", default="")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON schema.")
def settings_command(group: str, as_json: bool) -> None:
    """List all settings, or those of a GROUP, with default, limits and meaning.

    GROUP is a group of settings, such as align, or a component, such as generators.flow."""
    from gobelin.workbench.run import settings

    prefix, cls = settings.group(group)
    if as_json:
        return click.echo(json.dumps(config.schema(cls), indent=1, ensure_ascii=False))
    rows = [(s.name, s.shown, s.takes, s.meaning) for s in config.listed(cls, prefix)]
    if not out.is_terminal:
        return click.echo("\n".join("\t".join(row) for row in rows))
    table = Table("setting", "default", "takes", "meaning")
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


@click.command("show")
@run_argument
@json_option
def show_command(run: Path, as_json: bool) -> None:
    """Show a run folder and its findings."""
    bench = open_workbench(run)
    findings, lines = bench.findings(), bench.summary()
    if not as_json:
        for line in lines:
            out.print(line, markup=False)
    print_findings(findings, as_json)


@click.command("save")
@run_argument
@click.argument("folder", type=click.Path(path_type=Path), required=False)
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
    run: Path, folder: Path | None, push: str | None, public: bool, index: bool, as_json: bool
) -> None:
    """Save a folder that predicts and generates without the data, with a model card. `generate` and
    `predict` take it as RUN."""
    if folder is None and push is None:
        raise GobelinError(
            "save: nowhere to save to. Give a FOLDER, --push OWNER/REPOSITORY, or both."
        )
    bench = open_workbench(run)
    saved = {"folder": str(bench.save_pretrained(folder, index))} if folder else {}
    if push:
        source = open_workbench(folder) if folder else bench
        saved["repository"] = source.push_to_hub(push, not public, index)
    click.echo(json.dumps(saved)) if as_json else out.print("\n".join(saved.values()), markup=False)


@click.command("demo")
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
    """Run all main verbs on a sample set: check, fit, search, generate, augment, audit, report."""
    from gobelin.interfaces import demo

    say = (lambda text: None) if as_json else (lambda text: out.print(text, markup=False))
    verdicts = demo.run(run, sample, config.assignments(sets), progress, say)
    print_findings(verdicts, as_json)
