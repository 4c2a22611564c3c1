"""A process that has loaded what a test needs and does nothing but fork: a child begins at once."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

# what the whole main job loads, in this order
LOADED = ("gobelin.interfaces.cli", "gobelin.workbench.generate.condition_match")


def server_with(*modules: str) -> ForkServerContext:
    """modules: loaded in the server, in this order."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context
