"""A warning of a library is no output of a command. Oracle: warnings raised on purpose."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.data.image.images import Opening, open_image
from gobelin.interfaces import terminal


@pytest.mark.parametrize("verbose", [False, True])
def test_a_library_warning_has_no_path(
    verbose: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.progress, "verbose", verbose)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with terminal.mistakes_told():
            warnings.warn("a bomb, perhaps", RuntimeWarning, stacklevel=1)
    said = capsys.readouterr().err
    assert said == ("  RuntimeWarning: a bomb, perhaps\n" if verbose else "")
    assert warnings.showwarning is before


def test_a_palette_with_transparent_bytes_warns_of_nothing(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 3).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "p.png", transparency=bytes([0, 128, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain, conversion = open_image("p.png", tmp_path, Opening())
    assert plain.size == (8, 8) and conversion
