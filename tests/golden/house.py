"""Does the present tree still compute the same? Five configurations, on a base commit and on it.

    python tests/golden/house.py [--base COMMIT] [--tree FOLDER] [--only NAME ...] [--fresh]

All is compared bit for bit. The base's results are kept in the folder for temporary files, so that
only the first call runs the base. `renamed.json` beside this file holds the meant changes of names.

What this cannot show: anything about other processors, threads, bfloat16 or a GPU; what no
configuration runs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from safetensors import safe_open

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BASE = "2dac47b"  # the last commit before the move into packages
NAMES = ("default", "number", "contest", "study", "tuned")
NUMBERS = (
    "value",
    "low",
    "high",
    "level",
    "chance",
    "floor",
    "n",
    "needed_n",
    "unit",
    "better",
    "verdict",
)
EXACT = (
    "hits.json",
    "where.json",
    "hits_of_more.json",
    "rows.json",
    "conclusions.json",
)  # written by `configurations.py`
PASSED_OVER = (
    "environment.json",
    "manifest.json",
    "files.json",
)  # versions, and hashes of files with times in them
GROWING = ("settings.json",)  # may hold more than it did
SHOWN = 12
HASH = re.compile(r"[0-9a-f]{16,}")


class Renamed:
    """Old names -> new names, read from renamed.json.

    findings, scopes (keys and values, comparators too), verdicts, stages (beginnings of paths in
    the run folder), arrays (in .safetensors files), texts (exact parts of PNG text chunks).
    new: findings or files that the base did not have. gone: those that it alone has."""

    def __init__(self, path: Path) -> None:
        stored = json.loads(path.read_text(encoding="utf-8"))
        known = {"findings", "scopes", "verdicts", "stages", "arrays", "texts"}
        if unknown := set(stored) - known - {"new", "gone"}:
            raise SystemExit(
                f"{path}: unknown sections {sorted(unknown)}. Known: {sorted(known)}, new, gone."
            )
        self.names: dict[str, dict[str, str]] = {
            section: stored.get(section, {}) for section in known
        }
        self.new, self.gone = set(stored.get("new", [])), set(stored.get("gone", []))

    def __call__(self, section: str, old: str) -> str:
        return self.names[section].get(old, old)

    def path(self, old: str) -> str:
        for start, new in sorted(self.names["stages"].items(), key=lambda pair: -len(pair[0])):
            old = re.sub(rf"(^|/){re.escape(start)}(?=/|$)", rf"\g<1>{new}", old)
        return old

    def text(self, old: str) -> str:
        for before, after in self.names["texts"].items():
            old = old.replace(before, after)
        return old


# one side


def results(folder: Path, renamed: Renamed | None) -> dict[str, Any]:
    """{name: array, value or Counter} of all that is compared. renamed: for the base alone."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        place = path.relative_to(folder).as_posix()
        if "/work/" in place or path.name in PASSED_OVER:
            continue
        place = renamed.path(place) if renamed else place
        if path.name == "findings.jsonl":
            found |= findings(path, place, renamed)
        elif path.name == "stage.json":
            found[f"{place}: key"] = json.loads(path.read_text(encoding="utf-8")).get("key")
        elif path.name in EXACT:
            found[place] = json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            if path.name == "files.safetensors":
                continue  # times of the data's files
            with safe_open(path, framework="np") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    found[f"{place}: {renamed('arrays', name) if renamed else name}"] = (
                        file.get_tensor(name)
                    )
        elif path.suffix == ".npy":
            found[place] = np.load(path)
        elif path.suffix == ".png":
            with Image.open(path) as image:
                found[f"{place}: pixels"] = np.asarray(image)
                for name, text in getattr(image, "text", {}).items():
                    found[f"{place}: text {name}"] = (
                        renamed.text(str(text)) if renamed else str(text)
                    )
        elif path.suffix == ".parquet":
            table = pq.read_table(path)
            found |= {
                f"{place}: {name}": table.column(name).to_pylist() for name in table.column_names
            }
        elif path.suffix in (".json", ".jsonl", ".csv"):
            parent = place.rpartition("/")[0] if path.name not in GROWING else place
            counts = found.setdefault(f"{parent}: numbers and hashes in its JSON", Counter())
            counts.update(numbers(path))
    return found


