"""Contrastive losses against loops over rows, and several processes against one."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from processor import RUNTIME
from torch import distributed

from gobelin.embedding.alignment.align import Align
from gobelin.embedding.alignment.contrastive import hardness, sigmoid_loss, softmax_loss
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.features import Embeddings

COSINES = torch.tensor(np.random.default_rng(0).uniform(-1, 1, (5, 5)))
SAME = torch.tensor([0, 0, 1, 2, 1])[:, None] == torch.tensor([0, 0, 1, 2, 1])[None]


def tilted(row: np.ndarray, same: np.ndarray, hard: float) -> np.ndarray:
    out = np.zeros(len(row))
    if hard:
        share = np.exp(hard * row[~same])
        out[~same] = np.log(share / share.mean())
    return out


@pytest.mark.parametrize("hard", [0.0, 2.0])
def test_softmax_of_several_positives(hard: float) -> None:
    c, same, wanted = COSINES.numpy(), SAME.numpy(), 0.0
    for side, more in ((c, same), (c.T, same.T)):
        for i in range(5):
            logits = side[i] / 0.2 + (
                tilted(c[i], same[i], hard)
                if side is c
                else [tilted(c[j], same[j], hard)[i] for j in range(5)]
            )
            total = math.log(sum(math.exp(v) for v in logits))
            wanted -= np.mean([logits[j] - total for j in range(5) if more[i, j]]) / 10
    assert float(softmax_loss(COSINES, SAME, torch.tensor(0.2), hard)) == pytest.approx(wanted)


def test_softmax_without_shared_groups_is_the_cross_entropy() -> None:
    own = torch.arange(5)
    wanted = (
        sum(torch.nn.functional.cross_entropy(one / 0.1, own) for one in (COSINES, COSINES.T)) / 2
    )
    assert float(
        softmax_loss(COSINES, torch.eye(5, dtype=torch.bool), torch.tensor(0.1), 0.0)
    ) == pytest.approx(float(wanted))


@pytest.mark.parametrize("hard", [0.0, 2.0])
def test_sigmoid_pair_by_pair(hard: float) -> None:
    c, same, wanted = COSINES.numpy(), SAME.numpy(), 0.0
    for i in range(5):
        weight = np.exp(tilted(c[i], same[i], hard))
        for j in range(5):
            sign = 1 if same[i, j] else -1
            wanted += weight[j] * math.log(1 + math.exp(-sign * (c[i, j] / 0.5 - 1.0))) / 5
    assert float(
        sigmoid_loss(COSINES, SAME, torch.tensor(0.5), torch.tensor(-1.0), hard)
    ) == pytest.approx(wanted)


def test_negatives_weigh_one_in_the_mean() -> None:
    weights = hardness(COSINES, SAME, 3.0).exp()
    assert torch.allclose((weights * ~SAME).sum(1), (~SAME).sum(1).double()) and torch.equal(
        weights[SAME], torch.ones(9).double()
    )
    assert torch.equal(
        hardness(COSINES, torch.ones(5, 5, dtype=torch.bool), 3.0), torch.zeros(5, 5).double()
    )


def rows() -> Embeddings:
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(90, 4))
    features = {
        f: (hidden @ rng.normal(size=(4, 8)) + rng.normal(size=(90, 8))).astype(np.float32)
        for f in ("a", "b", "c")
    }
    return Embeddings(
        ("a", "b", "c"), features, rng.random((90, 3)) < 0.8, tuple(map(str, range(90))), "space"
    )


def trained() -> np.ndarray:
    how = Align(width=4, steps=20, batch=31, rate=0.01, pull=0.0, landmarks=30)
    return (
        fit_alignment(
            how,
            rows(),
            [str(k // 2) for k in range(90)],
            RUNTIME,
        )
        .project(rows())
        .vectors
    )


def process(rank: int, world: int, port: int, out: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=world)
    np.save(f"{out}/{rank}.npy", trained())
    distributed.destroy_process_group()


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, paths = [sys.executable, __file__], {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [*command, str(rank), "2", str(port), str(tmp_path)], env={**os.environ, **paths}
        )
        for rank in range(2)
    ]
    alone = trained()
    assert [p.wait() for p in processes] == [0, 0]
    for rank in range(2):
        assert np.allclose(np.load(tmp_path / f"{rank}.npy"), alone, atol=1e-4)


if __name__ == "__main__":  # one of the processes that the test starts
    process(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
