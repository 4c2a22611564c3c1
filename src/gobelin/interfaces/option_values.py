"""What the options of a command mean: settings, a query, seeds.

A wrong option needs neither torch nor pydantic: what needs them is imported inside the functions
that a command calls.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gobelin.core.errors import GobelinError, repeated
from gobelin.interfaces.stopping import loading

MOST_IMAGES = 1_000_000  # in one call
WEIGHTED = re.compile(r"(.*)\^([+-]?\d+(?:\.\d+)?)", re.DOTALL)  # a text and its weight
COLUMN_EXPECTED = "COLUMN=VALUE was expected. For example --query side=3."
FLAG_EXPECTED = "FLAG=VALUE was expected. For example --without text=green."


def settings_of_groups(sets: Iterable[str], verb: str, groups: Sequence[str]) -> dict[str, Any]:
    """The settings of --set. GobelinError for a setting outside these groups."""
    from gobelin.core import config

    settings = config.assignments(sets)
    if other := sorted(set(settings) - set(groups)):
        allowed = " and ".join([", ".join(groups[:-1]), groups[-1]] if groups[1:] else groups)
        raise GobelinError(
            f"--set {other[0]}: {verb} takes settings of {allowed} only. Give others to gobelin"
            " fit."
        )
    return settings


def study_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a study from the options of `augment`."""
    with loading():
        from gobelin.augmentation.plan import ALL
        from gobelin.core import config

    settings = settings_of_groups(options["sets"], "augment", ("augment", "judge", "generator"))
    given = (
        ("generator", "generators"),
        ("ratio", "ratio"),
        ("study", "study"),
        ("minutes", "minutes"),
    )
    more: dict[str, Any] = {key: options[name] for name, key in given if options[name] is not None}
    if options["per_class"] is not None:
        parts = [part.strip() for part in _listed(str(options["per_class"]))]
        pairs = [part.rpartition("=") for part in parts]
        if wrong := [
            p
            for p, (_, _, n) in zip(parts, pairs, strict=True)
            if not (n.isascii() and n.isdigit())
        ]:
            raise GobelinError(
                f"--per-class {wrong[0]!r}: a number of images was expected, N or CLASS=N. A class"
                ' with a comma needs quotes: "CLASS=N".'
            )
        named = [name if equals else ALL for name, equals, _ in pairs]
        if (twice := repeated(named)) is not None:
            raise GobelinError(
                f"--per-class {options['per_class']!r}: {twice!r} appears twice. Name each"
                " class once."
            )
        more["per_class"] = {name: int(n) for name, (_, _, n) in zip(named, pairs, strict=True)}
    return config.merge(settings, {"augment": more}) if more else settings


def _listed(text: str) -> list[str]:
    """The parts between commas. A part that holds a comma stands in quotes."""
    try:
        return next(csv.reader([text], skipinitialspace=True)) if '"' in text else text.split(",")
    except csv.Error:
        return text.split(",")


def query_of(options: Mapping[str, Any], columns: Iterable[str]) -> dict[str, str]:
    """{flag or column: value} from the options of a query. The columns of several --row add up.
    Raises GobelinError for another one that is given twice."""
    parts = [
        (k.removeprefix("query_"), text)
        for k, v in options.items()
        if k.startswith("query_")
        for text in v
    ]
    parts += [_pair("--query", text, COLUMN_EXPECTED) for text in columns]
    query: dict[str, str] = {}
    for key, text in parts:
        if key in query and key != "row":
            raise GobelinError(f"{key}: is given twice, one value was expected. Leave one out.")
        query[key] = f"{query[key]},{text}" if key in query else text
    return query


def weighted_query_of(
    options: Mapping[str, Any], columns: Iterable[str], without: Iterable[str]
) -> dict[str, dict[str, list[Any]]]:
    """{query: {flag or column: values}, weights: {flag or column: weights}} of a search.

    A text can end in its weight, as ^2 or ^0.5. A text that itself ends like that needs ^1 after
    it.
    """
    parts = [
        (k.removeprefix("query_"), text, 1.0)
        for k, v in options.items()
        if k.startswith("query_")
        for text in v
    ]
    parts += [(*_pair("--query", text, COLUMN_EXPECTED), 1.0) for text in columns]
    parts += [(*_pair("--without", text, FLAG_EXPECTED), -1.0) for text in without]
    query: dict[str, list[Any]] = {}
    weights: dict[str, list[Any]] = {}
    for key, text, sign in parts:
        weighted = WEIGHTED.fullmatch(text)
        query.setdefault(key, []).append(weighted[1] if weighted else text)
        weights.setdefault(key, []).append(sign * float(weighted[2]) if weighted else sign)
    return {"query": query, "weights": weights}


def _pair(option: str, text: str, expected: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise GobelinError(f"{option} {text!r}: {expected}")
    return name, value


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run: those of --recipe, then of --set, then of single options."""
    from gobelin.core import config

    settings = config.assignments(options["sets"])
    for name, path in (
        ("fusion", "fusion.name"),
        ("preset", "predict.preset"),
        ("metric", "predict.metric"),
        ("generator", "generator.name"),
        ("minutes", "generator.minutes"),
        ("max_bad", "check.max_bad"),
        ("root", "data.root"),
        ("parts_from", "split.parts_from"),
    ):
        if options.get(name) is not None:
            place = name in ("root", "parts_from")
            value = str(Path(options[name]).resolve()) if place else options[name]
            settings = config.merge(settings, config.assignments([f"{path}={value}"]))
    recipe = config.read(options["recipe"]) if options["recipe"] else {}
    return config.merge(config.limited(recipe, settings), settings)


def parsed_seeds(text: str) -> list[int]:
    """'0-15' or '3,7,9-11' as a list of numbers. GobelinError for anything else."""
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
