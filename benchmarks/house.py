"""The shape of the house: how the packages, files and calls of Gobelin lie.

python benchmarks/house.py [--no-calls]: measures the tree, and with a tiny run how many calls lie
between a verb and its mathematics; appends one line to benchmarks/results/house.jsonl. `python
benchmarks/readme.py` writes the table into docs/design.md.

Calls are counted with `sys.setprofile`: from the method of `Workbench` (0) to each function of
MATHEMATICS, through functions of gobelin; a comprehension or generator expression is no call. The
largest count of a verb is told, over the shortest way to each of its functions."""

from __future__ import annotations

import argparse
import ast
import collections
import inspect
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from record import append

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gobelin"
LINKS = {
    "Run",
    "RunData",
    "RunEncoders",
    "CheckedRows",
    "RunFeatures",
    "RunSpace",
    "RunPredictor",
    "RunGenerator",
}
GOALS: dict[str, str] = {
    "entries of src/gobelin": "at most 18",
    "levels of packages": "at most 10",
    "upward imports": "0",
    "circles of packages": "0",
    "annotations outside workbench/ that name a type of the chain": "0",
    "public classes that share a name": "0",
    "module constants that share a name": "0",
    "lines over 100 columns": "0",
    "fmt: skip": "at most 10",
    "files over 400 lines": "at most 2",
    "classes over 25 methods": "0",
    "calls from search to its mathematics": "at most 5",
    "calls from fit to its mathematics": "at most 7",
    "calls from generate to its mathematics": "at most 7",
    "calls from evaluate to its mathematics": "at most 7",
    "calls from augment to its mathematics": "at most 9",
    "calls from audit to its mathematics": "at most 9",
}


def trees() -> dict[Path, ast.Module]:
    """{file: its syntax tree}."""
    return {p: ast.parse(p.read_text(encoding="utf-8")) for p in sorted(SOURCE.rglob("*.py"))}


