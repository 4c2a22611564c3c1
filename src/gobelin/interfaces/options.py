"""Options of the command line, and what they say as settings, queries and seeds."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from gobelin.augmentation.plan import ALL
from gobelin.core import catalog, config
from gobelin.core.errors import GobelinError

MOST_IMAGES = 1_000_000  # of one call
WEIGHED = re.compile(r"(.*)\^([+-]?\d+(?:\.\d+)?)", re.DOTALL)  # a text and its weight


json_option = click.option("--json", "as_json", is_flag=True, help="Print findings as JSON lines.")
run_argument = click.argument("run", type=click.Path(path_type=Path))


def shared_options(work: Callable[..., None]) -> Callable[..., None]:
    """The options of `check` and `fit`."""
    for option in reversed(
        [
            click.argument("data", type=click.Path(path_type=Path)),
            click.option("--target", required=True, metavar="COL", help="The column to predict."),
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
                help="Folder that relative paths start from and that none may leave.",
            ),
            click.option(
                "--recipe",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="A TOML recipe, or a settings.json.",
            ),
            click.option(
                "--fusion",
                metavar="NAME",
                help="Fusion component (see gobelin list fusion), or all: the best of them.",
            ),
            click.option(
                "--generator",
                metavar="NAME",
                help="Train this generator too (see gobelin list generators).",
            ),
            click.option("--minutes", type=float, help="Training budget of the generator."),
            click.option(
                "--max-bad",
                type=float,
                metavar="SHARE",
                help="Share of a column's cells that may be set aside.",
            ),
            click.option(
                "--set",
                "sets",
                multiple=True,
                metavar="A.B=C",
                help="Any setting; schema.COL=KIND names a kind.",
            ),
            click.option(
                "--dry-run",
                is_flag=True,
                help="Say what would be done, and how large it is; do nothing.",
            ),
            json_option,
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
                help="Generators, each an arm of its own; trained if they are lacking.",
            ),
            click.option(
                "--per-class",
                metavar="N",
                help="Images a class, or CLASS=N,CLASS=N; without it the scarce ones first.",
            ),
            click.option(
                "--ratio",
                metavar="R,R",
                help="Added rows over real ones; of several, tuning chooses.",
            ),
            click.option(
                "--study",
                type=click.Choice(["images", "method"]),
                help="These images, or the method (resamples).",
            ),
            click.option(
                "--minutes",
                type=float,
                help="Time for all of it; if short, fewer seeds, never fewer rivals.",
            ),
            click.option(
                "--export",
                type=click.Path(path_type=Path),
                help="Folder for the chosen training set, with its lineage.",
            ),
            click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing."),
            click.option(
                "--set",
                "sets",
                multiple=True,
                metavar="A.B=C",
                help="Any setting of augment.* or judge.*",
            ),
        ]
    ):
        work = option(work)
    return work


def studied(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a study from the options of `augment`."""
    said = config.assignments(options["sets"])
    if other := sorted(set(said) - {"augment", "judge", "generator"}):
        raise GobelinError(
            f"--set {other[0]}: augment takes settings of augment, judge and generator alone. Give"
            " others to gobelin fit."
        )
    given = (
        ("generator", "generators"),
        ("ratio", "ratio"),
        ("study", "study"),
        ("minutes", "minutes"),
    )
    more: dict[str, Any] = {key: options[name] for name, key in given if options[name] is not None}
    if options["per_class"] is not None:
        parts = [one.strip() for one in _listed(str(options["per_class"]))]
        pairs = [one.rpartition("=") for one in parts]
        if wrong := [
            p
            for p, (_, _, n) in zip(parts, pairs, strict=True)
            if not (n.isascii() and n.isdigit())
        ]:
            raise GobelinError(
                f"--per-class {wrong[0]!r}: a number of images was expected, N or CLASS=N. A class"
                ' with a comma stands in quotes: "CLASS=N".'
            )
        named = [name if equals else ALL for name, equals, _ in pairs]
        if twice := [name for name in named if named.count(name) > 1]:
            raise GobelinError(
                f"--per-class {options['per_class']!r}: {twice[0]!r} stands there twice. Name each"
                " class once."
            )
        more["per_class"] = {name: int(n) for name, (_, _, n) in zip(named, pairs, strict=True)}
    return config.merge(said, {"augment": more}) if more else said


