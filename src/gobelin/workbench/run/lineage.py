"""The lineage of a run: which rows made which images, by what weights, from which seeds.

`lineage.json` in the run folder is written by every command that makes images. It names groups and
rows in plain text, and holds the table from the opaque keys of exports to rows. It stays in the run
folder; a saved run has none.

What this cannot show: images that were made before there was this file, by a saved run, or in a run
folder that can't be written to; and what a network keeps of a row. The rows of a set of weights are
those that it was trained on, not those that a given image resembles.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gobelin.core.errors import GobelinError, why_damaged
from gobelin.core.files import file_hash, fingerprint, read_json, write_json
from gobelin.core.stages import WRONG_VALUES, RunFolder
from gobelin.workbench.run import parts

RECORD = "lineage.json"
FORMAT = 1
KEY_BYTES = 8  # of an opaque key; two of a million rows share one once in 37 million runs
EMPTY: Mapping[str, Any] = {
    "format": FORMAT,
    "secret": "",  # of the opaque keys, so that nobody can try ids one after the other
    "keys": {},  # opaque key -> row id
    "groups": {},  # hash -> names of the groups of a training
    "weights": {},  # hash of weights -> generator, seed, stage, epsilon, and hash of its groups
    "made": [],  # images: verb, weights, and either name and seeds, or id, seed, row, group of each
    "exports": [],  # file, its hash, and the ids of its rows
}
# Stages of training rows alone. Others are made from all rows, or differ in their last bits when
# rows change their places, as predictors and generators do.
OF_TRAINING = ("encoders", "alignment")
TUNED = "tuned"  # stage on whose features the space rests
NAMED = re.compile(r"^.+-([0-9a-f]{8}-seed-)$", re.DOTALL)  # words, hash of what was asked for
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def staying(stages: Sequence[str], part: str) -> list[str]:
    """The stages that are the same, byte for byte, without a group of a part."""
    kept = OF_TRAINING[:1] if TUNED in stages else OF_TRAINING
    return [s for s in stages if part != "train" and s.split("/")[0] in kept]


def stored(folder: RunFolder) -> dict[str, Any]:
    """The content of lineage.json; that of an empty one where there is none. Raises GobelinError
    for a damaged file."""
    path = folder.folder / RECORD
    if not path.is_file():
        return {name: type(value)(value) for name, value in EMPTY.items()}
    try:
        content = read_json(path)
        if set(content) != set(EMPTY) or content["format"] != FORMAT:
            raise ValueError("another format")
        if any(type(content[name]) is not type(value) for name, value in EMPTY.items()):
            raise ValueError("other values than were written")
    except (OSError, *WRONG_VALUES) as error:
        raise GobelinError(
            f"{path}: is damaged ({why_damaged(error)}), and it says which rows made which"
            " images. Restore it."
        ) from error
    return dict(content)


def about(generator: str, seed: int, stage: str) -> dict[str, Any]:
    """What the lineage says of weights. epsilon: of differential privacy, None without it."""
    return {"generator": generator, "seed": seed, "stage": stage, "epsilon": None}


def one_name(verb: str, folder: Path, name: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Images of a verb that no row is the condition of. name: of the files, without the seed."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    text = ",".join(f"{a}-{b}" if b > a else str(a) for a, b in ranges)
    place = str(folder.resolve())
    return {"verb": verb, "folder": place, "name": name, "seeds": text, "count": len(seeds)}


def one_by_one(verb: str, images: Iterable[tuple[str, int, str]]) -> dict[str, Any]:
    """Images of a verb, each from a row: (id of the image, seed, id of the row)."""
    return {"verb": verb, "images": [{"id": i, "seed": int(s), "row": row} for i, s, row in images]}


def without_words(name: str) -> str:
    """The name of generated files without the words of the text that was asked for, which may be a
    caption of the data. What stays of it is in no other name."""
    return NAMED.sub(r"*\1", name)


def leave_group(content: dict[str, Any], group: str) -> None:
    """Take a group out of the lists of groups, and out of their hashes: who has the others' names
    would find it by trying."""
    lists: dict[str, list[str]] = {}
    renamed = {}
    for key, names in content["groups"].items():
        kept = [name for name in names if name != group]
        renamed[key] = fingerprint(kept)[:16]
        lists[renamed[key]] = kept
    content["groups"] = lists
    for about in content["weights"].values():
        about["groups"] = renamed.get(about["groups"], about["groups"])


def record_images(
    folder: RunFolder,
    weights: str,
    about: Mapping[str, Any],
    made: Sequence[Mapping[str, Any]],
    groups: Iterable[str] | None = None,
) -> None:
    """Add images to the lineage of a run; a saved run has none.

    weights: their hash. about: `about` of the weights. made: `one_name` or `one_by_one` of each lot
    of images. groups: those that the weights were trained on; None = the training groups of the
    run.
    """
    if folder.saved:
        return
    known = None if groups is None else sorted(set(groups))
    entries = [{**one, "weights": weights} for one in made]

    def add(content: dict[str, Any]) -> None:
        names = _training_groups(folder) if known is None else known  # `forget` may be at work
        key = fingerprint(names)[:16]
        content["groups"][key] = names
        content["weights"][weights] = {**about, "groups": key}
        content["made"] += [one for one in entries if one not in content["made"]]

    _change(folder, add)


def _training_groups(folder: RunFolder) -> list[str]:
    recorded = parts.recorded(folder)
    whole = {} if recorded is None else recorded.part_of
    return sorted(name for name, part in whole.items() if part == "train")


def record_export(folder: RunFolder, file: Path, ids: Sequence[str]) -> None:
    """Add an exported file to the lineage of a run. ids: of its rows."""
    entry = {"file": str(file.resolve()), "hash": file_hash(file), "rows": list(ids)}

    def add(content: dict[str, Any]) -> None:
        others = [one for one in content["exports"] if one["file"] != entry["file"]]
        content["exports"] = [*others, entry]

    _change(folder, add)


def keys_of(folder: RunFolder, ids: Sequence[str]) -> dict[str, str]:
    """{row id: its opaque key}. The same row has the same key in all exports of a run, and no
    relation to its key in another run."""
    found: dict[str, str] = {}

    def add(content: dict[str, Any]) -> None:
        content["secret"] = content["secret"] or secrets.token_hex(32)
        secret = bytes.fromhex(content["secret"])
        for row in ids:
            data = row.encode("utf-8", "surrogatepass")
            found[row] = hashlib.blake2b(data, key=secret, digest_size=KEY_BYTES).hexdigest()
            content["keys"][found[row]] = row

    _change(folder, add, needed=True)
    return found


def _change(
    folder: RunFolder, change: Callable[[dict[str, Any]], None], needed: bool = False
) -> None:
    """Change the content of lineage.json under the folder's lock. A folder that can't be written is
    told, and refused where the change is needed."""
    content = stored(folder)
    change(content)
    if content == stored(folder):
        return  # before the lock, because a finished run can be read-only
    if not os.access(folder.folder, os.W_OK):
        line = f"{folder.folder}: can't be written, so its {RECORD} can't hold what is made now."
        if needed:
            raise GobelinError(f"{line} Use a copy of the run that can.")
        LOG.warning("%s", line)
        return
    with folder.alone():
        content = stored(folder)
        change(content)
        write_json(folder.folder / RECORD, content)
