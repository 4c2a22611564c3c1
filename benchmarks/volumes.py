"""Volumes of 32 x 32 x 32 voxels: generators against a Gaussian of each voxel and a plain 3D VAE.

apt-get install mricron-data
python benchmarks/volumes.py [--seen 4800] [--contender NAME] [--sheet FILE.png]

The data are patches of one head (Colin27, 27 scans of one person averaged, 1 mm). Two regions of
it, left front and right back, are held out: no training patch holds a voxel of them. Training
patches are those of right front and left back, mirrored, so that both are alike as far as a head is
symmetric. Every contender sees the same count of patches while it learns. The Fréchet distance is
taken in the space of the encoder `voxels`, which no generator uses, to training patches and to
held-out ones. The floor is that of other patches of the training regions.

What this can't show: how volumes of other people would look. One head is one head."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin.core import catalog
from gobelin.core.machine import Runtime, generator, numpy_generator
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.pictures import three_planes
from gobelin.data.volume.volumes import VolumeOpening
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.networks.convolution import ConvDecoder, ConvEncoder, pixels_of, signal_of
from gobelin.quality import images as quality
from gobelin.quality.metrics import frechet

HEAD = Path("/usr/share/mricron/templates/ch2.nii.gz")
SIDE, TRAIN, HELD, MADE = 32, 1500, 600, 500
BRIGHT = 40  # mean of a patch, of 255, at least: patches of air teach nothing
RUNTIME = Runtime(0, "cpu", "float32", 1)
GAUSSIAN, VAE, FLOOR = "per-voxel Gaussian", "plain 3D VAE", "real patches"
# Small batches: more steps for the same count of patches. A patch of 8 voxels a side has 512
# numbers, more than a token has (192).
GENERATORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "flow": ("flow", {"batch": 16, "half_life": 100.0, "patch": 8}),
    "flow, patches of 4 voxels": (
        "flow",
        {
            "batch": 16,
            "half_life": 100.0,
            "patch": 4,
            "width": 64,
            "depth": 2,
            "heads": 2,
            "rate": 2e-3,
            "shortcuts": 0.0,
        },
    ),
    "vaegan": ("vaegan", {"half_life": 50.0}),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seen", type=int, default=4800, help="patches seen in training")
    parser.add_argument("--contender", default="", help="one contender; all without it")
    parser.add_argument("--sheet", type=Path, help="PNG of planes of real and generated patches")
    chosen = parser.parse_args()
    head = open_volume(HEAD.name, HEAD.parent, VolumeOpening())[0].values[..., :1].astype(np.uint8)
    train, other, held = patches(head)
    contenders: dict[str, Callable[[int], np.ndarray]] = {
        FLOOR: lambda seen: other,
        GAUSSIAN: lambda seen: gaussian(train),
        **{name: (lambda seen, n=name: made(n, train, held, seen)) for name in GENERATORS},
        VAE: lambda seen: vae(train, seen),
    }
    encoder = quality.fitted("voxels", quality.SPACES["volumes"]["voxels"], train, RUNTIME)

    def space(volumes: np.ndarray) -> np.ndarray:
        return np.concatenate(list(quality.features(encoder, volumes, RUNTIME)))

    to_train, to_held = space(train), space(held)
    shown = [train[:8]]
    for name, make in contenders.items():
        if chosen.contender not in ("", name):
            continue
        began = time.process_time()
        volumes = make(chosen.seen)
        spent = time.process_time() - began
        features = space(volumes)
        learns = name not in (GAUSSIAN, FLOOR)
        record.append(
            "volumes",
            {
                "contender": name,
                "voxels_a_side": SIDE,
                "training_patches": len(train),
                "patches_seen": chosen.seen if learns else 0,
                "generated": len(volumes),
                "frechet_to_training": round(frechet.distance([to_train], [features]), 4),
                "frechet_to_held_out": round(frechet.distance([to_held], [features]), 4),
                "held_out_patches": len(held),
                "features": features.shape[1],
                "processor_seconds": round(spent, 1),
                "threads": 1,
            },
        )
        shown.append(volumes[:8])
    if chosen.sheet:
        planes = [np.concatenate([three_planes(v) for v in row], 1) for row in shown]
        picture = Image.fromarray(np.concatenate(planes))
        picture.resize((picture.width * 2, picture.height * 2), 0).save(chosen.sheet)


def patches(head: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 [n, 32, 32, 32, 1] each: training patches, other patches of the same regions, and
    patches of the held-out regions."""
    rng = numpy_generator(0, "volumes", "patches")
    learned: list[np.ndarray] = []
    held: list[np.ndarray] = []
    middle = np.array(head.shape[1:3]) // 2
    while len(learned) < TRAIN + MADE or len(held) < HELD:
        corner = rng.integers(0, np.array(head.shape[:3]) - SIDE + 1)
        patch = head[tuple(slice(c, c + SIDE) for c in corner)]
        after, before = corner[1:] >= middle, corner[1:] + SIDE <= middle
        if patch.mean() < BRIGHT or not (after | before).all():
            continue
        front, right = after
        if front == right and len(learned) < TRAIN + MADE:
            learned.append(patch[:, :, ::-1])
        elif front != right and len(held) < HELD:
            held.append(patch)
    return np.stack(learned[:TRAIN]), np.stack(learned[TRAIN:]), np.stack(held)


