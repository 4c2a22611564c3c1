"""Worker threads. No other module starts any.

Decoding runs in threads, because Pillow and the readers release the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Output = TypeVar("Output")


def in_order(
    work: Callable[[Item], Output], items: Iterable[Item], workers: int, ahead: int = 64
) -> Iterator[Output]:
    """`work(item)` for every item, computed by `workers` threads and delivered in order. At most
    `ahead` results wait in memory."""
    if workers <= 1:
        yield from map(work, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(work, item) for item in islice(source, ahead)]
        try:
            while waiting:
                result = waiting.pop(0).result()
                for item in islice(source, 1):
                    waiting.append(pool.submit(work, item))
                yield result
        finally:  # after an error or Ctrl-C what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)


def blocks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in blocks of `size`; the last one may be shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
