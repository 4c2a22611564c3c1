"""The lineage of a run in which another command is at work. Oracle: the groups that the run has
when its folder is free."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from gobelin.core.files import read_json
from gobelin.core.stages import RunFolder
from gobelin.workbench.run import lineage


@pytest.mark.parametrize("gone", [[], ["b"], ["a", "c"]])
def test_images_that_are_recorded_after_forget_do_not_name_the_group(
    gone: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`generate` waits for `forget`, which holds the folder, before it writes to the lineage."""
    part_of = {"a": "train", "b": "train", "c": "train", "d": "test"}
    alone = RunFolder.alone

    def alone_after_forget(folder: RunFolder) -> AbstractContextManager[None]:
        for name in gone:
            part_of.pop(name, None)
        return alone(folder)

    monkeypatch.setattr(RunFolder, "alone", alone_after_forget)
    monkeypatch.setattr(lineage.parts, "recorded", lambda _: SimpleNamespace(part_of=part_of))
    made = [lineage.one_name("generate", tmp_path, "x", [0])]
    lineage.record_images(RunFolder(tmp_path), "w", lineage.about("vaegan", 0, "s"), made)
    stored = read_json(tmp_path / lineage.RECORD)
    names = stored["groups"][stored["weights"]["w"]["groups"]]
    assert names == [name for name in "abc" if name not in gone]
