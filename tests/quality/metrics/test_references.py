"""The same features in, the same digits out as torch-fidelity, prdc, torchmetrics and scipy's
matrix square root.

What these tools differ in is said where it is: prdc's balls are open, torch-fidelity's closed, as
each one's paper has it."""

from __future__ import annotations

import numpy as np
import pytest
import reference_metrics as theirs  # noqa: E402
import torch

from gobelin.quality.metrics import coverage, frechet, kernel

for needed in ("prdc", "tqdm"):
    pytest.importorskip(needed)
DIGITS = 1e-6


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """torch-fidelity first: torchmetrics imports it where it is there, and would look for
    torchvision."""
    for part in ("fid", "kid", "prc"):
        theirs.fidelity(part)
    pytest.importorskip("torchmetrics")


class Seen(torch.nn.Module):
    """A feature net for those who were given features."""

    num_features = 0

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def features(n: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """float32 [n, width] as a rectifier leaves them: correlated, skewed, some of them 0."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(width // 2, width))
    rows = (
        rng.normal(size=(n, width // 2)) @ mixing / np.sqrt(width)
        + 0.3 * rng.normal(size=(n, width))
        + 0.2
        + shift
    )
    return np.maximum(rows, 0).astype(np.float32)


SETS = {
    "alike": (features(500, 32, 0), features(500, 32, 1)),
    "apart": (features(700, 32, 0), 1.2 * features(500, 32, 1, 0.2)),
    "wide": (features(400, 200, 0), features(450, 200, 1, 0.1)),
    "far from zero": (
        features(500, 32, 0) + np.float32(20),
        features(500, 32, 1, 0.1) + np.float32(20),
    ),
}


@pytest.mark.parametrize("case", SETS)
def test_frechet_distance(case: str) -> None:
    from torchmetrics.image.fid import _compute_fid

    x, y = SETS[case]
    found = frechet.distance(x, y)
    assert found == pytest.approx(
        theirs.frechet(x.astype(np.float64), y.astype(np.float64)), rel=DIGITS
    )
    fitted = [theirs.moments(z) for z in (x, y)]
    assert found == pytest.approx(theirs.frechet_by_root(*fitted), rel=DIGITS)
    assert found == pytest.approx(theirs.frechet_of_moments(*fitted), rel=DIGITS)
    moments = [frechet.moments(z) for z in (x, y)]
    parts = [torch.from_numpy(p) for m in moments for p in (m.mean, m.covariance())]
    assert found == pytest.approx(float(_compute_fid(*parts)), rel=DIGITS)


@pytest.mark.parametrize("case", SETS)
def test_torchmetrics_from_features(case: str) -> None:
    """Its class, which sums squares in float64, with the features handed through."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    x, y = SETS[case]
    tool = FrechetInceptionDistance(feature=Seen(x.shape[1])).set_dtype(torch.float64)
    tool.update(torch.from_numpy(x).double(), real=True)
    tool.update(torch.from_numpy(y).double(), real=False)
    assert frechet.distance(x, y) == pytest.approx(float(tool.compute()), rel=DIGITS)


@pytest.mark.parametrize("case", SETS)
def test_kernel_distance(case: str) -> None:
    """Of the subsets that torch-fidelity draws, and torchmetrics' of all rows."""
    from torchmetrics.image.kid import poly_mmd

    x, y = SETS[case]
    found = kernel.of_subsets(x, y, 10, 300)
    of_subsets = theirs.kernel(x.astype(np.float64), y.astype(np.float64), 10, 300)
    assert (found.mean(), found.std()) == pytest.approx(of_subsets, rel=DIGITS)
    n = min(len(x), len(y))
    of_all = poly_mmd(torch.from_numpy(x[:n]).double(), torch.from_numpy(y[:n]).double())
    assert kernel.distance(x[:n], y[:n]).value == pytest.approx(float(of_all), rel=DIGITS)


@pytest.mark.parametrize("case", SETS)
def test_gaussian_discrepancy(case: str) -> None:
    """torch-fidelity's own, of as many rows in both sets, told the width."""
    x, y = (z[:400].astype(float) for z in SETS[case])
    said = {"kid_kernel": "rbf", "kid_kernel_rbf_sigma": float(np.sqrt(2 * x.var(0, ddof=1).sum()))}
    assert kernel.discrepancy(x, y).value == pytest.approx(
        float(theirs.fidelity("kid").kernel_mmd(x, y, **said)), rel=DIGITS
    )


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("case", ["alike", "apart", "wide"])
def test_precision_recall_density_coverage(case: str, k: int) -> None:
    x, y = SETS[case]
    found = {name: one.value for name, one in coverage.scores(x, y, k).items()}
    x, y = x.astype(np.float64), y.astype(np.float64)
    assert found == pytest.approx(theirs.coverage(x, y, k), rel=DIGITS)
    closed = theirs.precision_recall(x, y, k)
    assert {name: found[name] for name in closed} == pytest.approx(closed, rel=DIGITS)
