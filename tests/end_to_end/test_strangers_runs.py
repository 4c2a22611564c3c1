"""Run folders of strangers whose files hold what no Gobelin writes. Oracle: the promise that a
mistake is one line and exit code 2, whatever stands in a file. Hashes are made to match, so that
each file is really read."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gobelin.core.files import file_hash, tree_hash
from gobelin.interfaces.cli import main

GOLDEN = Path(__file__).parents[1] / "golden"
DEEP = "[" * 100_000 + "]" * 100_000
TEXTS = {
    "deep": '{"settings": {"a": ' + DEEP + "}}",
    "list": "[]",
    "infinite": '{"format": 1e400, "bytes": 1e400}',
}
SHOW, REPORT = ("show",), ("report",)
PREDICT, GENERATE = ("predict",), ("generate", "-n", "1", "--text", "a red circle")
RUN_FILES = {  # file -> the command that reads it
    "schema.json": SHOW,
    "findings.jsonl": SHOW,
    "environment.json": REPORT,
    "verbs/check/findings.jsonl": REPORT,
    "verbs/check/exhibits.jsonl": REPORT,
    "verbs/check/classes.json": REPORT,
}
SAVED_FILES = {
    "settings.json": SHOW,
    "schema.json": SHOW,
    "findings.jsonl": SHOW,
    "model/stage.json": PREDICT,
    "model/config.json": PREDICT,
    "model/model.json": PREDICT,
    "encoders/table/config.json": PREDICT,
    "encoders/caption/config.json": PREDICT,
    "encoders/image/config.json": GENERATE,
    "alignment/config.json": GENERATE,
    "generators/flow-0/config.json": GENERATE,
    "generators/flow-0/space.json": GENERATE,
}


def put(folder: Path, name: str, text: str | bytes) -> None:
    """Write the text, and let the hashes of the stage and of the manifest match."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    stage = next((p / "stage.json" for p in path.parents if (p / "stage.json").is_file()), None)
    if stage is not None and stage != path and folder in stage.parents:
        record = json.loads(stage.read_text())
        stage.write_text(json.dumps(record | {"hash": tree_hash(stage.parent)}))
    manifest = folder / "manifest.json"
    if manifest.is_file():
        said = json.loads(manifest.read_text())
        for listed in said["files"]:
            file = folder / listed
            said["files"][listed] = {"sha256": file_hash(file), "bytes": file.stat().st_size}
        manifest.write_text(json.dumps(said))


