"""Worker threads. No other module starts any.

Decoding runs in threads, because Pillow and the readers release the interpreter's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Output = TypeVar("Output")


def in_order(
    work: Callable[[Item], Output],
    items: Iterable[Item],
    workers: int,
    ahead: int = 64,
    size: Callable[[Output], int] | None = None,
    most: int = 0,
) -> Iterator[Output]:
    """`work(item)` for every item, computed by `workers` threads and delivered in order. At most
    `ahead` results wait in memory; with `size`, the bytes of a result, so few that results as large
    as the largest so far are `most` bytes together, and no fewer than there are workers."""
    if workers <= 1:
        yield from map(work, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        allowed, largest = (workers if size else ahead), 1
        waiting = deque(pool.submit(work, item) for item in islice(source, allowed))
        try:
            while waiting:
                result = waiting.popleft().result()
                if size:
                    largest = max(largest, size(result))
                    allowed = min(ahead, max(workers, most // largest))
                for item in islice(source, min(2, max(0, allowed - len(waiting)))):
                    waiting.append(pool.submit(work, item))
                yield result
        finally:  # after an error or Ctrl-C what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)


def blocks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in blocks of `size`; the last one may be shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
