"""The machine: seed, device, precision, threads. No other module sets them.

Randomness belongs to the item, not to the batch: `generator(seed, "noise", k)` gives image k its
own stream, independent of earlier draws. Precision is chosen by a short measurement, never by the
name of a vendor. The choice is written into the run's settings and replayed from there.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from typing import Literal

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.lazy import torch
from gobelin.core.progress import Progress as Progress
from gobelin.core.progress import silent as silent

# Where `runtime.threads` is 0. The order of sums, and so the last digits of everything that is
# trained, depends on the count of threads; a count that follows the machine gives other findings.
THREADS = 2
PAYS = 1.5  # times that bfloat16 must be faster to be chosen
SMALL, HOPELESS = 128, 0.3  # a size, and the ratio there below which a large product can't pay


@settings_class
class Runtime:
    """Where and how numbers are computed."""

    seed: int = setting(
        default=0, description="Seed of the run. All other random streams are derived from it."
    )
    device: str = setting(
        default="auto", description="Torch device: auto (cuda, then mps, then cpu), cpu, cuda:1 ..."
    )
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        default="auto",
        description="Number type of matrix products and convolutions. auto measures which is fast.",
    )
    threads: int = setting(
        default=0,
        ge=0,
        le=4096,
        description="Processor threads. 0 means 2 on every machine, since findings depend on them.",
    )

    def __post_init__(self) -> None:
        if self.device in ("auto", "cpu"):
            return  # torch, which takes long to load, has nothing to say about these
        try:
            torch.device(self.device)
        except RuntimeError as error:
            raise ValueError(
                f"device = {self.device!r}: auto, cpu, cuda, cuda:1, mps ... was expected"
            ) from error

    def resolved(self) -> Runtime:
        """The same with every 'auto' decided for this machine. Measures for about 0.1 s."""
        device = self.device
        if device == "auto":
            device = (
                "cuda"
                if torch.cuda.is_available()
                else "mps"
                if torch.backends.mps.is_available()
                else "cpu"
            )
        threads = self.threads or THREADS
        _use_threads(threads)
        precision = self.precision
        if precision == "auto":
            precision = "bfloat16" if device != "mps" and _bfloat16_pays(device) else "float32"
        return replace(self, device=device, precision=precision, threads=threads)

    def here(self) -> Runtime:
        """The choice of another machine, adapted to this one: a missing device becomes the best
        that there is, and threads are at most those of this machine."""
        device = self.device if _usable(self.device) else "auto"
        return replace(self, device=device, threads=min(self.threads, cores())).resolved()

    def apply(self) -> Runtime:
        """Set the process's threads, and return self. GobelinError if the device is missing."""
        if not _usable(self.device):
            raise GobelinError(
                f"runtime.device: {self.device!r} can't be used on this machine. Choose another:"
                " --set runtime.device=auto."
            )
        if self.threads:
            _use_threads(self.threads)
        return self

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which networks run: bfloat16 products if that precision was chosen."""
        if self.precision == "bfloat16":
            return torch.autocast(torch.device(self.device).type, torch.bfloat16)
        return nullcontext()

    def generator(self, *path: str | int) -> torch.Generator:
        """The random stream named by `path` under this run's seed. It draws on the processor, so it
        is the same on every device."""
        return generator(self.seed, *path)


def generator(seed: int, *path: str | int) -> torch.Generator:
    """One random stream per (seed, path). Streams of different paths are independent, in any order
    of use."""
    return torch.Generator().manual_seed(derived_seed(seed, *path))


def numpy_generator(seed: int, *path: str | int) -> np.random.Generator:
    """The same as `generator`, for numpy."""
    return np.random.default_rng(derived_seed(seed, *path))


def derived_seed(seed: int, *path: str | int) -> int:
    """A 63-bit seed that is a hash of the run's seed and the path."""
    digest = hashlib.sha256(repr((int(seed), *path)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def hash_order(names: Iterable[str], seed: int, *path: str | int) -> list[str]:
    """The names in a random order in which the place of each depends on itself alone: not on the
    order in which they come, and two names never change places because a third was added."""
    return sorted(names, key=lambda name: (derived_seed(seed, *path, name), name))


def _use_threads(threads: int) -> None:
    """Set the count for torch: the order of its sums depends on it. Products of numpy and the trees
    of scikit-learn get one thread: theirs wait busily for each other, and beside another program
    that took 13 times the processor time (docs/log.md)."""
    threadpool_limits(1)
    if "torch" in sys.modules:
        torch.set_num_threads(threads)
    else:
        # torch reads them when it is loaded
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, numpy and scikit-learn compute on one thread. It also holds for libraries that were
    loaded after `Runtime.resolved`, which set their own count."""
    with _loaded(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _loaded(_modules: int) -> ThreadpoolController:
    """The libraries that have threads. Looking for them takes 8 ms, so it is done again only when
    another module was imported."""
    return ThreadpoolController()


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Inside, every thread that is started computes on one torch thread, so that none waits for
    another. Yields the former count of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _bfloat16_pays(device: str, size: int = 768, pairs: int = 7) -> bool:
    """Whether a [size, size] product is clearly faster in bfloat16 on this machine: PAYS times in
    the median of pairs that were measured one after the other. A close call is float32.

    Other programs hardly change the answer: on a processor the time that this thread computed is
    measured, and what slows down both products of a pair leaves their ratio. A processor without
    bfloat16 takes up to a second for one such product, so small ones are asked first.
    """
    if device == "cpu" and _median_ratio(device, SMALL, pairs) < HOPELESS:
        return False
    return _median_ratio(device, size, pairs) >= PAYS


def _median_ratio(device: str, size: int, pairs: int) -> float:
    """How many times faster a [size, size] product is in bfloat16: the median of pairs."""
    for dtype in (torch.bfloat16, torch.float32):
        _seconds(device, dtype, size)  # the first products load libraries and allocate memory
    ratios = []
    for k in range(pairs):
        dtypes = (torch.float32, torch.bfloat16)
        spent = {d: _seconds(device, d, size) for d in (dtypes if k % 2 else dtypes[::-1])}
        ratios.append(spent[torch.float32] / max(spent[torch.bfloat16], 1e-9))
    return sorted(ratios)[pairs // 2]


def _usable(device: str) -> bool:
    """Whether this machine has the device."""
    if device in ("auto", "cpu"):
        return True
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        return False
    return True


def _seconds(device: str, dtype: torch.dtype, size: int) -> float:
    """The time of one product: of computing it on one thread of the processor, or of waiting for a
    graphics card."""
    matrix = torch.ones(size, size, dtype=dtype, device=device)
    if device == "cpu":
        with one_thread_each():
            start = time.thread_time()
            _ = matrix @ matrix
            return time.thread_time() - start
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    start = time.perf_counter()
    _ = matrix @ matrix
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def cores() -> int:
    """The processor threads that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, object]:
    """The machine as a run folder records it: versions, processor, threads. No user name, no path,
    no host name."""
    packages = (
        "gobelin",
        "torch",
        "numpy",
        "scipy",
        "scikit-learn",
        "pyarrow",
        "pillow",
        "safetensors",
    )
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed as a package"
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": cores(),
        "cuda": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "versions": versions,
    }
