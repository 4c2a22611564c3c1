"""A component is a file: found by its name, and by nothing else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from gobelin.core import catalog
from gobelin.core.errors import GobelinError

ALL = [(slot, name) for slot in catalog.SLOTS for name in catalog.names(slot)]


@pytest.mark.parametrize("slot", catalog.SLOTS)
def test_names_are_the_files_of_the_folder(slot: str) -> None:
    folder = Path(str(importlib.import_module(catalog.SLOTS[slot]).__file__)).parent
    files = {p.stem for p in folder.glob("*.py")} | {
        p.parent.name for p in folder.glob("*/__init__.py")
    }
    assert catalog.names(slot) == sorted(f for f in files if not f.startswith("_"))


@pytest.mark.parametrize(("slot", "name"), ALL)
def test_class_has_the_name_of_its_file(slot: str, name: str) -> None:
    found = catalog.find(slot, name)
    assert found.__module__ == f"{catalog.SLOTS[slot]}.{name}"
    assert (
        found.__name__.lower() == name.replace("_", "")
        and "_" not in found.__name__
        and found.__name__[0].isupper()
    )


def test_names_in_words() -> None:
    assert [catalog.class_name(n) for n in ("copying", "nearest_copy", "generator_size")] == [
        "Copying",
        "NearestCopy",
        "GeneratorSize",
    ]


def test_unknown_slot_and_name_suggest() -> None:
    with pytest.raises(GobelinError, match="no slot 'encoder'. Did you mean 'encoders'?"):
        catalog.names("encoder")
    with pytest.raises(
        GobelinError, match="rivals: no component 'clasic'. Did you mean 'classic'?"
    ):
        catalog.find("rivals", "clasic")
    with pytest.raises(GobelinError, match="unknown setting 'view'. Did you mean 'views'?"):
        catalog.build("rivals", "classic", {"view": 3})


@pytest.mark.parametrize(
    "name",
    [
        "",
        "os",
        "../x",
        "/tmp/x",
        ".",
        "__init__",
        "antigravity",
        "gobelin.interfaces.demo",
        "concat ",
        "Concat",
        "concat.os",
    ],
)
def test_a_name_that_is_no_file_imports_nothing(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(GobelinError, match="no component"):
        catalog.build("fusion", name)
    assert set(sys.modules) == before
