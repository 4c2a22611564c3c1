"""A process that has loaded what a test needs and does nothing but fork: a child begins at once."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

# what a fit loads when it comes to it
LOADED = (
    "gobelin.interfaces.cli",
    "gobelin.workbench.generate.condition_match",
    "gobelin.quality.probes",
    "gobelin.prediction.heads.batched",
    "gobelin.workbench.bench",
    "gobelin.workbench.check.check",
    "gobelin.workbench.fit.fit",
    "gobelin.embedding.encoders.image",
    "sklearn.tree",
    "scipy.linalg",
    "scipy.sparse.csgraph",
    "scipy.stats",
    "scipy.optimize",
    "pandas",
)


def server_with(*modules: str) -> ForkServerContext:
    """modules: loaded in the server, in this order, after all that a fit loads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*LOADED, *modules])
    return context
