"""The range of training pixels tells of no single group.

Oracle: the range of the groups that were written without the odd one.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.data.image.images import Opening
from gobelin.data.training_range import with_range
from gobelin.data.volume.volumes import VolumeOpening

GROUPS = 40


def picture(level: float, k: int, kind: str) -> bytes:
    """Pixels around a level: 12 bits as PNG, floats as TIFF."""
    pixels = np.random.default_rng(k).normal(level, 20, (20, 20))
    out = io.BytesIO()
    wide = pixels.astype(np.uint16 if kind == "PNG" else np.float32)
    Image.fromarray(wide).save(out, kind)
    return out.getvalue()


def array(level: float, k: int, _: str) -> bytes:
    """A volume of floats."""
    out = io.BytesIO()
    voxels = np.random.default_rng(k).normal(level, 20, (9, 9, 9))
    np.save(out, voxels.astype(np.float32))
    return out.getvalue()


@pytest.mark.parametrize("odd", [3, 50_000])
@pytest.mark.parametrize("many", [1, 60])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "volume"])
def test_one_group_sets_no_end(kind: str, many: int, odd: float) -> None:
    make, opening = (array, VolumeOpening()) if kind == "volume" else (picture, Opening())
    usual = [({"x": make(2000 + 10 * (k % 2), k, kind)}, k) for k in range(GROUPS)]
    of_one = [({"x": make(odd + 60, 99, kind)}, GROUPS)] * many
    without = with_range(opening, usual, 5, Path())
    found = with_range(opening, usual + of_one, 5, Path())
    assert without.low is not None and without.high is not None
    assert found.low is not None and found.high is not None
    assert found.low == pytest.approx(without.low, abs=30)
    assert found.high == pytest.approx(without.high, abs=30)
    assert 1900 < without.low < 1980 and 2030 < without.high < 2110  # three deviations of 20


def test_five_groups_may_be_told() -> None:
    usual = [({"x": picture(2000, k, "PNG")}, k) for k in range(GROUPS)]
    bright = [({"x": picture(9000, k, "PNG")}, GROUPS + k) for k in range(9)]
    assert with_range(Opening(), usual + bright, 5, Path()).high > 8900  # type: ignore[operator]
    assert with_range(Opening(), usual + bright[:4], 5, Path()).high < 2110  # type: ignore[operator]
    one = with_range(Opening(), usual + bright[:1], 1, Path())
    assert one.high is not None and one.high > 8900
