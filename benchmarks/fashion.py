"""Fashion-MNIST as the sample set reads it, and the two networks that judge made images of it.

The feature net (Fréchet and kernel distance, precision, recall, density, coverage) and the
agreement classifier are two classifiers of other widths from other seeds, trained here on the
training images; no generator sees either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from gobelin.core import catalog
from gobelin.generation.generators import Condition
from gobelin.networks.convolution import signal_of

WORK = Path(__file__).parent / "work"  # never committed: trained judges, features of made images
CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def load(part: str) -> tuple[np.ndarray, np.ndarray]:
    """part: train or t10k. uint8 [N, 28, 28, 1] and int64 [N]."""
    images, labels = catalog.build("samples", "fashion").arrays(part)
    return images[..., None], labels


def asked(labels: np.ndarray) -> Condition:
    """Images of these classes, int64 [N], and of nothing else."""
    n = len(labels)
    return Condition(
        (),
        torch.zeros(n, 0, 1),
        torch.zeros(n, 0, dtype=torch.bool),
        torch.from_numpy(labels.astype(np.int64)),
    )


class Judge(nn.Module):
    """[N, 1, 28, 28] -> features [N, 64] and logits [N, 10]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sides, layers = (1, width, 2 * width, 4 * width), []
        for k, stride in enumerate((2, 1, 2)):
            layers += [
                nn.Conv2d(sides[k], sides[k + 1], 3, stride, 1),
                nn.BatchNorm2d(sides[k + 1]),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * 49, 64), nn.ReLU())
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return features, self.head(features)


def judge(name: str, width: int, seed: int, epochs: int = 4, batch: int = 256) -> Judge:
    """The trained judge, from WORK if it is there."""
    path = WORK / f"judge-{name}.safetensors"
    torch.manual_seed(seed)
    network = Judge(width).to(memory_format=torch.channels_last)
    if not path.is_file():
        images, labels = load("train")
        answers, steps = torch.from_numpy(labels), epochs * (len(labels) // batch)
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        order = torch.cat(
            [torch.randperm(len(labels))[: steps // epochs * batch] for _ in range(epochs)]
        )
        for rows in order.split(batch):
            with torch.autocast("cpu", torch.bfloat16):
                _, logits = network(signal_of(images[rows.numpy()]))
            optimiser.zero_grad()
            functional.cross_entropy(logits.float(), answers[rows]).backward()
            optimiser.step(), schedule.step()
        WORK.mkdir(exist_ok=True)
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    network.load_state_dict(load_file(path))
    return network.eval()


@torch.no_grad()
def read(network: Judge, images: np.ndarray, batch: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Features float64 [N, 64] and the class read, int64 [N]; float32 inside."""
    out = [network(signal_of(images[k : k + batch])) for k in range(0, len(images), batch)]
    return (
        torch.cat([f for f, _ in out]).double().numpy(),
        torch.cat([logits for _, logits in out]).argmax(1).numpy(),
    )
