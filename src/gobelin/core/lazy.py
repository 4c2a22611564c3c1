"""Libraries that take long to load, loaded when they are first used.

`from gobelin.core.lazy import torch` costs nothing; `torch.zeros` loads it. A verb that answers
from numbers on disk then never waits for a library that it has no use for. A module that derives
classes from a library's own (`nn.Module`) imports it as usual, and is itself imported by the
functions that need it.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class Lazy(ModuleType):
    """Stands for a module until one of its names is asked for."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any name of the module
        if name.startswith("__") and name.endswith("__"):  # asked by tools that look at modules
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:
    import torch as torch
    from scipy import fft as fft
    from scipy import linalg as linalg
    from scipy import ndimage as ndimage
    from scipy import optimize as optimize
    from scipy import sparse as sparse
    from scipy import special as special
    from scipy.sparse import csgraph as csgraph
    from torch.nn import functional as functional
else:
    torch = Lazy("torch")
    functional = Lazy("torch.nn.functional")
    fft = Lazy("scipy.fft")
    linalg = Lazy("scipy.linalg")
    ndimage = Lazy("scipy.ndimage")
    optimize = Lazy("scipy.optimize")
    sparse = Lazy("scipy.sparse")
    special = Lazy("scipy.special")
    csgraph = Lazy("scipy.sparse.csgraph")