def nothing(count: int) -> Condition:
    """No condition at all, `count` times."""
    return Condition((), torch.zeros(count, 0, 1), torch.zeros(count, 0, dtype=torch.bool))


def made(name: str, train: np.ndarray, held: np.ndarray, seen: int) -> np.ndarray:
    """Volumes of a generator after this many patches."""
    component = catalog.build("generators", *GENERATORS[name])
    rows, no_rows = (ImageRows(v, nothing(len(v))) for v in (train, held[:0]))
    with tempfile.TemporaryDirectory() as folder:
        steps = seen // component.batch
        sampler = component.fit(rows, no_rows, Context(RUNTIME, Path(folder), steps))
    return np.concatenate(list(sampler.sample(nothing(MADE), range(MADE), Controls())))


def gaussian(train: np.ndarray) -> np.ndarray:
    """Each voxel from its own Gaussian, fitted to the training patches."""
    rng, x = numpy_generator(0, "volumes", "gaussian"), train.astype(np.float32)
    drawn = rng.normal(x.mean(0), x.std(0), (MADE, *x.shape[1:]))
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


class Vae(nn.Module):
    """A variational autoencoder (Kingma and Welling 2014) of three-dimensional convolutions, with
    one variance of all voxels, the best for each batch (Rybkin et al. 2021, section 3.2)."""

    def __init__(self, code: int = 64, width: int = 8) -> None:
        super().__init__()
        size, self.code = (SIDE, SIDE, SIDE, 1), code
        self.encoder, self.decoder = (
            ConvEncoder(size, 2 * code, width),
            ConvDecoder(size, code, width),
        )

    def loss(self, real: Tensor, rng: torch.Generator) -> Tensor:
        """The negative bound of the likelihood, a mean over patches."""
        mean, log_variance = self.encoder(real).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=rng)
        found = self.decoder(mean + noise * (0.5 * log_variance).exp())
        error = functional.mse_loss(found, real)
        rest = 0.5 * real[0].numel() * error.log()
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
        return rest + divergence


def vae(train: np.ndarray, seen: int, batch: int = 32) -> np.ndarray:
    """Volumes of the VAE after this many patches. Codes are drawn from a Gaussian that is fitted to
    the codes of training patches (Ghosh et al. 2020): from the prior they gave grey cubes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Vae()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    adam, rng = torch.optim.Adam(network.parameters(), 1e-3), generator(0, "volumes", "vae")
    for _ in range(seen // batch):
        rows = torch.randint(len(train), (batch,), generator=rng)
        loss = network.loss(signal_of(train[rows.numpy()]), rng)
        adam.zero_grad()
        loss.backward()
        adam.step()
    network.eval()
    with torch.no_grad():
        parts = [network.encoder(signal_of(some)) for some in np.array_split(train, 30)]
        learned = torch.cat(parts).chunk(2, dim=1)[0]
        factor = torch.linalg.cholesky(learned.T.cov() + 1e-4 * torch.eye(network.code))
        codes = learned.mean(0) + torch.randn(MADE, network.code, generator=rng) @ factor.T
        return np.concatenate([pixels_of(network.decoder(code)) for code in codes.split(100)])


if __name__ == "__main__":
    main()
