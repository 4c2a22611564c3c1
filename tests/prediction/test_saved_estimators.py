"""Archives of estimators. Oracles: a file that a command would write and a folder that it would
remove (the library itself, told to trust the archive, runs the command); the list of types computed
a second time; the estimators' own answers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_types
import skops.io
from sklearn.linear_model import LogisticRegression

from gobelin.core.errors import GobelinError
from gobelin.prediction import saved_estimators

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
UTILITIES = "numpy.testing._private.utils"
COUNTER = iter(range(1, 10**9))


def node(loader: str, name: str, content: Any = None, **more: Any) -> dict[str, Any]:
    module, _, last = name.rpartition(".")
    out = {"__loader__": loader, "__module__": module, "__class__": last, "__id__": next(COUNTER)}
    return out | ({} if content is None else {"content": content}) | more


def text(value: object) -> dict[str, Any]:
    return node("JsonNode", "builtins.str", json.dumps(value), is_json=True)


def mapping(key_type: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    key_type = key_type or node("TypeNode", "builtins.str")
    types = node("ListNode", "builtins.list", [key_type for _ in values])
    return node("DictNode", "builtins.dict", values, key_types=types)


def called(function: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    """A node that calls the function as if it were a constructor."""
    return node(
        "ConstructorFromReduceNode", function, node("TupleNode", "builtins.tuple", arguments)
    )


def packed(path: Path, schema: object, compression: int = STORED, **files: bytes) -> Path:
    raw = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("schema.json", raw)
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def archive(path: Path, held: dict[str, Any], protocol: object = 2) -> Path:
    return packed(path, mapping(member=held) | {"protocol": protocol, "_skops_version": "0.16.0"})


def refused(path: Path) -> str:
    with pytest.raises(GobelinError) as caught:
        saved_estimators.load(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def writes(canary: Path) -> str:
    return f"__import__('pathlib').Path({str(canary)!r}).touch()"


def runs(canary: Path) -> dict[str, Any]:
    return called(f"{UTILITIES}.runstring", text(writes(canary)), mapping())


def saves(canary: Path) -> dict[str, Any]:
    return called(
        "numpy.savetxt", text(str(canary)), node("ListNode", "builtins.list", [text(1.0)])
    )


def evaluates(canary: Path) -> dict[str, Any]:
    return called("numpy.f2py.crackfortran.myeval", text(f"float({writes(canary)})"), mapping())


def as_key_type(canary: Path) -> dict[str, Any]:
    """The type of a key is called with the key; this type is a function."""
    function = node("FunctionNode", f"{UTILITIES}.measure")
    return mapping(function, **{writes(canary): text(1)})


def renamed_partial(canary: Path) -> dict[str, Any]:
    """A partial is made whatever class it claims; as the type of a key it is called."""
    function = node("FunctionNode", f"{UTILITIES}.measure")
    parts = {
        "func": function,
        "args": node("TupleNode", "builtins.tuple", []),
        "kwds": mapping(),
        "namespace": mapping(),
    }
    return mapping(node("PartialNode", "numpy.partial", parts), **{writes(canary): text(1)})


def removes(canary: Path) -> dict[str, Any]:
    """scikit-learn's own function that removes a folder."""
    return called("sklearn.datasets._base.clear_data_home", text(str(canary.parent / "kept")))


def as_loss(canary: Path) -> dict[str, Any]:
    """A loss is made by whatever function its names give."""
    arguments = node("TupleNode", "builtins.tuple", [text(writes(canary)), mapping()])
    reduced = {"__reduce__": {"args": arguments}}
    return node("LossNode", f"{UTILITIES}.runstring", mapping(), **reduced)


