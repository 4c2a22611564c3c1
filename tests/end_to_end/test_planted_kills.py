"""`audit`, `curate`, `index` and exports are killed at planted points, and the same command again
ends as if nobody had killed it. Nothing temporary is left, in the run or beside it.

`test_kill` kills the demo by the clock. Here every kill is at a place: before or after a file, a
stage, an export or a version of the index becomes final.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from forking import server_with
from killed_commands import quick, work
from killed_demo import LESS
from presets import SETS

from gobelin import Workbench
from gobelin.core import config
from gobelin.core.files import read_json
from gobelin.data.samples.shapes import Shapes
from gobelin.embedding.search.index_rows import VECTOR
from gobelin.quality.probes import IndependentEncoder
from gobelin.workbench.run.lineage import keys_of

Command = Callable[[Path], list[str]]  # run folder -> words


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    """A process that has loaded everything and does nothing but fork."""
    return server_with(
        "gobelin.interfaces.cli", "gobelin.workbench.generate.condition_match", "killed_commands"
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, more rows, and a run with a generator."""
    folder = tmp_path_factory.mktemp("fitted")
    path = Shapes(rows=160).write(folder / "data", seed=0)
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    added = [f"new-{row}" for row in rows[:3]]
    (folder / "data" / "more.csv").write_text("\n".join([header, *added]) + "\n", encoding="utf-8")
    settings = config.assignments([*SETS, *LESS, "align.steps=0"])
    bench = Workbench(path, "shape", folder / "run", settings)
    bench.fit(generator=True)
    bench.index()
    return folder


@pytest.fixture(scope="module")
def studied(fitted: Path) -> Iterator[Path]:
    """The same run after `audit` and `augment`."""
    folder = Path(shutil.copytree(fitted / "run", fitted / "studied"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IndependentEncoder, "choose", staticmethod(quick))
        bench = Workbench.open(folder)
        bench.audit(), bench.augment()
        keys_of(bench.run.folder, [])  # the secret of the keys is drawn once, not by each copy
    yield folder


def started(server: ForkServerContext, words: list[str], kill_at: int | str, errors: Path) -> bool:
    """Whether the command ended by itself."""
    child = server.Process(target=work, args=(words, kill_at, errors))
    child.start()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL), (words, errors.read_text())
    return child.exitcode == 0


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


COMMANDS: dict[str, tuple[Command, list[int], str]] = {  # words, points, a finding of it
    "audit": (lambda run: ["audit", str(run)], [9, 40], "planted_copies_caught"),
    "curate": (
        lambda run: ["curate", str(run), "--export", f"{run}-rows"],
        [1, 8, 23],
        "wrong_labels",
    ),
}


def chain(
    server: ForkServerContext, start: Path, folder: Path, command: Command, points: list[int]
) -> int:
    """Kill the command at each point, each time on what the last one left, then let it end. Equal
    to the run that was left alone; the number of kills."""
    for name in ("alone", "killed"):
        shutil.copytree(start, folder / name)
    assert started(server, command(folder / "alone"), 0, folder / "errors")
    kills = 0
    for point in points:
        if started(server, command(folder / "killed"), point, folder / "errors"):
            break
        kills += 1
    else:
        assert started(server, command(folder / "killed"), 0, folder / "errors")
    assert not list(folder.rglob(".writing-*"))
    for name in ("findings.jsonl", "exhibits.jsonl"):
        assert (folder / "killed" / name).read_text() == (folder / "alone" / name).read_text()
    beside = [f for name in ("alone", "killed") if (f := folder / f"{name}-rows").exists()]
    assert len(beside) in (0, 2) and len({str(files(one)) for one in beside}) < 2
    return kills


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_killed_command_ends_as_if_left_alone(
    name: str, fitted: Path, tmp_path: Path, server: ForkServerContext
) -> None:
    command, points, expected = COMMANDS[name]
    assert chain(server, fitted / "run", tmp_path, command, points) == len(points)
    told = [f.name for f in Workbench.open(tmp_path / "killed").findings(name)]
    assert expected in told  # it was done, not refused
    assert not [name for name in told if "refused" in name]


@pytest.mark.slow
def test_a_killed_export_of_a_study_is_made_again(
    studied: Path, tmp_path: Path, server: ForkServerContext
) -> None:
    def command(run: Path) -> list[str]:
        return ["augment", str(run), "--export", f"{run}-rows"]

    assert chain(server, studied, tmp_path, command, [1, 2]) == 2


def rows_of(run: Path) -> dict[str, list[float]]:
    table = Workbench.open(run).run.space.index.table.table.to_arrow()
    return dict(zip(table["gobelin_id"].to_pylist(), table[VECTOR].to_pylist(), strict=True))


def test_a_killed_change_of_the_index_is_made_once(
    fitted: Path, tmp_path: Path, server: ForkServerContext
) -> None:
    """Rows are added and deleted in one call, on a run whose index must be made first.
    `test_index` stops a change at each of its points."""
    ids = sorted(rows_of(fitted / "run"))
    changes = ["--add", str(fitted / "data" / "more.csv"), "--delete", f"{ids[0]},{ids[1]}"]
    for name in ("alone", "killed"):
        shutil.copytree(fitted / "run", tmp_path / name)
        shutil.rmtree(tmp_path / name / "index")

    def index(name: str, point: int | str = 0) -> bool:
        words = ["index", str(tmp_path / name), *changes]
        return started(server, words, point, tmp_path / "errors")

    assert index("alone")
    assert not index("killed", 3)  # the index is filled and has no record yet
    assert not index("killed", "_do_merge")  # after the one version that a change makes
    found = rows_of(tmp_path / "killed")
    assert len(found) == len(ids) + 1 and ids[0] not in found  # all of the change, or nothing
    assert index("killed") and rows_of(tmp_path / "killed") == rows_of(tmp_path / "alone") == found
    assert not list(tmp_path.rglob(".writing-*")) and not list(tmp_path.rglob("change.json"))


@pytest.mark.parametrize("points", [[1], [3, 2], [9, 20], [4, 8, 14, 30]])
def test_a_killed_forget_goes_on_where_it_stopped(
    points: list[int], fitted: Path, tmp_path: Path, server: ForkServerContext
) -> None:
    """Before its plan is written, while stages are removed, after the group's name is gone, and
    while what rests on it is fitted again: a training row, with the generator that saw it."""
    header, *rows = (fitted / "data" / "records.csv").read_text(encoding="utf-8").splitlines()
    parts = read_json(fitted / "run" / "parts.json")["parts"]
    row, name = next((r, n) for r in rows if parts[n := r.split(",")[0].strip('"')] == "train")
    fewer = fitted / "data" / "fewer.csv"  # beside the images
    kept = [other for other in rows if other != row]
    fewer.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")

    def command(run: Path) -> list[str]:
        words = ["--group", name, "--data", str(fewer)]
        return ["forget", str(run), *words]

    assert chain(server, fitted / "run", tmp_path, command, points) == len(points)
    alone, killed = (made(tmp_path / name) for name in ("alone", "killed"))
    assert set(alone) == set(killed) and alone == killed
    assert any(name.startswith("generators/") for name in killed)


def made(run: Path) -> dict[str, object]:
    """{file: content} of what `forget` makes again, but for the times in the records of stages."""
    return {
        name: (read_json(run / name)["key"] if name.endswith("stage.json") else content)
        for name, content in files(run).items()
        if not name.startswith(("cache/", "index/", "images/")) and name != ".lock"
    }
