"""What a saved run may tell of the machine that it was made on: nothing.

`Places` knows the paths of a run, cuts them in what is written, and finds them in a file.

What this cannot show: a path inside a longer text that is none of those places.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from gobelin.core.stored_settings import HOME, PATH, portable
from gobelin.data.fields import Schema


def names_of(schema: Schema) -> set[str]:
    """The names that a saved run tells: of columns and fields, and levels of the target."""
    columns = {name for c in schema.columns for name in (c.name, *c.levels)}
    return columns | set(schema.field_names)


class Places:
    """The paths of a run on this machine: of its data, its folder, its settings, of this user."""

    def __init__(self, settings: Mapping[str, Any], folder: Path) -> None:
        self.paths = frozenset(_paths(settings))  # as they stand in the settings
        known = {Path(p) for p in self.paths if len(p) > 1 and Path(p).is_absolute()}
        known |= {p.parent for p in known if len(p.parts) > 3}
        known |= {folder.resolve(), HOME, *(p for p in [Path.cwd()] if len(p.parts) > 2)}
        texts = sorted(str(p) for p in known if len(p.parts) > 1)
        self.pattern = re.compile(
            "|".join(rf"(?<![\w/.]){re.escape(text)}(?!\w)" for text in texts).encode()
        )

    def cut(self, tree: Any, names: Collection[str]) -> Any:  # noqa: ANN401 - JSON is any
        """The content of a JSON file with every path of the settings cut, and every group called
        `settings` made portable. Other texts are those of the data, and stay."""
        if isinstance(tree, list):
            return [self.cut(value, names) for value in tree]
        if isinstance(tree, dict):
            return {
                key: portable(value, names) if key == "settings" else self.cut(value, names)
                for key, value in tree.items()
            }
        return portable(tree, names) if isinstance(tree, str) and tree in self.paths else tree

    def found(self, path: Path) -> bool:
        """Whether a file names one of them; of arrays, whether their header does."""
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                text = file.read(int.from_bytes(file.read(8), "little"))
            else:
                text = file.read()
        return self.pattern.search(text) is not None


def _paths(tree: object) -> Iterator[str]:
    if isinstance(tree, Mapping):
        for value in tree.values():
            yield from _paths(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _paths(value)
    elif isinstance(tree, str) and PATH.match(tree):
        yield tree
