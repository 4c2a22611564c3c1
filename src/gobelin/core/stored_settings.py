"""Settings without places: those of a saved run, which goes from one machine to another.

`save` writes them so. A file of a saved run may be a stranger's and hold others, so each loader of
settings that can name a model passes them through `as_stored`: no file elsewhere is opened for
them, and nothing is downloaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import unquote, urlsplit

from gobelin.core.files import in_saved_run

# A path that is absolute, starts at home or at a variable, or may leave the folder; a URL of no web
# page. A name of the hub, OWNER/REPOSITORY, is none.
PATH = re.compile(
    r"\s*([/\\]+[^/\\\s]|~[\w.-]*([/\\]|$)|[$%][^/\\]*[/\\]|[a-z]:[^\s/\\]*[/\\]|\.{1,2}[/\\]"
    r"|(?!https?:)[a-z][a-z0-9+.-]*://|file:)|(.*[/\\])?\.\.([/\\]|\s*$)",
    re.IGNORECASE | re.DOTALL,
)
HOME = Path(os.path.expanduser("~"))  # "~" where this user has none


def portable(tree: Any, names: Collection[str] = ()) -> Any:  # noqa: ANN401 - JSON is any
    """A tree of settings in which every path is cut to its last name, and nothing is downloaded.

    names: of columns, fields and classes, which are no paths whatever they look like."""
    if isinstance(tree, Mapping):
        cut = {key: portable(value, names) for key, value in tree.items()}
        return cut | ({"local_only": True} if "local_only" in cut else {})
    if isinstance(tree, list | tuple):
        return [portable(value, names) for value in tree]
    if isinstance(tree, str) and tree not in names and PATH.match(tree):
        return _last_name(tree)
    return tree


def as_stored(tree: Any, folder: Path) -> Any:  # noqa: ANN401 - JSON is any
    """The settings that a file in `folder` holds, as a command may use them."""
    return portable(tree) if in_saved_run(folder) else tree


def _last_name(path: str) -> str:
    """The last name of a path; '' where that is the name of this user's home."""
    url = re.match(r"\s*[a-z][a-z0-9+.-]+:/", path, re.IGNORECASE)
    name = PureWindowsPath(unquote(urlsplit(path.strip()).path) if url else path.strip()).name
    return "" if name in ("..", HOME.name) or name.startswith("~") else name