def findings(path: Path, place: str, renamed: Renamed | None) -> dict[str, Any]:
    """{place, name, scope, comparator: the numbers of each such finding}."""
    out: dict[str, Any] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name, scope, comparator = row["name"], row["scope"], row["comparator"]
        values = {key: row[key] for key in NUMBERS}
        if renamed:
            name, comparator = renamed("findings", name), renamed("scopes", comparator)
            scope = {
                renamed("scopes", key): renamed("scopes", value) for key, value in scope.items()
            }
            values["verdict"] = renamed("verdicts", values["verdict"])
        label = ", ".join(f"{key}={value}" for key, value in sorted(scope.items()))
        title = f"{place}: finding {name} ({label})" + (
            f" against {comparator}" if comparator else ""
        )
        out.setdefault(title, []).append(values)
    return out


def numbers(path: Path) -> Iterator[str]:
    """Every number and hash in a file, without its place: layouts may change, values may not."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        values: list[Any] = [cell for row in csv.reader(text.splitlines()) for cell in row]
    else:
        values = (
            [json.loads(text)]
            if path.suffix == ".json"
            else [json.loads(line) for line in text.splitlines()]
        )
    while values:
        value = values.pop()
        if isinstance(value, Mapping):
            # `sure` is a field of findings that the base did not have
            values += [v for k, v in value.items() if not (k == "sure" and isinstance(v, bool))]
        elif isinstance(value, list):
            values += value
        elif isinstance(value, int | float) or (isinstance(value, str) and HASH.fullmatch(value)):
            yield repr(value)
        elif path.suffix == ".csv" and re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", str(value)):
            yield str(value)


# both sides


def differences(old: Mapping[str, Any], new: Mapping[str, Any], renamed: Renamed) -> list[str]:
    """One line for each thing that differs."""
    lines = []
    for name in sorted(set(old) | set(new)):
        finding = re.search(r": finding (\S+) ", name)
        place = name.split(": ")[0]
        if name not in new:
            if place not in renamed.gone and not (finding and finding[1] in renamed.gone):
                lines.append(f"{name}: is gone")
        elif name not in old:
            if place not in renamed.new and not (finding and finding[1] in renamed.new):
                lines.append(f"{name}: is new")
        elif said := difference(old[name], new[name], place.endswith(GROWING)):
            lines.append(f"{name}: {said}")
    return lines


def difference(old: Any, new: Any, growing: bool) -> str:  # noqa: ANN401 - any result
    """How two results differ; '' where they are the same to the bit."""
    if isinstance(old, np.ndarray):
        if old.dtype != new.dtype or old.shape != new.shape:
            return f"{old.dtype} {list(old.shape)} became {new.dtype} {list(new.shape)}"
        if old.tobytes() == new.tobytes():
            return ""
        different = np.frombuffer(old.tobytes(), np.uint8) != np.frombuffer(new.tobytes(), np.uint8)
        entries = different.reshape(old.size, -1).any(1)
        first = int(entries.argmax())
        pair = f"{old.flat[first]!r} became {new.flat[first]!r}"
        return f"{int(entries.sum())} of {old.size} entries, first {pair}"
    if isinstance(old, Counter):
        less, more = old - new, Counter() if growing else new - old
        return f"{shortened(sorted(less))} became {shortened(sorted(more))}" if less or more else ""
    if isinstance(old, str) and isinstance(new, str):
        begin = max(0, len(os.path.commonprefix([old, new])) - 20)
        old, new = old[begin:], new[begin:]
    return "" if same(old, new) else f"{shortened(old)} became {shortened(new)}"


def same(old: Any, new: Any) -> bool:  # noqa: ANN401
    if isinstance(old, float) and isinstance(new, float):
        return old == new or (math.isnan(old) and math.isnan(new))
    return old == new


def shortened(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 400 else f"{text[:400]} ..."


# running


def child(tree: Path, name: str, data: Path, folder: Path) -> float:
    """Run a configuration with a tree's code in `folder`; its seconds."""
    folder.mkdir(parents=True)
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    environment = {
        **os.environ,
        **threads,
        "PYTHONPATH": str(tree / "src"),
        "PYTHONHASHSEED": "0",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    begin = time.monotonic()
    command = [sys.executable, str(HERE / "configurations.py"), name, str(data), str(tree)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"{name}: failed with the code in {tree}.\n{done.stdout[-2000:]}{done.stderr[-6000:]}"
        )
    return time.monotonic() - begin


class Base:
    """The base commit's results, run once on this machine, in a git worktree of the commit."""

    def __init__(self, commit: str, fresh: bool) -> None:
        self.commit = git("rev-parse", "--verify", f"{commit}^{{commit}}")
        versions = [
            version(package) for package in ("torch", "numpy", "scipy", "scikit-learn", "pillow")
        ]
        code = hashlib.sha256(
            (HERE / "configurations.py").read_bytes() + repr(versions).encode()
        ).hexdigest()
        self.folder = (
            Path(tempfile.gettempdir())
            / f"gobelin-house-{os.getuid()}"
            / self.commit[:12]
            / code[:12]
        )
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tree: Path | None = None

    def checkout(self) -> Path:
        if self.tree is None:
            self.tree = Path(tempfile.mkdtemp(prefix="gobelin-base-")) / "tree"
            git("worktree", "add", "--detach", str(self.tree), self.commit)
        return self.tree

    def get(self, name: str) -> Path:
        """The folder of a configuration's results, or of the data; made unless it is there."""
        target = self.folder / name
        if not target.is_dir():
            data = self.folder if name == "data" else self.get("data")
            temporary = Path(tempfile.mkdtemp(dir=self.folder)) / name
            # both sides read the data at one path, whoever wrote them
            child(self.checkout(), name, temporary if name == "data" else data, temporary)
            try:
                temporary.rename(target)
            except OSError:  # another call made it meanwhile
                pass
            shutil.rmtree(temporary.parent, ignore_errors=True)
        return target

    def close(self) -> None:
        if self.tree is not None:
            git("worktree", "remove", "--force", str(self.tree))
            shutil.rmtree(self.tree.parent, ignore_errors=True)


def git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--base", default=BASE, metavar="COMMIT", help="what to compare with")
    parser.add_argument(
        "--tree",
        default=ROOT,
        type=Path,
        metavar="FOLDER",
        help="the code to judge, the present tree if not given",
    )
    parser.add_argument(
        "--only", nargs="+", default=NAMES, choices=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    parser.add_argument(
        "--fresh", action="store_true", help="run the base anew, even if its results are kept"
    )
    parser.add_argument(
        "--all", action="store_true", help="show every difference, not the first ones alone"
    )
    options = parser.parse_args()
    renamed, base, wrong = Renamed(HERE / "renamed.json"), Base(options.base, options.fresh), 0
    try:
        with tempfile.TemporaryDirectory(prefix="gobelin-head-") as work:
            tree = Path(work) / "tree"  # a copy: the tree may be edited meanwhile
            shutil.copytree(options.tree / "src", tree / "src")
            for name in options.only:
                before = base.get(name)
                folder = Path(work) / name
                seconds = child(tree, name, base.get("data"), folder)
                old = results(before, renamed)
                lines = differences(old, results(folder, None), renamed)
                shutil.rmtree(folder)
                wrong += bool(lines)
                verdict = f"{len(lines)} differ" if lines else "equal to the bit"
                print(f"{name}: {len(old)} results, {verdict} ({seconds:.0f} s)", flush=True)
                for line in lines if options.all else lines[:SHOWN]:
                    print(f"  {line}", flush=True)
    finally:
        base.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
