"""Every place that parses JSON inside another file. Oracle: texts that are just beyond a limit, and
what the place does with a text that is none of its own."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from PIL import Image, PngImagePlugin

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.files import load_arrays, mapped_arrays
from gobelin.core.parse import MOST_DEPTH
from gobelin.core.weights import config_of
from gobelin.data.provenance.marks import read_lineage, records
from gobelin.networks.training.checkpoint import read_checkpoint, write_checkpoint
from gobelin.prediction import estimators

DEEP = '{"a":' * (MOST_DEPTH + 1) + "1" + "}" * (MOST_DEPTH + 1)
STRANGE = [DEEP, "[" * 50_000, '{"a": 1, "a": 2}', '{"a": 1e400}', "9" * 5000, "{", '"\\ud800"']


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: text[:12])
def test_a_strange_text_is_none_of_ours_or_one_line(text: str, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("gobelin", text)
    Image.new("L", (2, 2)).save(tmp_path / "x.png", pnginfo=info)
    assert read_lineage(tmp_path / "x.png") is None
    with pytest.raises(GobelinError, match="row 1, column 'gobelin_lineage'"):
        records(["", text], "gobelin_lineage")
    (tmp_path / "x.jsonl").write_text('{"b": 1}\n' + text + "\n")
    with pytest.raises(GobelinError, match=r"x\.jsonl, line 2: (is not JSON|an object)") as caught:
        catalog.build("readers", "jsonl").read(tmp_path / "x.jsonl")
    assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(GobelinError, match=r"config\.json is missing or damaged \(") as caught:
        config_of(tmp_path, 1)
    assert "\n" not in str(caught.value)
    built = estimators.build("LogisticRegression", False, {"penalty": text}, 0)
    assert built.penalty == text  # no JSON within the limits: a word


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: text[:12])
def test_a_strange_header_of_arrays_is_one_line(text: str, tmp_path: Path) -> None:
    header = text.encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    for read in (load_arrays, mapped_arrays):
        with pytest.raises(GobelinError, match="can't be read as safetensors") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tree", [*STRANGE, "[]", "null", '{"identity": "a"}', '{"identity": 1}'])
def test_a_strange_checkpoint_is_one_line(tree: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, "a", {"step": 3, "w": torch.arange(3.0)})
    state = read_checkpoint(path, "a")
    assert state is not None and state["step"] == 3 and read_checkpoint(path, "b") is None
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"]["tree"] = tree
    changed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + raw[8 + length :])
    if tree == '{"identity": 1}':
        assert read_checkpoint(path, "a") is None  # of another training
        return
    with pytest.raises(GobelinError, match="is damaged") as caught:
        read_checkpoint(path, "a")
    assert "\n" not in str(caught.value)
