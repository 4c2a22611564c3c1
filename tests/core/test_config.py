"""Settings: what is accepted becomes exactly what was said; everything else is named, all of it at
once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import pytest

from gobelin.core import config
from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError


@settings_class
class Inner:
    rate: float = 0.1
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate = {self.rate} must not be negative")


@settings_class
class Outer:
    steps: int = 3
    quick: bool = False
    title: str = ""
    decay: float | None = None
    mode: Literal["near", "far"] = "near"
    inner: Inner = field(default_factory=Inner)
    kinds: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    free: Mapping[str, Any] = field(default_factory=dict)


def refusal(values: Mapping[str, Any]) -> list[str]:
    with pytest.raises(GobelinError) as caught:
        config.build(Outer, values, "run")
    return str(caught.value).split("\n")


def test_unknown_key_names_the_nearest() -> None:
    assert refusal({"stepps": 1}) == ["run: unknown setting 'stepps'. Did you mean 'steps'?"]
    assert "Known: decay, fields, free" in refusal({"zzzzzz": 1})[0]
    assert refusal({"inner": {"rat": 1}}) == [
        "run.inner: unknown setting 'rat'. Did you mean 'rate'?"
    ]


def test_all_mistakes_at_once() -> None:
    lines = refusal(
        {
            "stepps": 1,
            "steps": "many",
            "quick": "perhaps",
            "inner": {"rate": "x", "sizes": "1,b"},
            "mode": "off",
            "kinds": 3,
        }
    )
    assert lines == [
        "run.steps: a whole number was expected, found 'many'.",
        "run.quick: true or false was expected, found 'perhaps'.",
        "run.mode: one of near, far was expected, found 'off'.",
        "run.inner.rate: a number was expected, found 'x'.",
        "run.inner.sizes: a whole number was expected, found 'b'.",
        "run.kinds: is a group of settings, found 3. Set kinds.NAME=VALUE.",
        "run: unknown setting 'stepps'. Did you mean 'steps'?",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"steps": "7"}, {"steps": 7}),
        ({"steps": 7.0}, {"steps": 7}),
        ({"steps": 2**62 + 1}, {"steps": 2**62 + 1}),
        ({"steps": str(2**62 + 1)}, {"steps": 2**62 + 1}),
        ({"quick": "True"}, {"quick": True}),
        ({"title": 3}, {"title": "3"}),
        ({"decay": None}, {"decay": None}),
        ({"decay": "1e-3"}, {"decay": 0.001}),
        ({"mode": "far"}, {"mode": "far"}),
        ({"inner": {"names": "a, b"}}, {"inner": Inner(names=("a", "b"))}),
        ({"inner": {"names": "a, "}}, {"inner": Inner(names=("a",))}),
        ({"inner": {"names": ""}}, {"inner": Inner(names=())}),
        ({"inner": {"names": ["a,b"]}}, {"inner": Inner(names=("a,b",))}),
        ({"inner": {"sizes": 4}}, {"inner": Inner(sizes=(4,))}),
        ({"inner": Inner(0.5)}, {"inner": Inner(0.5)}),
        ({"kinds": {"a": "id"}}, {"kinds": {"a": "id"}}),
        ({"fields": {"f": "a,b"}}, {"fields": {"f": ("a", "b")}}),
        ({"free": {"x": [1]}}, {"free": {"x": [1]}}),
    ],
)
def test_values_become_the_annotated_type(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert config.build(Outer, values) == Outer(**expected)


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 1.5},
        {"steps": True},
        {"steps": "nan"},
        {"steps": "inf"},
        {"steps": None},
        {"quick": 1},
        {"quick": "yes"},
        {"title": ["a"]},
        {"decay": "x"},
        {"inner": "x"},
        {"inner": {"sizes": (1.5,)}},
        {"inner": {"rate": -1}},
        {"fields": "a"},
        {"kinds": {"a": []}},
    ],
)
def test_other_types_are_refused_in_one_line(values: dict[str, Any]) -> None:
    line = refusal(values)
    assert len(line) == 1 and line[0].startswith(f"run.{next(iter(values))}")


def test_assignments_are_nested_mappings_of_strings() -> None:
    assert config.assignments(["a.b=1", "a.c = x=y", "d=", "a.b=2"]) == {
        "a": {"b": "2", "c": "x=y"},
        "d": "",
    }
    for wrong in ("a", "=1", " =1"):
        with pytest.raises(GobelinError, match="NAME=VALUE was expected"):
            config.assignments([wrong])


def test_merge_goes_group_by_group_and_changes_neither() -> None:
    base, over = {"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"c": 3}, "d": {"e": 1}}
    assert config.merge(base, over) == {"a": {"b": 1, "c": 3}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 1} and over == {"a": {"c": 3}, "d": {"e": 1}}


def test_recipes_in_both_formats_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('steps = 5\n[inner]\nnames = ["ä"]\n', encoding="utf-8")
    (tmp_path / "r.json").write_text('{"steps": 5, "inner": {"names": ["ä"]}}', encoding="utf-8")
    toml, other = (config.build(Outer, config.read(tmp_path / f"r.{s}")) for s in ("toml", "json"))
    assert toml == other == Outer(steps=5, inner=Inner(names=("ä",)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.toml", b"steps = ", "can't be read as TOML"),
        ("r.json", b'{"steps": 1', "can't be read as JSON"),
        ("r.json", b"[1]", "groups of settings were expected, found list"),
        ("r.toml", b"a = '\xff'", "can't be read as TOML"),
        ("r.toml", None, "no such recipe"),
    ],
)
def test_recipe_that_cant_be_read(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(GobelinError, match=message) as caught:
        config.read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_resolved_settings_build_the_same_again() -> None:
    made = Outer(
        2**62 + 1,
        True,
        "ä",
        1e-17,
        "far",
        Inner(0.3, ("a", "b"), (7,)),
        {"x": "id"},
        {"f": ("a",)},
        {"y": 1},
    )
    assert config.build(Outer, json.loads(json.dumps(config.resolved(made)))) == made