def _listed(text: str) -> list[str]:
    """The parts between commas; one that holds a comma itself stands in quotes."""
    try:
        return next(csv.reader([text], skipinitialspace=True)) if '"' in text else text.split(",")
    except csv.Error:
        return text.split(",")


def query_options(work: Callable[..., None]) -> Callable[..., None]:
    """--text, --image, --row ...: one flag for each installed encoder that has one, and --query
    COLUMN=VALUE."""
    return _query_options(work, False)


def mix_options(work: Callable[..., None]) -> Callable[..., None]:
    """The flags of a query, each as often as one likes, and --without FLAG=VALUE."""
    away = "What to avoid: text=..., image=..., or a column; the same as a weight of -1."
    return _query_options(
        click.option("--without", multiple=True, metavar="FLAG=VALUE", help=away)(work), True
    )


def _query_options(work: Callable[..., None], several: bool) -> Callable[..., None]:
    flags: dict[str, str] = {}
    for name in catalog.names("encoders"):
        encoder = catalog.find("encoders", name)
        if encoder.flag and encoder.default:
            flags[encoder.flag] = f"A query by {name}."
    work = click.option(
        "--query", "columns", multiple=True, metavar="COLUMN=VALUE", help="A query by one column."
    )(work)
    for flag, text in sorted(flags.items(), reverse=True):
        work = click.option(f"--{flag}", f"query_{flag}", multiple=several, help=text)(work)
    return work


def asked(options: Mapping[str, Any], columns: Iterable[str]) -> dict[str, str]:
    query = {
        k.removeprefix("query_"): v
        for k, v in options.items()
        if k.startswith("query_") and v is not None
    }
    return query | dict(
        _pair("--query", one, "COLUMN=VALUE was expected. For example --query side=3.")
        for one in columns
    )


def mixed(
    options: Mapping[str, Any], columns: Iterable[str], without: Iterable[str]
) -> dict[str, dict[str, list[Any]]]:
    """query and weights of a search. A text may end in its weight, as ^2 or ^0.5; one that itself
    ends so, in that and ^1."""
    said = [
        (k.removeprefix("query_"), text, 1.0)
        for k, v in options.items()
        if k.startswith("query_")
        for text in v
    ]
    said += [
        (*_pair("--query", one, "COLUMN=VALUE was expected. For example --query side=3."), 1.0)
        for one in columns
    ]
    said += [
        (
            *_pair("--without", one, "FLAG=VALUE was expected. For example --without text=green."),
            -1.0,
        )
        for one in without
    ]
    found: dict[str, dict[str, list[Any]]] = {"query": {}, "weights": {}}
    for key, text, sign in said:
        weighed = WEIGHED.fullmatch(text)
        found["query"].setdefault(key, []).append(weighed[1] if weighed else text)
        found["weights"].setdefault(key, []).append(sign * float(weighed[2]) if weighed else sign)
    return found


def _pair(option: str, text: str, wanted: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise GobelinError(f"{option} {text!r}: {wanted}")
    return name, value


def gathered(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from --recipe, then --set, then the options that have a name of their own."""
    said = config.read(options["recipe"]) if options["recipe"] else {}
    said = config.merge(said, config.assignments(options["sets"]))
    for name, path in (
        ("fusion", "fusion.name"),
        ("generator", "generator.name"),
        ("minutes", "generator.minutes"),
        ("max_bad", "check.max_bad"),
        ("root", "data.root"),
    ):
        if options[name] is not None:
            value = str(Path(options[name]).resolve()) if name == "root" else options[name]
            said = config.merge(said, config.assignments([f"{path}={value}"]))
    return said


def parsed_seeds(text: str) -> list[int]:
    """'0-15' or '3,7,9-11' as numbers."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not part.isascii() or not first.isdigit() or (dash and not last.isdigit()):
            raise GobelinError(
                f"--seeds {text!r}: numbers like 0-15 or 3,7,9 were expected, found {part!r}."
            )
        if int(last or first) < int(first):
            raise GobelinError(
                f"--seeds {text!r}: {part.strip()!r} ends before it begins. Write the smaller"
                " number first."
            )
        if len(seeds) + int(last or first) - int(first) >= MOST_IMAGES:
            raise GobelinError(
                f"--seeds {text!r}: asks for more than {MOST_IMAGES} images. Make them in several"
                " calls."
            )
        seeds += range(int(first), int(last or first) + 1)
    return seeds
