"""Settings without places. Oracles: paths of every kind written by hand, and names that look like
paths and are none."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from gobelin.core.files import save_arrays
from gobelin.core.stored_settings import portable
from gobelin.workbench.save.places import Places

PATHS = {
    "/home/jane/models/tiny": "tiny",
    "/home/jane/models/tiny/": "tiny",
    "  /srv/tiny": "tiny",
    "~/models/tiny": "tiny",
    "~jane/tiny": "tiny",
    "~": "",
    "~jane": "",
    "$HOME/models/tiny": "tiny",
    "${DATA}/tiny": "tiny",
    "%USERPROFILE%\\tiny": "tiny",
    "C:\\Users\\jane\\tiny": "tiny",
    "c:/Users/jane/tiny": "tiny",
    "D:models\\tiny": "tiny",
    "\\\\server\\share\\tiny": "tiny",
    "//server/share/tiny": "tiny",
    "\\Users\\jane\\tiny": "tiny",
    "file:///home/jane/tiny": "tiny",
    "file:/home/jane/tiny%20one": "tiny one",
    "FILE:///C:/jane/tiny": "tiny",
    "s3://bucket/jane/tiny": "tiny",
    "smb://server/jane/tiny": "tiny",
    "../jane/tiny": "tiny",
    "..\\jane\\tiny": "tiny",
    "./jane/tiny": "tiny",
    "models/../../jane/tiny": "tiny",
    "..": "",
    "models/..": "",
    str(Path.home()): "",
}
NO_PATHS = [
    "openai/clip-vit",
    "https://example.org/a/b",
    "a:b",
    "1/2",
    "50 %",
    "~200 rows",
    "$5",
    "and/or",
    "a.b",
    "...",
    "",
    "/",
    "text",
    "x^2",
    "3",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_cut_wherever_it_stands(path: str) -> None:
    for tree, expected in (
        (path, PATHS[path]),
        ({"a": {"b": [path, 1]}}, {"a": {"b": [PATHS[path], 1]}}),
        ([[(path,)]], [[[PATHS[path]]]]),
        ({"target": path, "settings": {"fields": path}}, None),
    ):
        cut = portable(tree)
        assert expected is None or cut == expected
        assert path not in json.dumps(cut) or path in ("~", "..")
        assert "jane" not in json.dumps(cut)


@pytest.mark.parametrize("text", NO_PATHS)
def test_what_is_no_path_stays(text: str) -> None:
    assert portable({"a": [text, None, 1.5, True]}) == {"a": [text, None, 1.5, True]}


def test_names_of_columns_and_classes_stay_whatever_they_look_like() -> None:
    names = {"/b/", "../x", "~"}
    tree = {"leave_out": ["/b/", "/home/x"], "order": ("../x", "~")}
    assert portable(tree, names) == {"leave_out": ["/b/", "x"], "order": ["../x", "~"]}


def test_nothing_is_downloaded_by_a_portable_setting() -> None:
    tree = {"encoders": {"image": {"local_only": False, "model": "a/b"}}}
    assert portable(tree) == {"encoders": {"image": {"local_only": True, "model": "a/b"}}}


def test_places_are_found_in_any_file(tmp_path: Path) -> None:
    settings = {"data": {"path": "/srv/clinic/jane/rows.csv", "root": ""}, "x": ["/opt/deep/model"]}
    places = Places(settings, tmp_path / "run")
    told = [
        "/srv/clinic/jane/rows.csv",
        "see /srv/clinic/jane/images/1.png",
        "'/opt/deep/model'",
        f"{Path.home()}/x",
        str((tmp_path / "run").resolve()),
        str(Path.cwd()),
    ]
    for k, text in enumerate(told):
        file = tmp_path / f"{k}.json"
        file.write_text(json.dumps({"a": [text]}))
        assert places.found(file), text
        header = json.dumps({"__metadata__": {"note": text}}).encode()
        arrays = tmp_path / f"{k}.safetensors"
        arrays.write_bytes(struct.pack("<Q", len(header)) + header)
        assert places.found(arrays), text
    for k, text in enumerate(("clinic/jane", "/srv/clinics/x", "x/opt/deep/models", "plain")):
        file = tmp_path / f"good-{k}.md"
        file.write_text(text)
        assert not places.found(file), text
    save_arrays(tmp_path / "good.safetensors", {"a": np.arange(3.0)})
    assert not places.found(tmp_path / "good.safetensors")


def test_a_path_of_the_settings_is_cut_where_another_file_repeats_it(tmp_path: Path) -> None:
    """A category that looks like a path is a word of the data, and stays."""
    places = Places({"a": {"model": "~/deep/tiny"}, "b": "/b/"}, tmp_path)
    stored = {"model": "~/deep/tiny", "levels": ["~/other", "/b/"], "x": [{"settings": "../y/z"}]}
    assert places.cut(stored, {"/b/"}) == {
        "model": "tiny",
        "levels": ["~/other", "/b/"],
        "x": [{"settings": "z"}],
    }
