"""The published tools that features can be given to: prdc, torch-fidelity, torchmetrics, scipy's
matrix square root."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import numpy as np

# torch-fidelity names these among its imports and needs nothing of them where features are given.
STANDS_FOR = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


class Anything(types.ModuleType):
    """A module of which every name is a class, or a module that stands for one."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> object:
        return sys.modules.get(f"{self.__name__}.{name}") or type(name, (), {})


def fidelity(part: str) -> Any:
    """The module torch_fidelity.metric_PART (fid, kid, prc), with an empty stand-in for torchvision
    while it is imported."""
    before = {name: sys.modules.get(name) for name in STANDS_FOR}
    sys.modules.update({name: Anything(name) for name in STANDS_FOR})
    try:
        return importlib.import_module(f"torch_fidelity.metric_{part}")
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


Moments = tuple[np.ndarray, np.ndarray]  # a mean [D] and a covariance [D, D]


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """torch-fidelity's; it adds in the type of the features."""
    import torch

    tool = fidelity("fid")
    both = [tool.fid_features_to_statistics(torch.from_numpy(z)) for z in (x, y)]
    return float(tool.fid_statistics_to_metric(*both, False)["frechet_inception_distance"])


def frechet_of_moments(x: Moments, y: Moments) -> float:
    """torch-fidelity's step after those."""
    both = [{"mu": mean, "sigma": covariance} for mean, covariance in (x, y)]
    return float(
        fidelity("fid").fid_statistics_to_metric(*both, False)["frechet_inception_distance"]
    )


def moments(x: np.ndarray) -> Moments:
    return x.mean(0, dtype=np.float64), np.cov(x, rowvar=False)


def frechet_by_root(x: Moments, y: Moments) -> float:
    """With scipy's matrix square root, as the first programs had it."""
    from scipy import linalg

    (mean, a), (other, b) = x, y
    step = mean - other
    return float(step @ step + np.trace(a) + np.trace(b) - 2 * np.trace(linalg.sqrtm(a @ b)).real)


def kernel(x: np.ndarray, y: np.ndarray, subsets: int, size: int) -> tuple[float, float]:
    """torch-fidelity's mean and standard deviation over subsets."""
    import torch

    found = fidelity("kid").kid_features_to_metric(
        torch.from_numpy(y),
        torch.from_numpy(x),
        kid_subsets=subsets,
        kid_subset_size=size,
        rng_seed=2020,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1.0,
        verbose=False,
    )
    return found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]


def precision_recall(x: np.ndarray, y: np.ndarray, nearest: int) -> dict[str, float]:
    """torch-fidelity's: closed balls."""
    import torch

    found = fidelity("prc").prc_features_to_metric(
        torch.from_numpy(y),
        torch.from_numpy(x),
        prc_neighborhood=nearest,
        prc_batch_size=10_000,
        save_cpu_ram=False,
        verbose=False,
    )
    return {name: found[name] for name in ("precision", "recall")}


def coverage(x: np.ndarray, y: np.ndarray, nearest: int) -> dict[str, float]:
    """prdc's: open balls. It prints a line, which is swallowed."""
    import contextlib
    import io

    import prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return {name: float(value) for name, value in prdc.compute_prdc(x, y, nearest).items()}
