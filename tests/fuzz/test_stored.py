"""Any settings, and any file of a run or of a saved run that somebody else sent. Oracles: what was
written, and the rule that a stranger's folder can be refused in one line and do nothing else."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import REFUSED, damaged, outcome, tries
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gobelin import Workbench
from gobelin.core import config
from gobelin.core.files import file_hash, load_arrays, mapped_arrays, save_arrays, tree_hash
from gobelin.core.stages import STAGE_FORMAT, RunFolder
from gobelin.workbench.run.settings import Settings, upgraded
from gobelin.workbench.save import saved_run

SAVED = Path(__file__).parents[1] / "golden" / "saved_run"
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(
        ["", ".", "..", "../x", "/etc/passwd", "a" * 5_000, "\0", "\ud800", "nan", "1e400"]
    ),
)
TREES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = sorted(one.name for one in config.listed(Settings))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stored")


def nested(depth: int) -> dict[str, Any]:
    tree: Any = 1
    for _ in range(depth):
        tree = {"a": tree}
    return tree


@tries(60)
@given(
    given_values=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=9), TREES, max_size=4)
)
@example(given_values={"runtime": 3, "runtime.seed": 4})
@example(given_values={"generator.settings": nested(80)})
@example(given_values={"align.base": "\ud800"})
def test_any_tree_of_settings(given_values: dict[str, Any]) -> None:
    def read_back() -> Settings:
        settings = config.build(Settings, upgraded(config.nested(given_values)))
        stored = json.loads(json.dumps(config.resolved(settings)))
        assert config.build(Settings, stored) == settings
        return settings

    outcome(read_back)


@pytest.mark.parametrize("depth", [150, 500, 3_000])
@pytest.mark.parametrize("spelled", ["groups", "dots"])
def test_deep_settings_are_refused(depth: int, spelled: str) -> None:
    values = {"schema": nested(depth)} if spelled == "groups" else {".".join("a" * depth): 1}
    assert outcome(lambda: config.build(Settings, config.nested(values))) is REFUSED


@tries(40)
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(NAMES) | st.text(max_size=9), st.text(max_size=9)), max_size=4
    )
)
@example(pairs=[(".".join("a" * 3_000), "1")])
@example(pairs=[("runtime.seed", "9" * 5_000)])
@example(pairs=[("runtime.seed", "1e999")])
def test_any_assignments(pairs: list[tuple[str, str]]) -> None:
    outcome(lambda: config.build(Settings, config.assignments(f"{a}={b}" for a, b in pairs)))


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@tries(60)
@given(
    data=st.one_of(TREES.map(as_json), damaged(st.just((SAVED / "settings.json").read_bytes()))),
    ending=st.sampled_from(["json", "toml"]),
)
@example(data=b"[" * 50_000, ending="json")
@example(data=b"a = " + b"[" * 5_000 + b"]" * 5_000, ending="toml")
@example(data=b"a" + b".a" * 5_000 + b" = 1", ending="toml")
@example(data=b'{"runtime": {"seed": ' + b"9" * 5_000 + b"}}", ending="json")
def test_any_bytes_as_a_recipe(data: bytes, ending: str, folder: Path) -> None:
    path = folder / f"recipe.{ending}"
    path.write_bytes(data)
    outcome(lambda: config.build(Settings, upgraded(config.nested(config.read(path)))))


ARRAYS = st.dictionaries(
    st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=5),
    st.builds(
        lambda kind, shape: np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind),
        st.sampled_from([np.float32, np.uint8]),
        st.lists(st.integers(1, 3), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=3,
)


@tries(30)
@given(arrays=ARRAYS)
def test_arrays_are_read_as_they_were_written(arrays: dict[str, np.ndarray], folder: Path) -> None:
    save_arrays(folder / "x.safetensors", arrays)
    for read in (load_arrays, mapped_arrays):
        found = outcome(lambda: read(folder / "x.safetensors"))  # noqa: B023
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array)


def safetensors(header: Any, data: bytes = bytes(16), more: int = 0) -> bytes:
    """A file of these bytes whose header says what it likes about them."""
    text = header if isinstance(header, bytes) else as_json(header)
    return struct.pack("<Q", min(2**64 - 1, len(text) + more)) + text + data


ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "U8", "F64", "BOOL", "", None, 3]),
        "shape": st.lists(st.sampled_from([0, 1, 2, 4, -1, 2**40, 2**63, 1.5]), max_size=3)
        | VALUES,
        "data_offsets": st.lists(st.sampled_from([0, 4, 16, 17, -4, 2**40, 2**64]), max_size=3),
    },
)
HEADERS = st.dictionaries(st.sampled_from(["x", "__metadata__", ""]), ENTRIES | TREES, max_size=3)


@tries(80)
@given(
    data=st.one_of(
        st.builds(safetensors, HEADERS | TREES, more=st.sampled_from([0, 0, -1, 1, 2**40, 2**63])),
        damaged(st.just((SAVED / "alignment" / "weights.safetensors").read_bytes()[:2_000])),
        st.binary(max_size=40),
    )
)  # fmt: skip
@example(data=safetensors({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]}}))
@example(data=safetensors(b"{" * 3_000))
@example(data=safetensors(b'{"a":' * 300 + b"1" + b"}" * 300))
def test_any_bytes_as_arrays(data: bytes, folder: Path) -> None:
    path = folder / "y.safetensors"
    path.write_bytes(data)
    outcome(lambda: load_arrays(path))
    outcome(lambda: mapped_arrays(path))


@tries(60)
@given(record=st.one_of(TREES.map(as_json), st.binary(max_size=30)))
@example(record=as_json({"key": "k", "format": STAGE_FORMAT, "hash": tree_hash(SAVED / "model")}))
@example(record=b"[" * 30_000)
@example(record=b'{"key": 1e999, "format": NaN}')
def test_any_bytes_as_the_record_of_a_stage(record: bytes, folder: Path) -> None:
    run = RunFolder(folder / "run")
    shutil.copytree(SAVED / "model", folder / "run" / "model", dirs_exist_ok=True)
    (folder / "run" / "model" / "stage.json").write_bytes(record)
    known = outcome(lambda: run.has("model", "k"))
    assert known in (True, False, REFUSED)
    outcome(lambda: run.key("model"))
    if outcome(lambda: run.checked("model")) is not REFUSED:
        assert json.loads(record)["hash"] == tree_hash(SAVED / "model")


MANIFEST = json.loads((SAVED / "manifest.json").read_text(encoding="utf-8"))


@st.composite
def manifests(draw: st.DrawFn) -> Any:
    """The manifest of the saved run with one part replaced, added or taken out."""
    manifest = json.loads(json.dumps(MANIFEST))
    place = draw(st.sampled_from(["whole", "format", "files", "name", "entry", "digest", "bytes"]))
    value = draw(TREES)
    name = draw(st.sampled_from(sorted(manifest["files"])))
    if place == "whole":
        return value
    if place in ("format", "files"):
        return manifest | {place: value}
    if place == "name":
        odd = st.sampled_from(
            ["", ".", "..", "./model", "model/", "a" * 5_000, "\0.json", "x\\y.json"]
        )
        new = draw(odd | st.text(max_size=8))
        manifest["files"][new] = manifest["files"].pop(name)
    elif place == "entry":
        manifest["files"][name] = value
    else:
        manifest["files"][name]["sha256" if place == "digest" else place] = value
    return manifest


@pytest.fixture(scope="module")
def saved(folder: Path) -> Path:
    return Path(shutil.copytree(SAVED, folder / "saved"))


@tries(60)
@given(data=st.one_of(manifests().map(as_json), damaged(st.just(as_json(MANIFEST)))))
@example(data=as_json(MANIFEST))
@example(data=as_json(MANIFEST | {"files": {**MANIFEST["files"], "": {"sha256": "", "bytes": 0}}}))
@example(data=as_json(MANIFEST).replace(b'"bytes": 5335', b'"bytes": 1e400'))
@example(data=b'{"format": 1, "files": ' + b"[" * 30_000)
def test_any_manifest(data: bytes, saved: Path) -> None:
    (saved / "manifest.json").write_bytes(data)
    names = outcome(lambda: saved_run.check(saved))
    if names is not REFUSED:
        assert set(names) == set(MANIFEST["files"])


JSON_FILES = [
    name
    for name in MANIFEST["files"]
    if name.endswith(".json") and not name.startswith(("index/", "generators/"))
]


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON tree."""
    yield path
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in items:
        yield from places(value, (*path, key))


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    tree = dict(tree) if isinstance(tree, dict) else list(tree)
    tree[path[0]] = replaced(tree[path[0]], path[1:], value)
    return tree


