"""Recorded parts of whole runs: sorted and grown tables, parts taken over, training elsewhere.

Oracle: names planted in the rows, and noise, whose recall is that of chance unless a space was
fitted on the rows that it is asked for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import processor
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.core.files import read_json
from gobelin.data.image.images import png_bytes
from gobelin.generation.sampling import write
from gobelin.interfaces.cli import main

SIDES = {side: tuple(f"{side}{k}" for k in range(8)) for side in ("left", "right")}
LIGHT: dict[str, Any] = {
    "fields": SIDES,
    "align": {"width": 32, "steps": 0},
    "predict": {"folds": 2, "decays": [0.01]},
    "runtime": processor.SETTINGS,
    "fusion": {"settings": {"steps": 5}},
}
OTHER_SEED = {"runtime": {**processor.SETTINGS, "seed": processor.SEED + 1}}
Make = Callable[..., Workbench]


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Noise in two fields, three classes and a name that no encoder reads."""
    rng = np.random.default_rng(seed)
    columns = [c for side in SIDES.values() for c in side]
    return [
        {
            **dict(zip(columns, rng.normal(size=16).tolist(), strict=True)),
            "label": "xyz"[k % 3],
            "who": f"patient-{seed}-{k}",
        }
        for k in range(count)
    ]


def wider(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows with one more number, which is a field of its own."""
    extra = np.random.default_rng(5).normal(size=len(some)).tolist()
    return [{**row, "extra": value} for row, value in zip(some, extra, strict=True)]


def shuffled(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [some[k] for k in np.random.default_rng(7).permutation(len(some))]


@pytest.fixture
def bench(tmp_path: Path) -> Make:
    """A run of these rows; `named`: the rows have ids, else their content names them."""

    def make(
        run: str, some: list[dict[str, Any]], named: bool = True, **settings: Any
    ) -> Workbench:
        path = tmp_path / f"{run}.parquet"
        pq.write_table(pa.Table.from_pylist(some), path)
        role = {"who": "id" if named else "ignore"}
        return Workbench(path, "label", tmp_path / run, {**LIGHT, "schema": role, **settings})

    return make


def parts(bench: Workbench) -> dict[str, str]:
    """{name: part}."""
    checked = bench.run.checked.rows
    return dict(zip(checked.dataset.values("who"), checked.parts.tolist(), strict=True))


def based_on(base: Workbench, **split: Any) -> dict[str, Any]:
    return {"align": {**LIGHT["align"], "base": str(base.folder)}, "split": split}


@pytest.mark.parametrize("named", [True, False], ids=["ids", "content"])
def test_sorting_moves_nobody_and_added_rows_move_nobody(bench: Make, named: bool) -> None:
    some, more = rows(120), rows(70, seed=1)
    first = bench("a", some, named)
    first.check()
    before = parts(first)
    assert parts(bench("b", shuffled(some), named)) == before
    grown = bench("a", shuffled(some + more), named)  # the same run folder
    grown.check()
    after = parts(grown)
    assert {name: after[name] for name in before} == before
    found = [list(after.values()).count(part) / 190 for part in ("train", "valid", "test")]
    assert found == pytest.approx([0.55, 0.2, 0.25], abs=3 / 190)
    again = bench("a", some + more, named)
    again.check()
    assert parts(again) == after
    opened = Workbench.open(first.folder)
    assert parts(opened) == after and opened.run.data.key == again.run.data.key


def test_a_run_loses_no_rows_and_takes_no_other_data(bench: Make) -> None:
    some = rows(90)
    bench("a", some).check()
    with pytest.raises(GobelinError, match=r"2 of its 90 groups are not in .* --parts-from"):
        bench("a", some[2:]).check()
    with pytest.raises(GobelinError, match="holds a run of another data set. Choose"):
        bench("a", rows(90, seed=3)).check()
    kept = bench("b", some[2:], split={"parts_from": str(bench("a", some).folder)})
    assert parts(kept).items() <= parts(bench("a", some)).items()


def test_other_groups_after_a_check_draw_the_parts_again(bench: Make, caplog: Any) -> None:
    """`check`, a look at the columns, and `check` with a group: nothing was trained, so no part has
    to stay. After a `fit` the same is refused."""
    some = [{**row, "team": f"team {k // 4}"} for k, row in enumerate(rows(120))]
    ignored = {"who": "id", "team": "ignore"}
    grouped = {"schema": {"who": "id", "team": "group"}}
    bench("a", some, schema=ignored).check()
    caplog.clear()
    again = bench("a", some, **grouped)
    again.check()
    fresh = bench("b", some, **grouped)
    assert parts(again) == parts(fresh)  # as if the first check had never been
    found = parts(again)
    for team in {row["team"] for row in some}:
        assert len({found[row["who"]] for row in some if row["team"] == team}) == 1
    told = [r.getMessage() for r in caplog.records if "drawn again" in r.getMessage()]
    assert len(told) == 1 and "\n" not in told[0] and "Nothing was trained yet" in told[0]
    caplog.clear()
    bench("a", some, **grouped).check()
    assert "drawn again" not in caplog.text and parts(again) == found
    trained = bench("c", some, schema=ignored)
    trained.check()
    (trained.folder / "alignment").mkdir()
    (trained.folder / "alignment/stage.json").write_text("{}")
    with pytest.raises(GobelinError, match="in several parts.*choose another --run"):
        bench("c", some, **grouped).check()


def test_an_opened_run_of_a_table_that_grew_says_what_to_do(bench: Make) -> None:
    bench("a", rows(90)).check()
    bench("a", rows(90) + rows(9, seed=1))
    opened = Workbench.open(bench("a", rows(90) + rows(9, seed=1)).folder)
    for verb in (opened.check, lambda: opened.run.checked.rows):
        with pytest.raises(GobelinError, match=r"[Rr]un gobelin fit again"):
            verb()


def test_a_kill_or_a_lost_file_loses_no_part(bench: Make, caplog: Any) -> None:
    first = bench("a", rows(90))
    first.check()
    grown = bench("a", rows(90) + rows(30, seed=1))
    grown.check()
    before = parts(grown)
    (grown.folder / "settings.json").unlink()  # as errors of a damaged one advise
    again = bench("a", rows(90) + rows(30, seed=1))
    again.check()
    assert parts(again) == before
    caplog.clear()
    other = bench("a", rows(90) + rows(30, seed=1), split={"test": 0.4})
    other.check()  # another split on purpose: the parts are drawn anew, and it says so
    assert "groups change their part" in caplog.text and parts(other) != before
    (earlier,) = read_json(other.folder / "parts.json")["earlier"]
    moved = {n for n, p in before.items() if p == "train" and parts(other)[n] != "train"}
    assert set(earlier["names"]) == moved
    (grown.folder / "parts.json").unlink()
    with pytest.raises(GobelinError, match="says which rows were trained on"):
        bench("a", rows(90) + rows(30, seed=1)).check()


def test_parts_are_taken_over_by_the_command(bench: Make, tmp_path: Path, capsys: Any) -> None:
    first = bench("a", rows(90))
    first.check()
    some = shuffled(rows(90) + rows(30, seed=1))
    path = tmp_path / "b.parquet"
    pq.write_table(pa.Table.from_pylist(some), path)
    sets = ["--set=schema.who=id", *(f"--set={o}" for o in processor.OPTIONS)]
    sets += [f"--set=fields.{side}={','.join(columns)}" for side, columns in SIDES.items()]
    sets += [f"--set=runtime.seed={processor.SEED + 5}"]
    words = ["check", str(path), "--target", "label", "--run", str(tmp_path / "b"), *sets]
    main([*words, "--parts-from", str(first.folder)])
    assert parts(first).items() <= parts(Workbench.open(tmp_path / "b")).items()
    for wrong, said in (
        (tmp_path, "is no run folder"),
        (tmp_path / "b" / "cache", "no run folder"),
    ):
        words[5] = str(tmp_path / "c")
        with pytest.raises(SystemExit):
            main([*words, "--parts-from", str(wrong)])
        assert said in " ".join(capsys.readouterr().err.split())


def test_a_recorded_group_stays_where_the_users_column_would_move_it(bench: Make) -> None:
    some = [
        {**row, "split": ("train", "valid", "test")[k // 3 % 3]} for k, row in enumerate(rows(90))
    ]
    bench("a", some).check()
    more = [{**row, "split": "test"} for row in rows(9, seed=1)]
    bench("a", some + more).check()
    moved = [{**some[0], "split": "test"}, *some[1:], *more]
    with pytest.raises(GobelinError, match="moves 1 groups .*'patient-0-0' from train to test"):
        bench("a", moved).check()
    with pytest.raises(GobelinError, match="moves 1 groups"):
        bench("b", moved, split={"parts_from": str(bench("a", some).folder)}).check()


def test_a_start_that_was_killed_half_way_moves_nobody(bench: Make) -> None:
    """More rows were recorded and the settings not yet written; then the old table is back."""
    first = bench("a", rows(90))
    first.check()
    before, settings = parts(first), (first.folder / "settings.json").read_bytes()
    bench("a", rows(90) + rows(30, seed=1)).check()
    (first.folder / "settings.json").write_bytes(settings)
    again = bench("a", rows(90))
    assert parts(again) == before and parts(Workbench.open(first.folder)) == before
    again.check()
    assert parts(again) == before


def test_parts_of_a_run_without_any_of_the_rows_are_no_mere_nothing(bench: Make) -> None:
    other = bench("a", rows(90))
    other.check()
    with pytest.raises(GobelinError, match="has none of the groups"):
        bench("b", rows(90, seed=1), split={"parts_from": str(other.folder)}).check()


def reciprocal_rank(bench: Workbench) -> tuple[float, float]:
    """(mean reciprocal rank, that of chance) of searching one side by the other, both ways, among
    validation rows.
    """
    found = [
        f
        for f in bench.recall()
        if f.name == "mean_reciprocal_rank" and {f.scope["from"], f.scope["to"]} == set(SIDES)
    ]
    found = [f for f in found if "by" not in f.scope]
    return sum(float(f.value or 0) for f in found) / 2, float(found[0].chance or 0)


def test_a_space_that_saw_the_rows_is_refused(bench: Make) -> None:
    """Noise finds its own partner only in a space that was fitted on it."""
    base = bench("a", rows(150))
    base.fit()
    with pytest.raises(GobelinError) as error:
        bench("b", wider(rows(150)), **based_on(base), **OTHER_SEED).fit()
    moved = bench("c", wider(rows(150)), **OTHER_SEED)
    before, now = parts(base), parts(moved)
    counts = [
        sum(before[n] == "train" and p == part for n, p in now.items())
        for part in ("valid", "test")
    ]
    assert f"{counts[0]} validation rows and {counts[1]} test rows" in str(error.value)
    assert f"--parts-from {base.folder}" in str(error.value)
    assert not (base.folder.parent / "b" / "settings.json").exists()
    kept = based_on(base, parts_from=str(base.folder))
    remedied = bench("d", wider(rows(150)), **kept, **OTHER_SEED)
    remedied.fit()
    assert parts(remedied) == before
    value, chance = reciprocal_rank(remedied)
    assert value < chance + 0.1  # where validation rows were trained on: .2 above chance


def test_a_table_that_grew_is_looked_at_too(bench: Make) -> None:
    """The base has learned from rows that were added to it; and a run that took it over hands on
    what it was trained on, though it lacks those rows itself."""
    some, more = rows(90), rows(60, seed=1)
    base = bench("a", some)
    base.check()
    base = bench("a", some + more)
    base.fit()
    with pytest.raises(GobelinError, match="align.base: .* was trained on"):
        bench("b", wider(more), **based_on(base), **OTHER_SEED).check()
    unrelated = bench("c", wider(rows(60, seed=2)), **based_on(base))
    unrelated.fit()  # other patients
    with pytest.raises(GobelinError, match="align.base: .* was trained on"):
        bench("d", wider(more), **based_on(unrelated), **OTHER_SEED).check()
    kept = based_on(unrelated, parts_from=str(unrelated.folder))
    taken = bench("e", wider(rows(60, seed=2) + more), **kept)
    taken.check()
    before = parts(base)
    assert all(parts(taken)[r["who"]] == "train" for r in more if before[r["who"]] == "train")


@pytest.mark.parametrize("named", [True, False], ids=["ids", "content"])
def test_changed_rows_of_the_base_are_counted(bench: Make, named: bool, caplog: Any) -> None:
    """Seven rows that the base learned from have another number. With ids they are the same."""
    some = rows(90)
    base = bench("a", some, named)
    base.fit()
    learned = [k for k, row in enumerate(some) if parts(base)[row["who"]] == "train"][:7]
    changed = [{**row, "left0": row["left0"] + (k in learned)} for k, row in enumerate(some)]
    caplog.clear()
    bench("b", changed, named, **based_on(base, parts_from=str(base.folder))).check()
    told = [line for line in caplog.messages if "not found among these" in line]
    starts = (f"split.parts_from: 7 rows of {base.folder} are", "align.base: 7 rows that")
    assert len(told) == (0 if named else 2)
    assert all(line.startswith(start) for line, start in zip(told, starts, strict=False))


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("given", ["base", "parts"])
def test_renamed_rows_of_the_base_are_counted(
    bench: Make, count: int, given: str, caplog: Any
) -> None:
    """They were trained on, and can be validation rows here without a trace."""
    some = rows(90)
    base = bench("a", some)
    base.fit()
    learned = [k for k, row in enumerate(some) if parts(base)[row["who"]] == "train"][:count]
    renamed = [
        {**row, "who": f"{'new ' * (k in learned)}{row['who']}"} for k, row in enumerate(some)
    ]
    taken: dict[str, Any] = {"split": {"parts_from": str(base.folder)}}
    caplog.clear()
    bench("b", renamed, **(taken if given == "parts" else based_on(base))).check()
    (told,) = [line for line in caplog.messages if "not found among these" in line]
    assert told.startswith("split.parts_from: " if given == "parts" else "align.base: ")
    assert told.split(": ", 1)[1].startswith(f"{count} ") and "counts as new" in told


@pytest.mark.parametrize("group", ["encoders", "judge", "generator"])
def test_a_file_inside_another_run_counts_as_that_run(bench: Make, group: str) -> None:
    base = bench("a", rows(90))
    base.check()
    place = str(base.folder / "encoders")
    settings: dict[str, Any] = {
        "encoders": {"encoders": {"image": {"name": "image_model", "model": place}}},
        "judge": {"judge": {"space": "image_model", "space_settings": {"model": place}}},
        "generator": {"generator": {"name": "imported", "settings": {"folder": place}}},
    }[group]
    with pytest.raises(GobelinError, match=rf"{group}\..*: .* was trained on \d+ validation rows"):
        bench("b", rows(90), **settings, **OTHER_SEED).check()
    bench("c", rows(90, seed=1), **settings).check()


@pytest.mark.parametrize("written", ["linked", "linked above", "relative", "through ..", "inside"])
def test_no_writing_of_a_path_hides_the_run(
    written: str, bench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = bench("a", rows(90))
    base.check()
    place = base.folder / "encoders"
    link = tmp_path / "link"
    if written == "linked":
        link.symlink_to(place.resolve())
        path = str(link)
    elif written == "linked above":
        link.symlink_to(base.folder.resolve())
        path = str(link / "encoders")
    elif written == "relative":
        path = os.path.relpath(place)
    elif written == "through ..":
        path = str(place / ".." / "encoders")
    else:
        monkeypatch.chdir(base.folder)
        path = "./encoders"
    settings = {"generator": {"name": "imported", "settings": {"folder": path}}}
    with pytest.raises(GobelinError, match=r"generator\..*: .* was trained on \d+ validation rows"):
        bench("b", rows(90), **settings, **OTHER_SEED).check()


def test_inside_a_run_folder_no_base_is_no_base(
    bench: Make, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The empty text is no path: it isn't the folder one is in."""
    base = bench("a", rows(90))
    base.check()
    other = bench("b", rows(90), **OTHER_SEED)
    monkeypatch.chdir(base.folder)
    other.check()
    assert not [m for m in caplog.messages if "trained on" in m]


def test_tuned_encoders_and_generated_images_of_another_run(tmp_path: Path, caplog: Any) -> None:
    rng = np.random.default_rng(0)
    sides = [("dark", "light")[k % 2] for k in range(80)]
    images = [
        png_bytes((rng.integers(0, 99, (12, 12, 3)) + 60 * (s == "light")).astype(np.uint8))
        for s in sides
    ]
    table = pa.table({"picture": images, "who": [f"w{k}" for k in range(80)], "side": sides})
    pq.write_table(table, tmp_path / "rows.parquet")
    settings: dict[str, Any] = {
        **{k: v for k, v in LIGHT.items() if k != "fields"},
        "schema": {"who": "id"},
        "encoders": {"image": {"name": "convolution", "pixels": 12, "filters": 4, "patch": 3}},
    }
    tuned = {"tune": {"fields": ["picture"], "steps": 2, "how": "full"}}

    def run(name: str, **more: Any) -> Workbench:
        return Workbench(tmp_path / "rows.parquet", "side", tmp_path / name, {**settings, **more})

    base = run("a", **tuned)
    base.fit()
    kept = {"align": {**LIGHT["align"], "base": str(base.folder)}}
    with pytest.raises(GobelinError, match="align.base: .* was trained on"):
        run("b", **kept, **tuned, **OTHER_SEED).fit()
    made = base.folder / "images" / "made"
    for side in ("dark", "light"):
        blocks = iter([np.zeros((2, 16, 16, 3), np.uint8)])
        write(blocks, ("0", "1"), [{"generator": "flow"}] * 2, made / side)
    imported = {"generator": {"name": "imported", "size": 16, "settings": {"folder": str(made)}}}
    with pytest.raises(GobelinError, match="generator.settings.folder: .* was trained on"):
        run("c", **imported, **OTHER_SEED).fit(generator=True)
    changed = run("d", **OTHER_SEED)
    changed.fit()
    later = Workbench.open(changed.folder, settings=imported)  # named after the run was begun
    with pytest.raises(GobelinError, match="generator.settings.folder: .* was trained on"):
        later.run.with_steps_decided().generator.sampler(0)
    shutil.copytree(made, tmp_path / "made")
    imported["generator"]["settings"] = {"folder": str(tmp_path / "made")}
    caplog.clear()
    run("e", **imported).fit(generator=True)
    (said,) = [m for m in caplog.messages if m.startswith("imported")]
    assert "4 of 4 files" in said


def test_a_saved_base_has_no_list_and_says_so(bench: Make, tmp_path: Path, caplog: Any) -> None:
    base = bench("a", rows(90))
    base.fit()
    base.save_pretrained(tmp_path / "saved")
    for path in (tmp_path / "saved").rglob("*"):
        assert path.is_dir() or b"patient-0-" not in path.read_bytes(), path
    assert read_json(tmp_path / "saved" / "settings.json")["data"]["parts"] == ""
    saved = {"align": {**LIGHT["align"], "base": str(tmp_path / "saved")}}
    caplog.clear()
    bench("b", wider(rows(90)), **saved, **OTHER_SEED).fit()
    (said,) = caplog.messages
    assert "align.base" in said and "saved run" in said and "can't be checked" in said
    with pytest.raises(GobelinError, match="was saved without its parts"):
        bench("c", rows(90), split={"parts_from": str(tmp_path / "saved")}).check()


def test_a_run_of_before_keeps_its_parts_and_grows(bench: Make, caplog: Any) -> None:
    """Planted: the settings of such a run, which hold no hash of parts, and no record."""
    some = rows(90)
    old = bench("a", some, named=False)
    first = bench("whole", some, named=False)
    first.check()
    shutil.copytree(first.folder, old.folder)
    stored = read_json(old.folder / "settings.json")
    del stored["data"]["parts"], stored["split"]["parts_from"]
    (old.folder / "settings.json").write_text(json.dumps(stored))
    (old.folder / "parts.json").unlink()
    shutil.copy(old.folder.parent / "whole.parquet", old.folder.parent / "a.parquet")
    based = bench("c", some, named=False, **based_on(old))
    caplog.clear()
    based.run.data.take_over({"align": {"base": str(old.folder)}})
    assert "before the rows that a run is trained on were recorded" in caplog.text
    with pytest.raises(GobelinError, match="before parts were recorded. Run gobelin check"):
        bench("d", some, named=False, split={"parts_from": str(old.folder)}).check()
    with pytest.raises(GobelinError, match="holds a run of another data set"):
        bench("a", shuffled(some), named=False).check()
    opened = bench("a", some, named=False)
    opened.check()
    before = parts(opened)
    assert before != parts(first) and opened.run.checked.rows.groups[:2] == ("0", "1")
    assert read_json(old.folder / "settings.json")["data"]["parts"] == ""
    grown = bench("a", shuffled(some + rows(40, seed=1)), named=False)
    grown.check()
    assert before.items() <= parts(grown).items()
