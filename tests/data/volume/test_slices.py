"""The order of slices and their axes: against nibabel's orientations, and planted gaps."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from gobelin.data.volume.slices import Plane, canonical, stacked


def planes(places: list[float], sideways: float = 0.0) -> list[Plane]:
    return [Plane((1, 0, 0), (0, 1, 0), (sideways * p, 0, p), (0.5, 0.5)) for p in places]


@pytest.mark.parametrize("seed", range(20))
def test_axes_equal_nibabels_closest_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    small = np.linalg.qr(np.eye(3) + 0.2 * rng.normal(size=(3, 3)))[0]
    exact = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)[:, None]
    turn = small @ exact if seed % 2 else turn
    across, down = (tuple(map(float, turn[:, k])) for k in (0, 1))
    values = rng.random((3, 4, 5, 1))
    plane = Plane(across, down, (0.0, 0.0, 0.0))
    out, axes = canonical(values, plane)
    # array axes: slice, row, column; nibabel's world is RAS, DICOM's LPS
    affine = np.eye(4)
    lps = np.stack([plane.normal, plane.down, plane.across], axis=1)
    affine[:3, :3] = np.diag([-1.0, -1.0, 1.0]) @ lps
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(values[..., 0], affine))
    order = nibabel.io_orientation(affine)
    if not np.isfinite(order).all() or np.sort(np.abs(affine[:3, :3]).max(0))[0] < 0.75:
        return  # far from every axis: several answers are as good
    assert np.array_equal(out[..., 0], image.get_fdata().transpose(2, 1, 0))
    sizes = np.array(values.shape)[list(axes)]
    assert tuple(sizes) == out.shape[:3]


def test_slices_are_sorted_by_place() -> None:
    stack = stacked(planes([4, 0, 2, 6]))
    assert stack.order == (1, 2, 0, 3) and stack.distance == 2
    assert not (stack.doubled or stack.missing or stack.uneven or stack.sheared)


def test_gaps_stay_empty() -> None:
    stack = stacked(planes([0, 2, 8, 10, 12, 14]))
    assert stack.order == (0, 1, None, None, 2, 3, 4, 5)
    assert stack.missing == 2 and stack.distance == 2 and not stack.uneven


def test_doubled_slices_are_counted() -> None:
    stack = stacked(planes([0, 2, 2, 4, 4.05, 6]))
    assert stack.order == (0, 1, 3, 5) and stack.doubled == 2 and stack.distance == 2


def test_far_slices_are_not_filled_in() -> None:
    stack = stacked(planes([0, 2, 4, 900]))
    assert stack.order == (0, 1, 2, 3) and stack.uneven and stack.distance == 300


def test_uneven_and_sheared_slices_are_told() -> None:
    assert stacked(planes([0, 2, 4.5, 6])).uneven
    assert stacked(planes([0, 2, 4, 6], sideways=0.3)).sheared


def test_one_slice_has_no_distance() -> None:
    assert stacked(planes([3])).distance is None
    assert stacked(planes([3, 3, 3])).doubled == 2
