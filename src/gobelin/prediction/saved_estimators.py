"""Fitted estimators of scikit-learn on disk: an archive that skops writes and reads, no pickle.

The archive holds arrays and `schema.json`, a tree of nodes. A node names a Python object, and
loading imports it and may call it. So the tree is read here first, and each node must be one of
`saved_types.txt`: kind of node, module and name, exactly. That list is computed from what `save`
writes for every estimator; `tests/saved_types.py` makes it. It has no node that calls
a function, a method or a partial.

What this cannot show: whether the numbers are those of a fitted estimator. Wrong numbers inside a
tree or a neighbour search can give wrong answers, and can end the process.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gobelin.core import parse
from gobelin.core.errors import GobelinError, first_line
from gobelin.core.files import made_anew

SCHEMA = "schema.json"
PROTOCOL = 2  # of skops; older ones read some nodes in another way
MOST_BYTES = 1 << 32  # of an archive
MOST_SCHEMA_BYTES = 1 << 28
PART = re.compile(r"[0-9a-f-]{1,40}\.(npy|bin)|schema\.json")  # names of files in an archive


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Numbers, arrays and fitted estimators by name. Raises GobelinError for an estimator that
    `load` would not open."""
    import skops.io

    try:
        data = skops.io.dumps(dict(state))
        if strange := _strange(data):
            raise ValueError(f"it holds {strange}")
    except (ValueError, TypeError, skops.io.exceptions.UnsupportedTypeException) as error:
        raise GobelinError(
            f"estimator: this one can't be saved as data ({first_line(error)}). Choose another one,"
            " for instance RandomForest."
        ) from error
    path.write_bytes(data)


def load(path: Path) -> dict[str, Any]:
    """The inverse of `save`. Raises GobelinError for a file that is missing, damaged, or holds
    anything else than `save` writes; nothing is loaded then."""
    import skops.io

    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        strange = _strange(data)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise _damaged(path, first_line(error)) from error
    if strange:
        raise GobelinError(
            f"{path}: holds {strange}, which no fitted estimator of scikit-learn needs. It isn't"
            " opened."
        )
    try:
        state = skops.io.loads(data, trusted=[kind.split()[1] for kind in saved_types()])
    except Exception as error:  # values that do not fit: every kind of error
        raise _damaged(path, first_line(error)) from error
    if not isinstance(state, dict):
        raise _damaged(path, "it holds no mapping")
    return state


def _damaged(path: Path, why: str) -> GobelinError:
    what = made_anew(path, "gobelin fit")
    return GobelinError(f"{path}: missing or damaged ({why}). {what}")


@cache
def saved_types() -> frozenset[str]:
    """'Node module.Class' of all nodes that `save` writes."""
    listed = Path(__file__).with_name("saved_types.txt").read_text(encoding="utf-8")
    return frozenset(listed.splitlines())


def _strange(data: bytes) -> str:
    """The first node that `save` does not write; '' for none. Raises ValueError and BadZipFile for
    an archive that isn't one of skops, or unpacks to more than its own size."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        names = [part.filename for part in parts]
        if strange := next((name for name in names if not PART.fullmatch(name)), None):
            raise ValueError(f"it has a file {strange[:60]!r}")
        if len(set(names)) < len(names) or SCHEMA not in names:
            raise ValueError("a file in it is missing, or is there twice")
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("a file in it is compressed")
        if sum(part.file_size for part in parts) > len(data):
            raise ValueError("its files are larger than itself")
        if archive.getinfo(SCHEMA).file_size > MOST_SCHEMA_BYTES:
            raise ValueError(f"{SCHEMA} has more than {MOST_SCHEMA_BYTES} bytes")
        schema = parse.json_value(archive.read(SCHEMA))
    if not isinstance(schema, dict) or schema.get("protocol") != PROTOCOL:
        raise ValueError("another version of skops wrote it")
    known = saved_types()
    return next((kind for kind in _kinds(schema) if kind not in known), "")


def _kinds(schema: object) -> Iterator[str]:
    """'Node module.Class' of every mapping that could be read as a node.

    `content` of a mapping has the user's keys, so a mapping is a node where it has a loader."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                names = (value["__loader__"], value.get("__module__"), value.get("__class__"))
                yield "{} {}.{}".format(*names)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
