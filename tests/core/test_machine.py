"""Seeds against a golden value, noise against order and batch, the environment against this
machine's names."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from gobelin.core import machine
from gobelin.core.machine import Runtime, derived_seed, environment, generator, numpy_generator

CORES, PAYS = machine.cores, machine._bfloat16_pays


def test_derived_seed_is_the_hash_that_it_says() -> None:
    digest = hashlib.sha256(b"(7, 'noise', 3)").digest()
    assert derived_seed(7, "noise", 3) == int.from_bytes(digest[:8], "little") // 2
    assert (
        derived_seed(0, "shapes") == 2101824188592329251
    )  # golden: a run of an older version repeats


def test_paths_and_seeds_give_different_streams() -> None:
    paths = [
        (s, *p)
        for s in (0, 1, -1, 2**62)
        for p in ((), ("a",), ("a", 1), ("a", "1"), (1, "a"), ("a1",))
    ]
    assert len({derived_seed(*p) for p in paths}) == len(paths)
    assert derived_seed(np.int64(3), "a") == derived_seed(3, "a")  # type: ignore[arg-type]


def test_noise_of_an_item_depends_on_neither_order_nor_batch() -> None:
    def noise(items: list[int]) -> dict[int, torch.Tensor]:
        return {k: torch.randn(4, generator=generator(5, "noise", k)) for k in items}

    alone, many = noise([3]), noise([9, 1, 3, 0])
    torch.randn(100)
    assert torch.equal(alone[3], many[3]) and torch.equal(noise([3])[3], many[3])
    assert not torch.equal(many[9], many[1])
    assert (
        numpy_generator(5, "x").random()
        == numpy_generator(5, "x").random()
        != numpy_generator(5, "y").random()
    )


def test_streams_are_independent_standard_normals() -> None:
    x = torch.stack([torch.randn(50, generator=generator(0, "noise", k)) for k in range(400)])
    assert abs(float(x.mean())) < 4 / len(x.flatten()) ** 0.5
    assert abs(float((x[1:] * x[:-1]).mean())) < 4 / x[1:].numel() ** 0.5


def test_resolved_is_concrete_and_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", CORES)  # the suite's own says 1
    monkeypatch.setattr(machine, "_bfloat16_pays", PAYS)  # the suite's own says its precision
    found = Runtime(seed=3).resolved()
    try:
        assert torch.zeros(1, device=found.device).numel() == 1
        assert found.precision in ("float32", "bfloat16") and found.seed == 3
        assert found.threads == torch.get_num_threads() == machine.THREADS
        assert found.resolved() == found
        stated = replace(found, device="cpu", precision="float32", threads=1)
        assert stated.resolved() == stated and torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("times_faster", "chosen"), [(0.6, False), (1.0, False), (1.4, False), (1.6, True), (8.0, True)]
)
@pytest.mark.parametrize("busy", ["never", "first half", "last half", "every other", "one"])
def test_the_choice_of_precision_does_not_depend_on_the_moment(
    times_faster: float, chosen: bool, busy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: other programs make some measurements ten times slower. Each pair sees the same."""
    count = [0]

    def seconds(device: str, dtype: torch.dtype, size: int) -> float:
        pair, count[0] = count[0] // 2, count[0] + 1
        slow = {
            "never": False,
            "first half": pair < 4,
            "last half": pair >= 4,
            "every other": pair % 2 == 0,
            "one": count[0] == 8,  # of the two of a pair
        }[busy]
        return (1.0 if dtype == torch.float32 else 1 / times_faster) * (10 if slow else 1)

    monkeypatch.setattr(machine, "_seconds", seconds)
    assert PAYS("cpu") is chosen


def test_a_processor_without_bfloat16_is_not_asked_for_large_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: bfloat16 takes sixty times as long at every size, a second at the largest one."""
    spent = [0.0]

    def seconds(device: str, dtype: torch.dtype, size: int) -> float:
        spent[0] += (now := (size / 768) ** 3 / 60 * (60 if dtype == torch.bfloat16 else 1))
        return now

    monkeypatch.setattr(machine, "_seconds", seconds)
    assert PAYS("cpu") is False and spent[0] < 0.1


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_autocast_gives_the_chosen_precision(precision: str, dtype: torch.dtype) -> None:
    with Runtime(0, "cpu", precision, 1).apply().autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_environment_names_versions_and_nobody() -> None:
    found = environment()
    assert found["versions"]["torch"] == torch.__version__  # type: ignore[index]
    text = json.dumps(found)
    for private in (socket.gethostname(), getpass.getuser(), os.getcwd(), os.path.expanduser("~")):
        assert private not in text


def test_one_thread_holds_for_libraries_that_were_loaded_after_it_was_first_used() -> None:
    """Oracle: threadpoolctl's own look at the libraries, in a process that loads them late."""
    script = """
from threadpoolctl import threadpool_info
from gobelin.core.machine import one_thread
with one_thread():
    pass
import sklearn.ensemble  # brings OpenMP
before = sorted((i["filepath"], i["num_threads"]) for i in threadpool_info())
assert any(n > 1 for _, n in before), before
with one_thread():
    assert all(i["num_threads"] == 1 for i in threadpool_info())
assert sorted((i["filepath"], i["num_threads"]) for i in threadpool_info()) == before
"""
    threads = {name: "2" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | threads)
