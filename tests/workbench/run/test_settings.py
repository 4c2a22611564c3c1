"""Every settings class: each field is described, and what is written is read back the same.

Oracle: the types of the fields. Values are drawn from them at random."""

from __future__ import annotations

import csv
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gobelin import Workbench
from gobelin.augmentation.settings import Augment
from gobelin.core import catalog, config
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.workbench.augment.generators import study_key
from gobelin.workbench.run.settings import VERSION, Settings, group, recorded, upgraded

GROUPS = {name: field.default_factory for name, field in Settings.__dataclass_fields__.items()}
CLASSES: dict[str, Any] = {
    name: cls for name, cls in GROUPS.items() if hasattr(cls, "__pydantic_fields__")
}
CLASSES |= {
    f"{slot}.{name}": catalog.find(slot, name)
    for slot in catalog.SLOTS
    for name in catalog.names(slot)
}


def limits_of(metadata: typing.Iterable[object]) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "min_length", "max_length")
    return {n: getattr(m, n) for m in metadata for n in names if hasattr(m, n)}


def drawn(hint: Any, limits: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a field's type within its limits."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        more = [m for a in arguments[1:] for m in getattr(a, "metadata", None) or [a]]
        return drawn(arguments[0], {**limits, **limits_of(more)})
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(drawn(a, limits) for a in arguments))
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        sizes = {"min_size": limits.get("min_length", 0), "max_size": limits.get("max_length", 4)}
        return st.lists(drawn(arguments[0], {}), unique=not limits.get("max_length"), **sizes).map(
            tuple
        )
    if origin is Mapping:
        values = drawn(arguments[1], {})
        return st.dictionaries(st.text(max_size=4), values, max_size=0 if values is EMPTY else 3)
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(-(2**63) if low is None else low, 2**63 if high is None else high)
    if hint is float:
        ends = {"exclude_min": "gt" in limits, "exclude_max": "lt" in limits}
        return st.floats(low, high, allow_nan=False, allow_infinity=False, **ends)
    if hint is str:
        return st.text(max_size=6)
    if hint is type(None):
        return st.none()
    if hasattr(hint, "__pydantic_fields__"):
        return st.just(hint())
    return EMPTY


EMPTY: st.SearchStrategy[Any] = st.nothing()


@pytest.mark.parametrize("name", sorted(CLASSES))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_written_is_read_back_the_same(name: str, data: st.DataObject) -> None:
    cls = CLASSES[name]
    fields = config._checked(cls).__pydantic_fields__  # noqa: SLF001
    varied = data.draw(st.sets(st.sampled_from(sorted(fields)), max_size=3)) if fields else set()
    values = {
        f: data.draw(drawn(fields[f].annotation, limits_of(fields[f].metadata))) for f in varied
    }
    try:
        before = config.build(cls, values)
    except GobelinError:
        assume(False)  # a rule between several fields
    stored = json.loads(json.dumps(config.resolved(before)))
    assert config.build(cls, stored) == before
    words = {f: str(v) for f, v in stored.items() if isinstance(v, bool | int | float)}
    assert config.build(cls, {**stored, **words}) == before


@pytest.mark.parametrize("name", ["settings", *sorted(CLASSES)])
def test_each_setting_has_one_line_of_meaning(name: str) -> None:
    for one in config.listed(CLASSES.get(name, Settings), name):
        assert 8 <= len(one.meaning) <= 100 and one.meaning.endswith("."), one
        assert one.takes and "a value" not in one.takes, one


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_settings_of_a_group_are_where_it_says(name: str) -> None:
    """A run holds the settings of a group or component below the name that stands before them."""
    prefix, cls = group(name)
    assert cls is CLASSES[name]
    slot, _, component = name.partition(".")
    chosen: dict[str, Any] = {
        "encoders": {f"{prefix}.name": component},
        "fusion": {"fusion.name": component},
        "generators": {"generator.name": component},
        "rivals": {"augment.rivals": component},
    }
    defaults = config.resolved(cls())
    if not prefix:  # only Python sets these
        assert component and slot not in chosen
    if not prefix or not defaults:
        return
    own = {s.name: s.name.removeprefix(f"{prefix}.") for s in config.listed(cls, prefix)}
    assert all(given != plain for given, plain in own.items())
    given = {f"{prefix}.{key}": value for key, value in defaults.items()}
    given |= chosen.get(slot, {}) if component else {}
    stored = config.resolved(config.build(Settings, config.nested(given)).completed())
    for part in prefix.split("."):
        stored = stored[part]
    assert defaults.keys() <= stored.keys()


