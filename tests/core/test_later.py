"""Later settings in keys: absent as by default, there with another value, in every class that names
some. The keys of runs of earlier versions are held by the golden folders."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from gobelin.core import catalog
from gobelin.core.config import resolved, setting, settings_class
from gobelin.core.later import added, in_key, without_unchanged
from gobelin.workbench.run.settings import Settings


@settings_class
class Planted:
    first: int = setting(default=1, description="First.")
    second: tuple[str, ...] = setting(default=(), description="Came later.")
    third: float | None = setting(default=None, description="Came later.")

    later: ClassVar[tuple[str, ...]] = ("second", "third")


def test_a_later_setting_is_in_a_key_where_it_is_not_as_by_default() -> None:
    assert in_key(Planted()) == {"first": 1}
    assert in_key(Planted(first=2)) == {"first": 2}
    assert in_key(Planted(second=("a",))) == {"first": 1, "second": ["a"]}
    assert in_key(Planted(third=0.0)) == {"first": 1, "third": 0.0}
    stored = {"first": 1, "second": [], "of a user": 3}
    assert without_unchanged(Planted, stored) == {"first": 1, "of a user": 3}


def test_what_is_added_to_a_key() -> None:
    assert added(Planted()) == added(Planted(), "third") == added(Planted(first=3), "second") == []
    assert added(Planted(third=2.0), "second", "third") == [(), 2.0]
    assert added(Planted(first=3)) == [resolved(Planted(first=3))]


def classes() -> list[type[Any]]:
    groups = [field.default_factory for field in Settings.__dataclass_fields__.values()]
    components = [catalog.find("generators", name) for name in catalog.names("generators")]
    return [one for one in (*groups, *components) if getattr(one, "later", ())]


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_every_later_setting_is_one(cls: type[Any]) -> None:
    """A name that is no setting would leave nothing out."""
    usual = cls()
    assert set(cls.later) <= set(resolved(usual)) and not set(cls.later) & set(in_key(usual))


def test_the_key_of_data_changes_with_each_later_setting() -> None:
    usual = Settings()
    for name, value in (("least_groups", 9), ("missing", ("?",))):
        assert added(usual.data, name) == []
        assert added(replace(usual.data, **{name: value}), name) == [value]
    assert added(replace(usual.split, by="time", embargo=2.0), "purge", "embargo") == [None, 2.0]