def sign(folder: Path) -> None:
    """Hashes and manifest as whoever changed the folder would write them."""
    for record in folder.rglob("stage.json"):
        try:
            values = json.loads(record.read_bytes())
        except ValueError:
            continue
        if isinstance(values, dict):
            record.write_bytes(as_json(values | {"hash": tree_hash(record.parent)}))
    files = {
        name: {"sha256": file_hash(folder / name), "bytes": (folder / name).stat().st_size}
        for name in MANIFEST["files"]
    }
    (folder / "manifest.json").write_bytes(as_json(MANIFEST | {"files": files}))


@pytest.fixture(scope="module")
def strangers(folder: Path) -> Path:
    return Path(shutil.copytree(SAVED, folder / "strangers"))


@tries(40)
@given(data=st.data())
def test_any_saved_run(data: st.DataObject, strangers: Path, folder: Path) -> None:
    """One value in one JSON file is another, and all hashes fit. It is opened, and predicts."""
    name = data.draw(st.sampled_from(JSON_FILES))
    before = (strangers / name).read_bytes()
    tree = json.loads(before)
    path = data.draw(st.sampled_from(list(places(tree))))
    assume(path)
    (strangers / name).write_bytes(as_json(replaced(tree, path, data.draw(TREES))))
    rows = folder / "rows.csv"
    rows.write_text("id,shape,side\n1,disc,3\n2,square,4\n", encoding="utf-8")
    try:
        sign(strangers)
        outcome(lambda: Workbench.open(strangers).predict(rows).rows())
        outcome(lambda: Workbench.open(strangers).summary())
    finally:
        (strangers / name).write_bytes(before)
