"""Commands in a locale that knows ASCII alone, with other letters in what is typed and read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def gobelin(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gobelin", *words]
    return subprocess.run(
        [os.fsencode(word) for word in command],
        cwd=folder,
        env={**os.environ, **ASCII},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("letters", ["größe", "名前", "é€"])
def test_letters_beyond_ascii_are_found_in_an_ascii_locale(letters: str, tmp_path: Path) -> None:
    """In names of a file, a column, a run folder, and of images in cells."""
    Image.new("RGB", (8, 8)).save(tmp_path / f"{letters}.png")
    lines = [f"image,weight,{letters}", *(f"{letters}.png,{k},c{k % 2}" for k in range(60))]
    (tmp_path / f"{letters}.csv").write_text("\n".join(lines), "utf-8")
    found = gobelin(tmp_path, "check", f"{letters}.csv", "--target", letters, "--run", letters)
    assert found.returncode == 0, found.stderr
    rows = [line.split() for line in found.stdout.decode("utf-8").splitlines()]
    kinds = {row[1]: row[3] for row in rows if len(row) > 3 and row[0] == "│"}
    assert kinds["image"] == "image"
    assert letters in kinds
    assert (tmp_path / letters / "settings.json").is_file()


def test_what_stands_on_the_command_line_is_printed_as_it_was_typed(tmp_path: Path) -> None:
    found = gobelin(tmp_path, "evaluate", "lauf-ä")
    assert found.returncode == 2
    assert "lauf-ä" in found.stderr.decode("utf-8")