def test_all_settings_together_are_read_back_the_same() -> None:
    before = Settings().completed()
    assert config.build(Settings, upgraded(json.loads(json.dumps(recorded(before))))) == before


@pytest.mark.parametrize("version", [VERSION + 1, 0, "2", None])
def test_a_version_from_the_future_is_refused(version: object) -> None:
    assert upgraded({"runtime": {}}) == upgraded({"version": VERSION, "runtime": {}})
    with pytest.raises(GobelinError, match="settings.version: .* newer Gobelin"):
        upgraded({"version": version})


def test_the_version_enters_no_key(tmp_path: Path) -> None:
    """A run of version 1, without the word, opens with the same keys and makes nothing anew."""
    with (tmp_path / "d.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [[f"a thing number {k}", k % 7, "ab"[k % 2]] for k in range(60)]
        csv.writer(file).writerows([["caption", "size", "label"], *rows])
    quick = {"encoders.text.name": "characters", "runtime": {"precision": "float32"}}
    bench = Workbench(tmp_path / "d.csv", "label", tmp_path / "run", quick)
    bench.check()
    path = tmp_path / "run" / "settings.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored.pop("version") == VERSION
    before = {p: p.stat().st_mtime_ns for p in path.parent.rglob("stage.json")}
    path.write_text(json.dumps(stored), encoding="utf-8")
    again = Workbench(tmp_path / "d.csv", "label", tmp_path / "run", quick)
    again.check()
    assert before == {p: p.stat().st_mtime_ns for p in path.parent.rglob("stage.json")}
    assert bench.run.data.key == again.run.data.key
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == VERSION


def test_dotted_names_and_groups_mix() -> None:
    given = {"align.steps": 0, "align": {"width": 16}, "schema.A.B": "id", "runtime.seed": 1}
    built = config.build(Settings, config.nested(given))
    assert (built.align.steps, built.align.width, built.runtime.seed) == (0, 16, 1)
    assert built.schema == {"A.B": "id"}
    for twice in ({"align.steps": 0, "align": {"steps": 1}}, {"align": 1, "align.steps": 0}):
        with pytest.raises(GobelinError, match="'align.*' is given twice, in two ways"):
            config.nested(twice)


def test_mistakes_of_several_components_are_told_together() -> None:
    wrong = {
        "fusion": {"name": "conct"},
        "generator": {"settings": {"width": 0, "wdth": 1}},
        "augment": {"rivals": "clasic"},
    }
    with pytest.raises(GobelinError) as caught:
        config.build(Settings, wrong)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4 and "'concat'" in lines[0] and "'classic'" in lines[3]


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("generator", "steps", 5),
        ("generator", "size", 16),
        ("generator", "minutes", 1),
        ("fusion", "name", "concat"),
    ],
)
def test_a_setting_of_a_group_among_those_of_its_component(
    group: str, name: str, value: object
) -> None:
    base = {"name": "concat"} if group == "fusion" else {}
    given = {group: {**base, "settings": {name: value, "wdth": 1}}}
    with pytest.raises(GobelinError) as caught:
        config.build(Settings, given)
    first, second = str(caught.value).splitlines()
    told = f"{group}.settings.{name}: is a setting of the group. Write {group}.{name}."
    assert told in (first, second) and "unknown setting 'wdth'" in first + second


def test_settings_of_a_baseline_method() -> None:
    """They are checked, and change the key of a study; without them the key of before stays."""
    for values, said in (
        ({"clasic": {"mirror": 0.0}}, r"rival_settings\.clasic: .*Did you mean 'classic'"),
        ({"classic": {"miror": 0.0}}, r"rival_settings\.classic: unknown setting 'miror'"),
        ({"classic": {"mirror": 2}}, r"rival_settings\.classic\.mirror: a number from 0 to 1"),
    ):
        with pytest.raises(GobelinError, match=said):
            config.build(Settings, {"augment": {"rival_settings": values}})

    def key(augment: Augment) -> str:
        model = types.SimpleNamespace(fingerprint=lambda: "model")
        predictor = types.SimpleNamespace(model=model)
        run: Any = types.SimpleNamespace(settings=Settings(augment=augment), predictor=predictor)
        return study_key(run, [])

    plain, whole = Augment(), Settings()
    before = {k: v for k, v in config.resolved(plain).items() if k != "rival_settings"}
    judge = {k: v for k, v in config.resolved(whole.judge).items() if k != "references"}
    others = (judge, *(config.resolved(g) for g in (whole.predict, whole.fusion)))
    assert key(plain) == fingerprint("model", [], before, *others)
    changed = Augment(rival_settings={"classic": {"mirror": 0.0}})
    assert key(changed) != key(plain) and changed.changed_rivals == "classic.mirror = 0.0"
