"""A component is a file: found by its name, and by nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
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


@pytest.mark.parametrize(("slot", "name"), ALL)
def test_what_a_file_says_is_what_its_class_has(slot: str, name: str) -> None:
    """Second implementation: the component, imported."""
    component = catalog.find(slot, name)
    first = str(sys.modules[component.__module__].__doc__).strip().splitlines()[0]
    assert catalog.described(slot, name)["what"] == first
    for attribute in ("accepts", "batchable", "cost", "default", "flag", "kinds", "licence"):
        expected = getattr(component, attribute, "none")
        assert catalog.declared(slot, name, attribute, "none") == expected


PLANTED = {
    "__init__.py": "raise AssertionError('the contract is imported')",
    "literal.py": "'Says.\\n\\nMore.'\nassert False\nclass Literal:\n    flag: str = 'a'\n",
    "folder/__init__.py": "'Says too.'\nassert False\nclass Folder:\n    flag: str = 'b'\n",
    "strange_letters.py": (
        "# -*- coding: latin-1 -*-\n'Stra\u00dfe.'\nassert False\nclass StrangeLetters:\n"
        "    class Flag:\n        flag: str = 'wrong'\n    flag: tuple = (1, 'c')\n"
    ),
    "_hidden.py": "assert False",
}
COMPUTED = {
    "__init__.py": "",
    "inherits.py": "class Above:\n    flag = 'd'\nclass Inherits(Above):\n    pass\n",
    "computes.py": "class Computes:\n    flag: str = 'e' + 'f'\n",
    "annotated.py": "class Annotated:\n    flag: str\nAnnotated.flag = 'g'\n",
    "without.py": "class Without:\n    pass\n",
}


@pytest.fixture
def planted(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """A slot with these files; {name: flag}."""
    home = f"planted_{request.param}"
    for name, text in {"literal": PLANTED, "computed": COMPUTED}[request.param].items():
        path = tmp_path / home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(catalog.SLOTS, "planted", home)
    yield {n: catalog.declared("planted", n, "flag", "none") for n in catalog.names("planted")}
    catalog._files.cache_clear()
    catalog._tree.cache_clear()


@pytest.mark.parametrize("planted", ["literal"], indirect=True)
def test_literals_are_read_and_nothing_is_imported(planted: dict[str, str]) -> None:
    assert planted == {"folder": "b", "literal": "a", "strange_letters": (1, "c")}
    said = {name: catalog.described("planted", name)["what"] for name in planted}
    assert said == {"folder": "Says too.", "literal": "Says.", "strange_letters": "Stra\u00dfe."}
    assert not [name for name in sys.modules if name.startswith("planted_literal")]


@pytest.mark.parametrize("planted", ["computed"], indirect=True)
def test_what_is_no_literal_is_taken_from_the_class(planted: dict[str, str]) -> None:
    assert planted == {"annotated": "g", "computes": "ef", "inherits": "d", "without": "none"}


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