@pytest.mark.parametrize(
    "attack", [runs, saves, evaluates, as_key_type, renamed_partial, removes, as_loss]
)
def test_no_node_calls_anything(attack: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    canary, kept = tmp_path / "canary", tmp_path / "kept"
    kept.mkdir()
    path = archive(tmp_path / "panel.skops", attack(canary))
    assert "It isn't opened" in refused(path)
    assert not canary.exists() and kept.is_dir()
    # the same archive, opened as it was before: all types below numpy and scikit-learn are trusted
    trusted = skops.io.get_untrusted_types(file=path)
    assert all(t.startswith(("sklearn.", "numpy.")) for t in trusted)
    try:
        skops.io.load(path, trusted=trusted)
    except Exception as error:
        print(error)
    assert canary.exists() or not kept.exists()


@pytest.mark.parametrize(
    "held",
    [
        called("os.system", text("true")),
        called("operator.methodcaller", text("x")),
        called("functools.partial", text("x")),
        called("scipy._lib._util.MapWrapper", text(1)),
        called("sklearn.ensemble._forest.RandomForestClassifier", text(1)),
        node("OperatorFuncNode", "operator.methodcaller", attrs=text("x")),
        node("MethodNode", "builtins.str", {"func": "format", "obj": text("x")}),
        node("TypeNode", "subprocess.Popen"),
        node("FunctionNode", "builtins.eval"),
        node("FunctionNode", "numpy.load"),
        node("ObjectNode", "numpy.memmap"),
        node("ObjectNode", "sklearn.ensemble._forest.RandomForestClassifier.fit"),
        node("ListNode", "sklearn.datasets._base.clear_data_home", []),
        node("CachedNode", "builtins.str"),
        node("DefaultDictNode", "collections.defaultdict", {"main": mapping()}),
        node("BytesNode", "builtins.bytes", file="schema.json"),
        node(["JsonNode"], "builtins.str", "1"),  # type: ignore[arg-type]
    ],
    ids=lambda held: f"{held['__loader__']}-{held['__class__']}",
)
def test_every_node_that_no_estimator_needs_is_refused(held: dict, tmp_path: Path) -> None:
    assert "no fitted estimator" in refused(archive(tmp_path / "panel.skops", held))
    deep = held
    for _ in range(9):
        deep = node("ListNode", "builtins.list", [text(0), mapping(inner=deep)])
    assert "no fitted estimator" in refused(archive(tmp_path / "deep.skops", deep))


def test_two_readers_of_one_schema_see_the_same(tmp_path: Path) -> None:
    """Equal keys, equal files and older protocols: each could show the library another tree than
    it shows the check."""
    good = json.dumps(mapping(member=text(1)) | {"protocol": 2})
    bad = json.dumps(text(1)).replace('"JsonNode"', '"JsonNode", "__loader__": "FunctionNode"')
    twice = good.replace(json.dumps(text(1))[:30], bad[:60]).replace('"is_json"', '"content"')
    assert "appears twice" in refused(packed(tmp_path / "keys.skops", twice.encode()))
    for protocol in (0, 1, 3, True, None, "2", [2]):
        assert "another version" in refused(archive(tmp_path / "p.skops", text(1), protocol))
    with zipfile.ZipFile(tmp_path / "files.skops", "w") as file, pytest.warns(UserWarning):
        file.writestr("schema.json", good)
        file.writestr("schema.json", good)
    assert "there twice" in refused(tmp_path / "files.skops")
    same = mapping(member=text(1))
    same["content"]["member"]["__id__"] = same["__id__"]  # a circle
    assert saved_estimators_open(packed(tmp_path / "circle.skops", same | {"protocol": 2}))


def saved_estimators_open(path: Path) -> bool:
    """Whether it is opened, or refused with one line."""
    try:
        return isinstance(saved_estimators.load(path), dict)
    except GobelinError as error:
        return "\n" not in str(error)


@pytest.mark.parametrize(
    "name", ["../outside.npy", "/etc/x.npy", "a\\b.npy", "x.pkl", "x.py", "C:1.npy"]
)
def test_files_with_strange_names_are_refused(name: str, tmp_path: Path) -> None:
    path = packed(tmp_path / "p.skops", {}, **{name: b"x"})
    assert "has a file" in refused(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.skops"]


def test_nothing_unpacks_to_more_than_its_size(tmp_path: Path) -> None:
    good = json.dumps(mapping(member=text(1)) | {"protocol": 2}).encode()
    spaces = packed(tmp_path / "bomb.skops", good + b" " * 10_000_000, DEFLATED)
    assert spaces.stat().st_size < 20_000 and "is compressed" in refused(spaces)
    inner = packed(tmp_path / "inner.skops", good, STORED, **{"1.npy": b"x" * 5000})
    raw = bytearray(inner.read_bytes())
    # the directory says that a file is longer than the archive
    raw = raw.replace((5000).to_bytes(4, "little"), (50_000_000).to_bytes(4, "little"))
    (tmp_path / "claim.skops").write_bytes(raw)
    assert "missing or damaged" in refused(tmp_path / "claim.skops")
    for depth in (150, 100_000):
        nested = b'{"protocol": 2, "a": ' + b"[" * depth + b"]" * depth + b"}"
        assert "levels deep" in refused(packed(tmp_path / "deep.skops", nested))
    within = node("JsonNode", "builtins.str", "[" * 100_000)
    assert "missing or damaged" in refused(archive(tmp_path / "within.skops", within))
    claim = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        claim, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    )
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="1.npy")
    schema = mapping(member=array) | {"protocol": 2}
    path = packed(tmp_path / "array.skops", schema, STORED, **{"1.npy": claim.getvalue()})
    assert "missing or damaged" in refused(path)
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    path = packed(tmp_path / "pickle.skops", schema, STORED, **{"1.npy": pickled.getvalue()})
    assert "missing or damaged" in refused(path)


@pytest.mark.parametrize("schema", [b"", b"[]", b"null", b"{", b'"x"', b'{"protocol": 2}', b"\xff"])
def test_no_schema_is_one_line(schema: bytes, tmp_path: Path) -> None:
    assert "missing or damaged" in refused(packed(tmp_path / "p.skops", schema))


class Stranger:
    """No part of scikit-learn."""


def test_what_could_not_be_opened_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "panel.skops"
    for held in (Stranger(), {"a": np.load}, [Stranger], LogisticRegression(C=Stranger())):
        with pytest.raises(GobelinError, match="can't be saved as data"):
            saved_estimators.save(path, {"a": held})
    assert not path.exists()
    saved_estimators.save(path, {"a": np.arange(3), "b": LogisticRegression()})
    assert saved_estimators.load(path)["a"].tolist() == [0, 1, 2]
    (tmp_path / "cut.skops").write_bytes(path.read_bytes()[:200])
    for name in ("cut.skops", "none.skops"):
        assert "missing or damaged" in refused(tmp_path / name)


def test_the_list_is_what_saving_writes() -> None:
    """Of every estimator with its defaults; the list was made with their other settings too."""
    listed = saved_estimators.saved_types()
    assert saved_types.found(others=False) <= listed
    calls = (
        "Function",
        "Method",
        "Partial",
        "Operator",
        "ConstructorFromReduce",
        "Cached",
        "Bytes",
    )
    assert not [kind for kind in listed if kind.startswith(calls)]
