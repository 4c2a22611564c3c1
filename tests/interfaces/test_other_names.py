"""Another name of an option does the same. Oracle: what the first name does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gobelin.core import catalog
from gobelin.data.fields import Field
from gobelin.interfaces import option_values, run_commands
from gobelin.interfaces.cli import cli, main
from gobelin.workbench import query


@pytest.mark.parametrize("verb", ["search", "describe", "generate"])
def test_a_sound_is_given_by_either_flag(verb: str) -> None:
    found = []
    for flag in ("--audio", "--sound"):
        with cli.commands[verb].make_context(verb, ["run", flag, "a.wav"]) as context:
            asked = {k: v for k, v in context.params.items() if k.startswith("query_")}
            found.append(option_values.query_of({k: v for k, v in asked.items() if v}, ()))
    assert found[0] == found[1] and set(found[0]) == {"audio"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("clip", "audio"), ("sound", "sound")],  # a column of this name comes first
)
def test_a_query_in_python_takes_the_other_name(name: str, meant: str) -> None:
    field = Field(name, "audio", (name,), "audio")
    schema = SimpleNamespace(fields=(field,))
    data: Any = SimpleNamespace(schema=schema, settings=SimpleNamespace(choices=None))
    assert query.usual_name(data, "sound") == meant
    assert query.usual_name(data, "text") == "text"
    assert set(catalog.OTHER_FLAGS.values()) <= {
        catalog.declared("encoders", n, "flag") for n in catalog.names("encoders")
    }


def test_a_folder_to_save_to_is_given_in_either_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Path, Path, bool]] = []

    def opened(run: Path) -> Any:  # noqa: ANN401 - in the place of a Workbench
        def save(folder: Path, index: bool) -> Path:
            asked.append((run, folder, index))
            return folder

        return SimpleNamespace(save_pretrained=save)

    monkeypatch.setattr(run_commands, "open_workbench", opened)
    run, out = str(tmp_path / "run"), str(tmp_path / "saved")
    main(["save", run, out, "--index"])
    main(["save", run, "--out", out, "--index"])
    assert asked == [(Path(run), Path(out), True)] * 2
    assert capsys.readouterr().out.split() == [out, out]
    for words, problem in ((["save", run], "nowhere"), (["save", run, out, "--out", out], "one.")):
        with pytest.raises(SystemExit):
            main(words)
        assert problem in capsys.readouterr().err
    assert len(asked) == 2
