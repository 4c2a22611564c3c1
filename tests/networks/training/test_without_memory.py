"""A network that is planned without memory."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn

from gobelin.networks.condition import ConditionEmbedding

PLANNED = """
import sys, torch
from gobelin.networks.condition import ConditionEmbedding
with torch.device("meta"):
    ConditionEmbedding(2, 8, 3, 16)
print("torch._dynamo" in sys.modules)
"""


def test_planning_a_network_loads_no_compiler() -> None:
    """Torch loads one, which takes a second, to draw normal numbers that take no memory."""
    done = subprocess.run([sys.executable, "-c", PLANNED], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_fresh_weights_are_those_of_an_embedding() -> None:
    torch.manual_seed(5)
    ours = ConditionEmbedding(0, 8, 3, 16).target.weight
    torch.manual_seed(5)
    assert torch.equal(ours, nn.Embedding(4, 16).weight) and ours.requires_grad
