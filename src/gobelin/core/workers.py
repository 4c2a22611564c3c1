"""The only place that starts workers.

Decoding runs in threads (Pillow and the readers release the interpreter's lock); several processes
come with the launchers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_order(
    work: Callable[[A], B], items: Iterable[A], workers: int, ahead: int = 64
) -> Iterator[B]:
    """`work(item)` for every item, computed by threads, delivered in order; at most `ahead` results
    wait in memory."""
    if workers <= 1:
        yield from map(work, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(work, item) for item in islice(source, ahead)]
        while waiting:
            result = waiting.pop(0).result()
            for item in islice(source, 1):
                waiting.append(pool.submit(work, item))
            yield result


def blocks(items: Sequence[A], size: int) -> Iterator[Sequence[A]]:
    """`items` cut into runs of `size`, the last one shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
