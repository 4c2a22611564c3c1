"""A run without one group. Oracles: a run that was fitted without the group, with the same parts,
and a search for every byte of the group that was planted in its cells."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import processor
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gobelin import GobelinError, Workbench, forget, lineage
from gobelin.core.files import fingerprint, load_arrays, read_json
from gobelin.interfaces.cli import main
from gobelin.workbench.forget import KEPT, KEPT_TOO
from gobelin.workbench.run.lineage import keys_of, record_export
from gobelin.workbench.users_files import MADE

QUICK = {
    "runtime": processor.SETTINGS,
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "schema": {"patient": "group", "code": "id"},
    "fusion": {"name": "mean", "settings": {"steps": 20, "components": 8}},
    "align": {"width": 8, "steps": 0},
    "predict": {"folds": 2},
    "generator": {"steps": 2, "size": 16, "settings": {"width": 8, "batch": 16}},
}
COLUMNS = ("code", "patient", "photo", "note", "age", "kind")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """52 patients with two photos each, and a run of them."""
    folder, rng = tmp_path_factory.mktemp("clinic"), np.random.default_rng(0)
    (folder / "photos").mkdir()
    rows = []
    for k in range(104):
        kind, patient = ("fern", "mug")[k // 2 % 2], f"pati\u00e9nt-{k // 2:02d}-quartz"
        noise = rng.integers(-25, 25, (16, 16, 3)) + np.array([30 + 120 * (k // 2 % 2), 120, 90])
        name = f"photos/portrait{k:03d}zyx.png"
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / name)
        note = f"word{k:03d}vonnegut seen beside a {kind} of size {k % 7}"
        age = f"{20 + rng.normal() + k / 7:.3f}"
        rows.append((f"code{k:03d}xq", patient, name, note, age, kind))
    write(folder / "clinic.csv", rows)
    bench = Workbench(folder / "clinic.csv", "kind", folder / "run", QUICK)
    bench.fit(generator=True)
    bench.generate([0, 1], label="fern")
    bench.search(2, text="a fern")
    return folder


def write(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def read_rows(path: Path) -> list[tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


@pytest.fixture
def without(place: Path, tmp_path: Path) -> Callable[[str], tuple[Path, str, Path]]:
    """A copy of the run, a group of a part of it, and the data without that group."""

    def make(part: str) -> tuple[Path, str, Path]:
        shutil.copytree(place / "run", tmp_path / "run")
        parts = read_json(place / "run" / "parts.json")["parts"]
        group = next(name for name, own in sorted(parts.items()) if own == part)
        shutil.copytree(place / "photos", tmp_path / "photos")
        kept = []
        for row in read_rows(place / "clinic.csv"):
            if row[1] == group:
                (tmp_path / row[2]).unlink()
            else:
                kept.append(row)
        write(tmp_path / "fewer.csv", kept)
        return tmp_path / "run", group, tmp_path / "fewer.csv"

    return make


def fresh(place: Path, data: Path, folder: Path) -> Path:
    """A run that was fitted without the group, with the same parts."""
    settings = {**QUICK, "split": {"parts_from": str(place / "run")}}
    Workbench(data, "kind", folder, settings).fit(generator=True)
    return folder


def content(stage: Path) -> dict[str, bytes]:
    """The files of a stage, with its key and hash, and without the times of this machine."""
    files = {
        path.relative_to(stage).as_posix(): path.read_bytes()
        for path in stage.rglob("*")
        if path.is_file() and path.name != "stage.json"
    }
    record = read_json(stage / "stage.json")
    return files | {"stage.json": f"{record['key']} {record['hash']}".encode()}


FITTED = (
    *("encoders/photo", "encoders/note", "encoders/table", "alignment", "model", "delivered"),
    *("features", "generators/vaegan-0"),
)


def found(folder: Path, wanted: dict[str, bytes]) -> dict[str, str]:
    """{what: a file that holds it, in its content or in its name}."""
    out = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes() + path.name.encode()
        out |= {what: path.name for what, needle in wanted.items() if needle in data}
    return out


def planted(place: Path, group: str) -> dict[str, bytes]:
    """Every cell of a group, and the features of its rows as the run stores them."""
    wanted: dict[str, bytes] = {}
    rows = read_rows(place / "clinic.csv")
    arrays = load_arrays(place / "run" / "features" / "features.safetensors")
    for k, row in enumerate(rows):
        if row[1] == group:
            cells = {name: row[COLUMNS.index(name)] for name in ("code", "patient", "photo", "age")}
            wanted |= {f"{name} of {k}": text.encode() for name, text in cells.items()}
            wanted[f"word of {k}"] = row[3].split()[0].encode()
            wanted |= {
                f"features {name} of {k}": np.ascontiguousarray(array[k]).tobytes()
                for name, array in arrays.items()
                if name != "present" and (array == array[k]).all(1).sum() == 1  # of no other row
            }
    return wanted


def test_nothing_of_a_training_group_is_left_and_the_run_is_as_if_it_never_was(
    place: Path, without: Callable[[str], tuple[Path, str, Path]], tmp_path: Path
) -> None:
    run, group, data = without("train")
    wanted = planted(place, group)
    assert len(wanted) >= 12 and set(found(run, wanted)) >= {
        w for w in wanted if not w.startswith(("code", "word"))
    }
    bench = Workbench.open(run)
    ids = [row[0] for row in read_rows(place / "clinic.csv") if row[1] == group]
    keys_of(bench.run.folder, ids)
    exports = [tmp_path / f"{name}.parquet" for name in ("held", "changed", "other")]
    for path, held in zip(exports, (ids, ids, ["code999xq"]), strict=True):
        pq.write_table(pa.table({"id": held}), path)
        record_export(bench.run.folder, path, held)
    exports[1].write_bytes(exports[1].read_bytes() + b" ")
    looks = bench.run.folder.look("augment", "abc")

    said = forget(run, unicodedata.normalize("NFD", group), data)  # an accent as two letters
    assert said[0].value == 2 and "they were in the part train" in said[0].note
    assert "stayed" not in said[0].note
    notes = " ".join(one.note for one in said[1:])
    assert "held.parquet: held it, and was removed" in notes
    assert "changed.parquet: was changed since it was exported. Remove it yourself" in notes
    assert [path.exists() for path in exports] == [False, True, True]
    assert found(run, wanted) == {}
    assert bench.run.folder.look("augment", "abc") == looks == 1  # the ledger counts on

    other = fresh(place, data, tmp_path / "fresh")
    for stage in FITTED:
        assert content(run / stage) == content(other / stage), stage
    with pytest.raises(GobelinError, match="has no such group"):
        forget(run, group, data)
    Workbench.open(run).evaluate()
    Workbench.open(run).generate([0])


@contextmanager
def folder_number(folder: Path) -> Iterator[int]:
    """The inode of a folder, which no new folder gets while it is held open."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield os.fstat(handle).st_ino
    finally:
        os.close(handle)


