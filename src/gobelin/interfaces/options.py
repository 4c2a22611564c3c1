"""Options of the command line, and the workbench that they name.

A help text and a wrong option need neither torch nor pydantic: what needs them is imported inside
the functions that a command calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gobelin.core import catalog
from gobelin.interfaces.option_values import settings_of
from gobelin.interfaces.query_flags import QUERIES
from gobelin.interfaces.stopping import loading
from gobelin.interfaces.terminal import progress

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
run_argument = click.argument("run", type=click.Path(path_type=Path))


def data_options(work: Callable[..., None]) -> Callable[..., None]:
    """The options of `check`, which `fit` has too."""
    for option in reversed(
        [
            click.argument("data", type=click.Path(path_type=Path)),
            click.option("--target", required=True, metavar="COL", help="Column to predict."),
            click.option(
                "--run",
                "run",
                default="run",
                show_default=True,
                type=click.Path(path_type=Path),
                help="Run folder.",
            ),
            click.option(
                "--root",
                metavar="DIR",
                help="Folder that relative paths start from. No path may leave it.",
            ),
            click.option(
                "--recipe",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="Settings from a TOML file or a settings.json.",
            ),
            click.option(
                "--parts-from",
                metavar="RUN",
                help="Run folder whose training, validation and test rows are kept.",
            ),
            click.option(
                "--max-bad",
                type=float,
                metavar="SHARE",
                help="Largest share of a column's cells that may be set aside.",
            ),
            click.option(
                "--set",
                "sets",
                multiple=True,
                metavar="A.B=C",
                help="Any setting. schema.COL=KIND sets the kind of a column.",
            ),
            json_option,
        ]
    ):
        work = option(work)
    return work


def training_options(work: Callable[..., None]) -> Callable[..., None]:
    """The options of `fit` beside those of `check`."""
    for option in reversed(
        [
            click.option(
                "--fusion",
                metavar="NAME",
                help="Fusion component (see gobelin list fusion). auto: average what suits the"
                " data; all: choose the best component.",
            ),
            click.option(
                "--preset",
                metavar="quick|good|best",
                help="How many heads --fusion auto compares.",
            ),
            click.option("--metric", metavar="NAME", help="Score to aim for, as accuracy."),
            click.option(
                "--generator",
                metavar="NAME",
                help="Train this generator too (see gobelin list generators).",
            ),
            click.option(
                "--minutes",
                type=float,
                metavar="M",
                help="Longest training of the generator. Without it, the data decide the steps.",
            ),
            click.option(
                "--dry-run",
                is_flag=True,
                help="Show what would be done and its cost. Do nothing.",
            ),
        ]
    ):
        work = option(work)
    return work


def augment_options(work: Callable[..., None]) -> Callable[..., None]:
    """The options of `augment`."""
    for option in reversed(
        [
            click.option(
                "--generator",
                metavar="A,B",
                help="Generators. Each gets its own training sets. Missing ones are trained.",
            ),
            click.option(
                "--per-class",
                metavar="N",
                help="Images of each class, or CLASS=N,CLASS=N. Default: scarce classes first.",
            ),
            click.option(
                "--ratio",
                metavar="R,R",
                help="Added rows divided by real rows. Of several, tuning chooses one.",
            ),
            click.option(
                "--study",
                type=click.Choice(["images", "method"]),
                help="Study these images, or the method (with resamples).",
            ),
            click.option(
                "--minutes",
                type=float,
                metavar="M",
                help="Time to plan for. It can lower the number of seeds, no more.",
            ),
            click.option(
                "--export",
                type=click.Path(path_type=Path),
                help="Folder for the chosen training set, with its lineage.",
            ),
            click.option("--dry-run", is_flag=True, help="Show what would be done. Do nothing."),
            click.option(
                "--set",
                "sets",
                multiple=True,
                metavar="A.B=C",
                help="Any setting of augment.*, judge.* or generator.*",
            ),
        ]
    ):
        work = option(work)
    return work


def mix_options(work: Callable[..., None]) -> Callable[..., None]:
    """The flags of a query, and --without FLAG=VALUE."""
    avoid = "What to avoid: text=..., image=..., or a column. The same as a weight of -1."
    return query_options(
        click.option("--without", multiple=True, metavar="FLAG=VALUE", help=avoid)(work)
    )


def query_options(work: Callable[..., None]) -> Callable[..., None]:
    """--text, --image, --row ...: the flag of each installed encoder that has one, and --query
    COLUMN=VALUE, each any number of times."""
    flags: dict[str, tuple[str, str]] = {}
    for name in catalog.names("encoders"):
        flag = catalog.declared("encoders", name, "flag")
        if flag and catalog.declared("encoders", name, "default"):
            flags[flag] = QUERIES.get(flag, ("VALUE", f"Query by {name}."))
    work = click.option(
        "--query",
        "columns",
        multiple=True,
        metavar="COL=VALUE",
        help="The value of one column, of any kind.",
    )(work)
    for flag, (takes, text) in sorted(flags.items(), reverse=True):
        also = [f"--{o}" for o, f in catalog.OTHER_FLAGS.items() if f == flag]
        names = f"--{flag}", *also, f"query_{flag}"
        work = click.option(*names, multiple=True, metavar=takes, help=text)(work)
    return work


def _loudness(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked:
        setattr(progress, str(option.name), True)
    if progress.quiet and progress.verbose:
        raise click.UsageError("Give --quiet or --verbose, not both.")


def with_loudness(command: click.Command) -> click.Command:
    """The command with the options that every command has: how much it tells of its progress."""
    for names, meaning in (
        (["-q", "--quiet"], "Tell nothing of the progress. Warnings are told."),
        (["-v", "--verbose"], "Tell how long each step took, and where an error comes from."),
    ):
        option = click.Option(
            names, is_flag=True, expose_value=False, callback=_loudness, help=meaning
        )
        command.params.append(option)
    return command


def new_workbench(options: Mapping[str, Any], kept: Sequence[str] = ()) -> Any:  # noqa: ANN401
    """The workbench of `check` and `fit`. kept: groups of settings that stay as an earlier start of
    the run has them, since the verb has no options for them."""
    progress.begin(str(click.get_current_context().info_name))
    with loading():
        from gobelin.core import config
        from gobelin.core.stages import RunFolder
        from gobelin.workbench.bench import Workbench
        from gobelin.workbench.run import replay

    settings, folder = settings_of(options), RunFolder(options["run"])
    if kept and folder.exists() and not folder.saved:
        before = replay.without_replaced(replay.stored(folder), settings)
        settings = config.merge({group: before[group] for group in kept}, settings)
    return Workbench(options["data"], options["target"], options["run"], settings, progress)


def open_workbench(run: Path, settings: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
    """The workbench of an existing run, with changed settings."""
    progress.begin(str(click.get_current_context().info_name))
    with loading():
        from gobelin.workbench.bench import Workbench

    return Workbench.open(run, progress, settings)