def packages(files: dict[Path, ast.Module]) -> dict[str, int]:
    """Levels of packages, imports of a package on a later line of PACKAGES, circles."""
    sys.path.insert(0, str(ROOT / "tests"))
    from test_architecture import PACKAGES

    names = {".".join(("gobelin", *p.relative_to(SOURCE).with_suffix("").parts)) for p in files}
    names |= {name.removesuffix(".__init__") for name in names}
    uses: dict[str, set[str]] = collections.defaultdict(set)
    upward = 0
    for path, tree in files.items():
        mine = path.relative_to(SOURCE).parts[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                found = {node.module, *(f"{node.module}.{a.name}" for a in node.names)} & names
                others = {f.split(".")[1] for f in found if "." in f} & set(PACKAGES) - {mine}
                if mine in PACKAGES:
                    uses[mine] |= others
                    upward += sum(PACKAGES.index(o) > PACKAGES.index(mine) for o in others)

    def level(name: str, path: tuple[str, ...] = ()) -> int:
        if name in path:
            raise RecursionError(name)
        return 1 + max((level(other, (*path, name)) for other in uses[name]), default=0)

    try:
        return {"levels of packages": max(map(level, PACKAGES)), "circles of packages": 0} | {
            "upward imports": upward
        }
    except RecursionError:
        return {"levels of packages": 0, "circles of packages": 1, "upward imports": upward}


def shared_names(files: dict[Path, ast.Module]) -> dict[str, list[str]]:
    """Public classes and module constants that several modules define; components of a slot have
    their file's name, so those of two slots may share it."""
    classes, constants = collections.defaultdict(set), collections.defaultdict(set)
    for path, tree in files.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                component = "".join(w.capitalize() for w in path.stem.split("_")) == node.name
                if not (component and path.parent.name in SLOTS):
                    classes[node.name].add(str(path))
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            for target in targets if isinstance(node, ast.Assign | ast.AnnAssign) else []:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and re.fullmatch("[A-Z][A-Z0-9_]+", name.id):
                        constants[name.id].add(str(path))
    return {
        "public classes that share a name": sorted(n for n, p in classes.items() if len(p) > 1),
        "module constants that share a name": sorted(n for n, p in constants.items() if len(p) > 1),
    }


SLOTS = (
    "readers",
    "media",
    "samples",
    "encoders",
    "fusion",
    "generators",
    "rivals",
    "metrics",
    "audits",
    "explainers",
)


def shape() -> tuple[dict[str, int], dict[str, list[str]]]:
    """The figures that are read off the source, and the names behind them."""
    files = trees()
    lines = {p: p.read_text(encoding="utf-8").splitlines() for p in files}
    entries = [p for p in SOURCE.iterdir() if p.name != "__pycache__" and p.name[0] != "."]
    outside = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path, tree in files.items()
        if path.relative_to(SOURCE).parts[0] != "workbench"
        for node in ast.walk(tree)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation
        if LINKS & {n.id for n in ast.walk(node.annotation) if isinstance(n, ast.Name)}
    ]
    methods = {
        node.name: sum(isinstance(n, ast.FunctionDef) for n in node.body)
        for tree in files.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    names = {
        **shared_names(files),
        "annotations outside workbench/ that name a type of the chain": outside,
        "files over 400 lines": [
            str(p.relative_to(SOURCE)) for p, text in lines.items() if len(text) > 400
        ],
        "classes over 25 methods": [n for n, k in methods.items() if k > 25],
        "lines over 100 columns": [
            f"{p.relative_to(SOURCE)}:{k}"
            for p, text in lines.items()
            for k, line in enumerate(text, 1)
            if len(line.split("  # noqa")[0].split("  # type: ignore")[0]) > 100
        ],
        "fmt: skip": [f"{p}:{k}" for p, t in lines.items() for k, x in enumerate(t) if FMT in x],
    }
    figures = {"entries of src/gobelin": len(entries), **packages(files)}
    return figures | {name: len(found) for name, found in names.items()}, names


FMT = "fmt: " + "skip"


def mathematics() -> dict[str, list[Callable[..., Any]]]:
    """{verb: the functions where its mathematics begins}."""
    from gobelin.embedding.alignment.align import Alignment
    from gobelin.embedding.search import row_search
    from gobelin.evidence import intervals
    from gobelin.networks import flow_path
    from gobelin.prediction.heads import batched
    from gobelin.privacy import registration

    return {
        "search": [row_search.nearest, Alignment.project],
        "fit": [batched.train_heads],
        "generate": [flow_path.solve],
        "evaluate": [intervals.balanced_accuracy],
        "augment": [batched.train_heads],
        "audit": [registration.fits],
    }


def calls_of(
    verb: Callable[[], object], entry: CodeType, inside: list[CodeType]
) -> dict[str, list[str]]:
    """{function: the fewest calls of gobelin that lead from the verb to it, itself the first}."""
    fewest: dict[str, list[str]] = {}

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or frame.f_code not in inside:
            return
        way, caller = [frame.f_code.co_qualname], frame.f_back
        while caller is not None and caller.f_code is not entry:
            code = caller.f_code
            if str(SOURCE) in code.co_filename and not code.co_name.endswith(("comp>", "genexpr>")):
                way.append(code.co_qualname)
            caller = caller.f_back
        if caller is not None:
            fewest[way[0]] = min(way, fewest.get(way[0], way), key=len)

    sys.setprofile(watch)
    try:
        verb()
    finally:
        sys.setprofile(None)
    return fewest


def calls() -> dict[str, int]:
    """The figures of a tiny run."""
    from gobelin import Workbench
    from gobelin.data.samples.shapes import Shapes

    settings = {
        "runtime": {"precision": "float32", "threads": 1, "device": "cpu"},
        "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
        "align": {"width": 16, "steps": 4},
        "fusion": {"settings": {"steps": 20, "components": 16}},
        "generator": {
            "name": "flow",
            "steps": 4,
            "size": 16,
            "settings": {"width": 12, "batch": 16},
        },
        "augment": {
            "seeds": 2,
            "tuning_seeds": 1,
            "ratio": (0.25,),
            "rivals": ("copies",),
            "agree": False,
            "match": False,
        },
        "judge": {"planted": 40, "metrics": ("kernel",)},
    }
    with tempfile.TemporaryDirectory() as folder:
        data = Shapes(rows=160).write(Path(folder) / "data", seed=3)
        bench = Workbench(data, "shape", Path(folder) / "run", settings)
        verbs: dict[str, Callable[[], object]] = {
            "fit": lambda: bench.fit(generator=True),
            "evaluate": bench.evaluate,
            "search": lambda: bench.search(3, text="a red circle"),
            "generate": lambda: bench.generate(seeds=range(2), label="circle"),
            "audit": bench.audit,
            "augment": bench.augment,
        }
        figures, functions = {}, mathematics()
        for verb, work in verbs.items():
            codes = [inspect.unwrap(f).__code__ for f in functions[verb]]
            found = calls_of(work, getattr(Workbench, verb).__code__, codes)
            if len(found) < len(codes):
                raise SystemExit(f"{verb}: {codes} were called {found}")
            longest = max(found.values(), key=len)
            figures[f"calls from {verb} to its mathematics"] = len(longest)
            print(f"{verb} > {' > '.join(reversed(longest))}")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-calls", action="store_true", help="the tree alone, without a run")
    arguments = parser.parse_args()
    figures, names = shape()
    figures |= {} if arguments.no_calls else calls()
    for name, value in figures.items():
        print(f"{name}: {value} (goal: {GOALS[name]})", *names.get(name, [])[:8])
    if not arguments.no_calls:
        append("house", {"name": "house", **figures})


if __name__ == "__main__":
    main()