def outcome(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """'' for success, else the one line on the error stream; anything else fails."""
    try:
        main([str(word) for word in words])
    except SystemExit as error:
        said = capsys.readouterr().err
        assert error.code == 2 and "Traceback" not in said
        lines = re.sub(r"(?<=[^.])\n", " ", said.strip())
        assert 0 < len(lines) < 1500, said[:300]
        return said
    capsys.readouterr()
    return ""


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize(
    ("golden", "files"), [("run_folder", RUN_FILES), ("saved_run", SAVED_FILES)]
)
def test_a_strangers_file_is_used_or_refused_in_one_line(
    golden: str,
    files: dict[str, tuple[str, ...]],
    kind: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(GOLDEN / golden, tmp_path / "run")
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    new = tmp_path / "new.csv"
    new.write_text("caption,side\na red circle,3\n")
    more = {
        "predict": (new, "--out", tmp_path / "out.csv"),
        "generate": ("--out", tmp_path / "made"),
    }
    whole = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for name, (command, *rest) in files.items():
        for path, content in whole.items():
            path.write_bytes(content)
        put(folder, name, TEXTS[kind])
        told = outcome(capsys, command, folder, *rest, *more.get(command, ()))
        # the page says which exhibit it can't draw
        assert told or command == "report", name
        # nothing makes a file of a saved run again
        assert golden == "run_folder" or "Delete it" not in told, told


MODELS: dict[str, Callable[[dict[str, Any]], object]] = {
    "one class less": lambda m: m["classes"].pop(),
    "one class more": lambda m: m["classes"].append("x"),
    "classes are objects": lambda m: m.update(classes=[{"x": 1}, 2, []]),
    "a field less": lambda m: m["fields"].pop(),
    "a bound is deeper": lambda m: m["calibration"].update(bound=[[[1]]] * 9),
    "a bound is short": lambda m: m["calibration"]["bound"].pop(),
    "no temperature": lambda m: m["calibration"]["temperature"].__setitem__(0, 0),
    "a negative temperature": lambda m: m["calibration"]["temperature"].__setitem__(-1, -2.0),
    "temperatures are texts": lambda m: m["calibration"].update(temperature=["a", "b"]),
    "a temperature that is no number": lambda m: m["calibration"]["temperature"].__setitem__(
        0, float("nan")
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_whose_parts_do_not_fit_is_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(GOLDEN / "saved_run", tmp_path / "run")
    model = json.loads((folder / "model" / "model.json").read_text())
    MODELS[kind](model)
    put(folder, "model/model.json", json.dumps(model))
    new = tmp_path / "new.csv"
    new.write_text("caption,side\na red circle,3\n")
    assert outcome(capsys, "predict", folder, new, "--out", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_a_strangers_recipe_is_one_line(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / f"recipe.{suffix}"
    recipe.write_text(DEEP if suffix == "json" else f"a = {DEEP}")
    words = ["fit", "x.csv", "--target", "y", "--run", tmp_path / "run", "--recipe", recipe]
    assert "levels deep" in outcome(capsys, *words)
    deep = ["fit", "x.csv", "--target", "y", "--set", ".".join("a" * 5000) + "=1"]
    assert "levels deep" in outcome(capsys, *deep)


MANIFESTS = {
    "empty name": {"": {"sha256": "", "bytes": 0}},
    "dot": {".": {"sha256": "", "bytes": 0}},
    "two dots": {"..": {"sha256": "", "bytes": 0}},
    "inner dot": {"model/./config.json": {"sha256": "", "bytes": 0}},
    "double slash": {"model//config.json": {"sha256": "", "bytes": 0}},
    "end slash": {"model/": {"sha256": "", "bytes": 0}},
    "long name": {"a" * 5000 + ".json": {"sha256": "", "bytes": 0}},
    "long path": {"/".join(["a" * 100] * 60) + ".json": {"sha256": "", "bytes": 0}},
    "zero byte": {"a\0.json": {"sha256": "", "bytes": 0}},
    "line break": {"a\n.json": {"sha256": "", "bytes": 0}},
    "drive": {"C:x.json": {"sha256": "", "bytes": 0}},
    "absolute": {"/etc/x.json": {"sha256": "", "bytes": 0}},
    "backslash": {"a\\..\\x.json": {"sha256": "", "bytes": 0}},
    "infinite": '{"settings.json": {"sha256": "", "bytes": 1e400}}',
    "no number": {"settings.json": {"sha256": "", "bytes": "NaN"}},
    "truth": {"settings.json": {"sha256": "", "bytes": True}},
    "negative": {"settings.json": {"sha256": "", "bytes": -1}},
    "fraction": {"settings.json": {"sha256": "", "bytes": 1.5}},
    "no hash": {"settings.json": {"sha256": 3, "bytes": 1}},
    "no entry": {"settings.json": None},
    "a list": [],
    "a folder": {"model.json": {"sha256": "", "bytes": 0}},
}


@pytest.mark.parametrize("files", MANIFESTS.values(), ids=MANIFESTS)
def test_a_strangers_manifest_is_one_line(
    files: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(GOLDEN / "saved_run", tmp_path / "saved")
    (folder / "model.json").mkdir()
    said = json.loads((folder / "manifest.json").read_text())
    whole, text = said["files"], files if isinstance(files, str) else json.dumps(files)
    if text.startswith("{"):  # beside the files that are needed
        kept = {k: v for k, v in whole.items() if k not in json.loads(text)}
        text = json.dumps(kept)[:-1] + ", " + text[1:]
    head = json.dumps(said | {"files": 0})
    (folder / "manifest.json").write_text(head.replace('"files": 0', f'"files": {text}'))
    told = outcome(capsys, "show", folder)
    assert told and len(told.strip().splitlines()) <= 4
