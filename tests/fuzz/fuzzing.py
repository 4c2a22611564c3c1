"""What every fuzz test shares: how many inputs, what may come of them, and damaged bytes.

`make test` tries a few hundred inputs, the same ones every time. `make fuzz` tries other ones each
time, for about 20 minutes, and keeps in .hypothesis what it found. An input that broke something
gets an `@example` beside its test.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from gobelin.core.errors import GobelinError
from gobelin.data.files import BadCell

Output = TypeVar("Output")
MOST_SECONDS = 30  # of one input; longer is a hang
MOST_BYTES = 300_000_000  # that one input of a few kilobytes may take beside what is there
FUZZ = 120  # times as many inputs under `make fuzz`
REFUSED = object()


def tries(count: int) -> Callable[[Any], Any]:
    """The number of inputs of a test: count in `make test`, FUZZ times as many in `make fuzz`."""
    if settings.get_current_profile_name() == "fuzz":
        return settings(max_examples=count * FUZZ)
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # `make fuzz` makes an input small
        suppress_health_check=list(HealthCheck),
    )


def outcome(work: Callable[[], Output]) -> Output | Any:
    """What `work` returns, or REFUSED where it raised one of the two errors that a user can mend.
    Any other error, a hang and too much memory fail the test."""
    with not_hanging(), little_memory():
        try:
            return work()
        except (GobelinError, BadCell) as error:
            assert str(error).strip()
            # "X is damaged (MemoryError)" would hide what must not happen
            assert not isinstance(error.__cause__, MemoryError), repr(error)
            return REFUSED


@contextlib.contextmanager
def not_hanging() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise AssertionError(f"still at work after {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """The largest resident memory meanwhile, which Linux counts from a reset on."""
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        yield
        return
    reset.write_text("5")
    before = _status("VmRSS")
    yield
    taken = _status("VmHWM") - before
    assert taken < MOST_BYTES, f"{taken / 1e6:.0f} MB for one input"


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split(f"{name}:")[1].split()[0])


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of a good file with up to three damages: cut, replaced, repeated, taken out."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        match draw(st.sampled_from(["cut", "replaced", "repeated", "out", "number"])):
            case "cut":
                del data[start:]
            case "replaced":
                data[start:end] = draw(st.binary(max_size=40))
            case "repeated":
                data[start:end] = bytes(data[start:end]) * draw(st.integers(2, 50))
            case "out":
                del data[start:end]
            case "number":  # sizes and counts of most formats are such numbers
                width, order = draw(st.sampled_from([(2, "big"), (4, "little"), (8, "little")]))
                number = draw(st.sampled_from([0, 1, 2**15, 2**31 - 1, 2**31, 2**62, 2**63]))
                most = 2 ** (8 * width) - 1
                data[start : start + width] = min(number, most).to_bytes(width, order)
    return bytes(data)