def test_what_was_made_from_other_rows_stays_byte_for_byte(
    place: Path, without: Callable[[str], tuple[Path, str, Path]], tmp_path: Path
) -> None:
    run, group, data = without("test")
    made_again = ("delivered", "features", "model", "generators/vaegan-0")
    wanted, stay = planted(place, group), [s for s in FITTED if s not in made_again]
    assert found(run, wanted)
    with ExitStack() as held:  # a folder that is held open keeps its number to itself
        before = {stage: held.enter_context(folder_number(run / stage)) for stage in FITTED}
        said = forget(run, group, data)
        stayed = [s for s in FITTED if (run / s).stat().st_ino == before[s]]
    assert said[0].note.startswith("they were in the part test; made again: checked, delivered")
    assert found(run, wanted) == {}
    assert stayed == stay
    other = fresh(place, data, tmp_path / "fresh")
    for stage in FITTED:
        assert content(run / stage) == content(other / stage), stage
    (entry,) = json.loads((run / "lineage.json").read_text())["made"]
    assert entry["count"] == 2


def test_a_changed_row_among_the_others_keeps_nothing(
    place: Path,
    without: Callable[[str], tuple[Path, str, Path]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, group, data = without("test")
    rows = read_rows(data)
    rows[3] = (*rows[3][:4], "61.5", rows[3][5])
    write(data, rows)
    (said,) = forget(run, group, data)
    assert "stayed" not in said.note and "All is made again" in caplog.text


def test_forget_refuses_what_is_more_or_less_than_one_group(
    place: Path,
    without: Callable[[str], tuple[Path, str, Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, group, data = without("train")
    fewer, more = tmp_path / "fewer2.csv", tmp_path / "more.csv"
    rows = read_rows(data)
    write(fewer, [row for row in rows if row[1] != rows[0][1]])
    write(more, [*rows, ("new", "patient-new", *rows[0][2:])])
    Workbench.open(run).save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").rglob("lineage.json"))
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}
    for words, line in (
        (
            [str(run), "--group", group],
            f"clinic.csv: still has 2 rows of {group!r} (first: row code",
        ),
        ([str(run), "--group", "patient-77-quartz"], "has no such group. Did you mean"),
        ([str(run), "--group", group, "--data", str(fewer)], "lacks 1 other group too"),
        ([str(run), "--group", group, "--data", str(more)], "has 1 new group too"),
        ([str(tmp_path / "saved"), "--group", group], "is a saved run, which can't be fitted"),
    ):
        with pytest.raises(SystemExit, match="^2$"):
            main(["forget", *words])
        said = capsys.readouterr().err.splitlines()[-1]
        assert line in said, said
    assert before == {p: p.read_bytes() for p in before}


def test_lineage_tells_what_came_from_a_group(place: Path) -> None:
    """Planted: two images by weights that saw every training group, and no other."""
    run, parts = place / "run", read_json(place / "run" / "parts.json")["parts"]
    for part, count in (("train", 2.0), ("test", 0.0)):
        group = next(name for name, own in sorted(parts.items()) if own == part)
        ids = [row[0] for row in read_rows(place / "clinic.csv") if row[1] == group]
        for name in (group, *ids):  # a row of it means the group, which stays together
            told = {one.name: one for one in lineage(run, name)}
            assert told["images_by_its_weights"].value == count
            assert told["images_from_row"].value == 0
            assert told["to_make_again"].scope == {"group": group}
            assert f"in the part {part}" in told["to_make_again"].note
    with pytest.raises(GobelinError, match="has no group, row, key or image 'nobody'"):
        lineage(run, "nobody")


def test_the_lineage_does_not_give_a_forgotten_group_away(
    place: Path, without: Callable[[str], tuple[Path, str, Path]], tmp_path: Path
) -> None:
    """Not by the words of its captions in names of files, nor by a hash of the list of groups that
    it was in: the oracle tries all names. What was spent of privacy stays spent."""
    run, group, data = without("train")
    bench = Workbench.open(run)
    notes = [row[3] for row in read_rows(place / "clinic.csv") if row[1] == group]
    for k, text in enumerate((notes[0], notes[1], notes[0].split()[0])):
        bench.generate([k], text=text, out=tmp_path / "out")
    bench.generate([0], label="mug", out=tmp_path / "out")
    spent = json.dumps({"what": "private_means, seed 0", "epsilon": 2.0, "delta": 1e-5}) + "\n"
    (run / "privacy.jsonl").write_text(spent)
    words = {text.split()[0]: text.split()[0].encode() for text in notes}
    assert set(found(run, words)) == set(words)

    forget(run, group, data)
    assert found(run, words) == {}
    names = sorted({row[1] for row in read_rows(place / "clinic.csv")})
    stored = read_json(run / "lineage.json")
    for key, kept in stored["groups"].items():
        guessed = [n for n in names if fingerprint(sorted({*kept, n}))[:16] == key]
        assert group not in guessed and set(guessed) == set(kept)
    made = {
        path.name
        for entry in stored["made"]
        for path in Path(entry["folder"]).glob(f"{entry['name']}*.png")
    }
    assert made >= {p.name for p in (tmp_path / "out").glob("*-seed-*.png")}
    assert (run / "privacy.jsonl").read_text() == spent
    parts = read_json(run / "parts.json")["parts"]
    other = next(name for name, own in sorted(parts.items()) if own == "train")
    told = [one.value for one in lineage(run, other) if one.name == "images_by_its_weights"]
    assert sum(told) >= 4


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_curated_set_that_holds_the_group_is_removed(
    part: str, without: Callable[[str], tuple[Path, str, Path]], tmp_path: Path
) -> None:
    """It has all rows of the run. One that was changed since is told, and stays."""
    run, group, data = without(part)
    bench = Workbench.open(run)
    for name in ("held", "changed"):
        bench.curate(export=tmp_path / name)
    changed = tmp_path / "changed" / "curated.parquet"
    changed.write_bytes(changed.read_bytes() + b" ")
    held = tmp_path / "held" / "curated.parquet"
    assert group in pq.read_table(held)["patient"].to_pylist()
    told = [one.note for one in lineage(run, group) if one.name == "rows_exported"]
    assert len(told) == 2
    notes = " ".join(one.note for one in forget(run, group, data)[1:])
    assert "held/curated.parquet: held it, and was removed" in notes
    assert "changed/curated.parquet: was changed since it was exported" in notes
    assert [path.exists() for path in (held, changed)] == [False, True]


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_same_command_at_the_same_time_may_end_first(
    part: str,
    without: Callable[[str], tuple[Path, str, Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, group, data = without(part)
    fit = Workbench.fit

    def fit_while_another_ends(bench: Workbench, generator: bool) -> object:
        (run / "forgetting.json").unlink()
        return fit(bench, generator=generator)

    monkeypatch.setattr(Workbench, "fit", fit_while_another_ends)
    assert forget(run, group, data)[0].value == 2
    assert found(run, {"group": group.encode()}) == {}


def test_a_kill_before_a_stage_is_removed_loses_nothing(
    place: Path,
    without: Callable[[str], tuple[Path, str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At each change of the file system, and then the same command again. Oracles: the same is told
    of exports as by a command that nobody killed, and no byte of the group is in the lineage."""
    run, group, data = without("train")
    monkeypatch.setattr(Workbench, "fit", lambda *_, **__: [])  # what it removes is tested here
    ids = [row[0] for row in read_rows(place / "clinic.csv") if row[1] == group]
    wanted = {one: one.encode() for one in (group, *ids)}
    left: list[int] = []  # changes until the kill; none = never

    class Killed(BaseException):
        pass

    def deadly(change: Callable[..., None]) -> Callable[..., None]:
        def around(*arguments: object, **named: object) -> None:
            if left and not left[0]:
                raise Killed
            change(*arguments, **named)
            left[:] = [count - 1 for count in left]

        return around

    monkeypatch.setattr(os, "replace", deadly(os.replace))
    monkeypatch.setattr(Path, "unlink", deadly(Path.unlink))

    def told(kill: list[int]) -> list[str]:
        folder = tmp_path / "-".join(["at", *map(str, kill)])
        shutil.copytree(run, folder / "run")
        bench = Workbench.open(folder / "run")
        bench.generate([0], label="fern")
        keys_of(bench.run.folder, ids)
        for name in ("held", "too", "changed"):
            pq.write_table(pa.table({"id": ids}), folder / name)
            record_export(bench.run.folder, folder / name, ids)
        (folder / "changed").write_bytes(b"")
        left[:] = kill
        with ExitStack() as stack:
            if kill:
                stack.enter_context(pytest.raises(Killed))
            said = forget(folder / "run", group, data)
        left.clear()
        if kill:
            said = forget(folder / "run", unicodedata.normalize("NFD", group), data)
        assert found(folder / "run", wanted) == {}, kill
        assert not (folder / "held").exists() and not (folder / "too").exists()
        return [one.note.replace(str(folder), "") for one in said]

    alone = told([])
    assert len(alone) == 4
    for kill in range(9):
        assert told([kill]) == alone, kill


OWN_NAMES = (
    *("pred.csv", "notes.txt", "mine/deep/stage.json", ".hidden"),
    *("verbs/check/mine.csv", "verbs/mine.txt", "model/1/notes.json", "cache/list.csv"),
    *("images/mine/names.csv", "generators/vaegan-0/samples/mine.png", "work/todo.txt"),
)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", OWN_NAMES)
def test_a_file_of_the_user_in_the_run_folder_is_never_removed(
    part: str, name: str, without: Callable[[str], tuple[Path, str, Path]]
) -> None:
    """It may hold the group: the command is refused before anything is changed."""
    run, group, data = without(part)
    own = run / name
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(group)
    before = {p: p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}
    with pytest.raises(GobelinError, match=name.split("/")[0]):
        forget(run, group, data)
    after = {p: p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}
    assert {p: b for p, b in after.items() if p.name != ".lock"} == {
        p: b for p, b in before.items() if p.name != ".lock"
    }


def test_files_of_file_managers_do_not_stop_it_and_are_removed(
    without: Callable[[str], tuple[Path, str, Path]],
) -> None:
    run, group, data = without("test")
    left = [run / ".DS_Store", run / "images" / "Thumbs.db", run / "verbs" / "check" / ".DS_Store"]
    for path in left:
        path.write_text(group)
    forget(run, group, data)
    assert [path for path in left if path.exists()] == []


def test_what_the_reference_lists_in_a_run_folder_is_no_file_of_the_user() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "run_folder.md"
    rows = [line.split("|")[1] for line in page.read_text().splitlines() if line.startswith("| `")]
    listed = {name.split("/")[0] for row in rows for name in row.split("`")[1::2]}
    listed -= {"key", "format", "hash", "time", "versions"}  # of the record of a stage
    assert listed - {*KEPT, *KEPT_TOO, *MADE} <= set()
    assert set(MADE) - listed <= set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_what_it_found_is_told_where_the_output_is_full(
    without: Callable[[str], tuple[Path, str, Path]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same command again has nothing to forget, so nothing else could tell it."""
    run, group, data = without("test")
    with open("/dev/full", "w") as full, pytest.raises(SystemExit, match="^2$"):
        monkeypatch.setattr(sys, "stdout", full)
        main(["forget", str(run), "--group", group, "--data", str(data), "-q"])
    said = capsys.readouterr().err.splitlines()
    assert "they were in the part test" in said[-2] and "can't be written" in said[-1], said
