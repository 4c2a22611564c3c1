"""One vendor's emoji into another's: `translate` against copying the source and against the nearest
training pair's target.

npm install --prefix vendors emoji-datasource-google emoji-datasource-twitter python
benchmarks/translation.py [--minutes 4] [--folder vendors] [--size 32] [--threads 0] [--sheet
FILE.png]

Held-out emoji are never seen in training, in no skin tone and of no person: held out by skin tone
alone, the nearest training pair is often the same emoji of another person (15.3 dB), and retrieval
wins. PSNR and SSIM of pixels, and the distance in the features of a small net that was trained to
name the categories of training targets. Differences are paired, their intervals over emoji
(variants of one emoji are dependent)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import torch
from PIL import Image
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))
import record
from fidelity import psnr, ssim

from gobelin.core.machine import Runtime, generator, numpy_generator
from gobelin.data.image.images import squared
from gobelin.data.samples.vendors import SOURCE_VENDOR, TARGET_VENDOR, Vendors
from gobelin.evidence import intervals
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.generation.generators.translate import Translate
from gobelin.networks.convolution import ConvEncoder, change, signal_of
from gobelin.networks.training.limit import steps_within

MANY_STEPS = 10**7  # more than fit into any limit
HELD_OUT = 0.15  # share of the emoji
COPY, NEAREST = "copy of the source", "target of the nearest training source"
HIGHER = {"psnr_db": True, "ssim": True, "feature_distance": False}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--folder", default="vendors")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="processor threads, 0 = 2")
    parser.add_argument(
        "--sheet",
        type=Path,
        help="PNG of source, made, target, nearest target, for some held-out emoji",
    )
    said = parser.parse_args()
    runtime = Runtime(said.seed, threads=said.threads).resolved()
    source, target, category, family = pairs(Vendors(said.folder), said.size)
    train, test = split(family)
    rows, held = (ImageRows(target[k], from_source(source[k])) for k in (train, test))
    how, start = Translate(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        steps = steps_within(
            said.minutes,
            MANY_STEPS,
            lambda pilot: how.fit(
                rows, held, Context(runtime, Path(folder), MANY_STEPS, told, pilot=pilot)
            ),
        )
    with tempfile.TemporaryDirectory() as folder:
        sampler = how.fit(rows, held, Context(runtime, Path(folder), steps, told))
    spent = time.perf_counter() - start
    outputs, seconds = (
        {COPY: source[test], NEAREST: nearest(source[train], target[train], source[test])},
        {},
    )
    for evaluations in (1, how.evaluations):
        name = f"translate, {evaluations} evaluation{'s' if evaluations > 1 else ''}"
        start = time.perf_counter()
        blocks = sampler.sample(held.condition, range(len(test)), Controls(steps=evaluations))
        outputs[name] = np.concatenate(list(blocks))
        seconds[name] = (time.perf_counter() - start) / len(test)
    net, right = feature_net(target[train], category[train], target[test], category[test])
    wanted = {name: figures(image, target[test], net) for name, image in outputs.items()}
    for name, own in wanted.items():
        row: dict[str, object] = {
            "contender": name,
            "train_pairs": len(train),
            "held_out_pairs": len(test),
        }
        row |= {
            "held_out_emoji": len(set(family[test])),
            "pixels": said.size,
            "feature_net_balanced_accuracy": right,
        }
        row |= {key: round(float(value.mean()), 4) for key, value in own.items()}
        if name in seconds:
            row |= {
                "minutes_asked": said.minutes,
                "steps": steps,
                "seconds_training": round(spent, 1),
            }
            row |= {
                "seconds_an_image": round(seconds[name], 4),
                "precision": runtime.precision,
                "threads": runtime.threads,
            }
            for rival, short in ((COPY, "copy"), (NEAREST, "nearest")):
                row |= gains(own, wanted[rival], family[test], short)
        record.append("translation", row)
    if said.sheet:
        sheet(
            said.sheet,
            [source[test], *(outputs[n] for n in seconds), target[test], outputs[NEAREST]],
        )


def pairs(sample: Vendors, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sources and targets uint8 [N, size, size, 3], categories int64 [N], families str [N]."""
    with tempfile.TemporaryDirectory() as folder:
        path = sample.write(Path(folder) / "set", 0)
        table = pa_csv.read_csv(path).to_pydict()
        images = [
            np.stack([squared(Image.open(path.parent / file), size) for file in table[vendor]])
            for vendor in (SOURCE_VENDOR, TARGET_VENDOR)
        ]
    category = np.unique(table["category"], return_inverse=True)[1]
    return images[0], images[1], category, np.array(table["family"])


def split(family: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of training and held-out emoji; always the same ones."""
    names = np.unique(family)
    order = numpy_generator(0, "translation", "split").permutation(len(names))
    out = np.isin(family, names[order[: round(HELD_OUT * len(names))]])
    return np.flatnonzero(~out), np.flatnonzero(out)


def from_source(source: np.ndarray) -> Condition:
    """Nothing but the source image."""
    nothing = torch.zeros(len(source), 0, 1), torch.zeros(len(source), 0, dtype=torch.bool)
    return Condition((), *nothing, source=source)


def nearest(source: np.ndarray, target: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The target of the training pair whose source has the smallest squared distance in pixels."""
    own, other = (x.reshape(len(x), -1).astype(np.float64) for x in (source, asked))
    distance = (own**2).sum(1) - 2 * other @ own.T
    return target[distance.argmin(1)]


def feature_net(
    images: np.ndarray, labels: np.ndarray, unseen: np.ndarray, truth: np.ndarray, steps: int = 400
) -> tuple[ConvEncoder, float]:
    """A net that names categories, trained from a fixed seed with every category equally often; and
    its balanced accuracy."""
    rng, seed = (
        numpy_generator(0, "translation", "features"),
        generator(0, "translation", "features"),
    )
    height, width, channels = images.shape[1:]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ConvEncoder((height, width, channels), int(labels.max()) + 1, 24, 128)
    adam = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 2e-3, steps)
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    for _ in range(steps):
        index = np.array([rng.choice(rows[int(rng.integers(len(rows)))]) for _ in range(64)])
        signal = change(signal_of(images[index]), seed, shift=0.15, hole=0.0)
        loss = functional.cross_entropy(
            net(signal), torch.from_numpy(labels[index]), label_smoothing=0.1
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    net.eval().requires_grad_(False)
    right = (net(signal_of(unseen)).argmax(1).numpy() == truth).astype(float)
    return net, round(float(np.mean([right[truth == c].mean() for c in np.unique(truth)])), 4)


def features(net: ConvEncoder, images: np.ndarray) -> torch.Tensor:
    """[N, 128] of unit length: the last hidden layer."""
    found: list[torch.Tensor] = []
    hook = net.hidden.register_forward_hook(
        lambda module, given, out: found.append(functional.leaky_relu(out, 0.2))
    )
    for block in np.array_split(images, max(1, len(images) // 256)):
        net(signal_of(block))
    hook.remove()
    return functional.normalize(torch.cat(found), dim=1)


def figures(made: np.ndarray, target: np.ndarray, net: ConvEncoder) -> dict[str, np.ndarray]:
    """float64 [N] each: how near what was made lies to the true target."""
    away = (features(net, made) - features(net, target)).norm(dim=1).double().numpy()
    return {"psnr_db": psnr(made, target), "ssim": ssim(made, target), "feature_distance": away}


def gains(
    own: dict[str, np.ndarray],
    rival: dict[str, np.ndarray],
    family: Sequence[str] | np.ndarray,
    short: str,
) -> dict[str, object]:
    """The mean paired gain over a rival with its 95 % interval, positive where ours is better."""
    out: dict[str, object] = {}
    for key, higher in HIGHER.items():
        found = intervals.mean((own[key] - rival[key]) * (1 if higher else -1), family)
        values = [round(v, 4) for v in (found.value, found.low, found.high)]
        out |= dict(
            zip(
                (f"{key}_gain_over_{short}{end}" for end in ("", "_low", "_high")),
                values,
                strict=True,
            )
        )
    return out


def sheet(path: Path, columns: list[np.ndarray], rows: int = 24, scale: int = 2) -> None:
    """Some held-out emoji, two groups of columns side by side."""
    some = np.linspace(0, len(columns[0]) - 1, rows).astype(int)
    lines = [np.concatenate([c[k] for c in columns], axis=1) for k in some]
    halves = [np.concatenate(lines[half::2], axis=0) for half in (0, 1)]
    whole = np.concatenate(
        [halves[0], np.zeros((len(halves[0]), 8, 3), np.uint8), halves[1]], axis=1
    )
    Image.fromarray(whole).resize(
        (whole.shape[1] * scale, whole.shape[0] * scale), Image.Resampling.NEAREST
    ).save(path)


def told(what: str, done: int, total: int) -> None:
    if done % 100 == 0:
        sys.stderr.write(f"{what}: {done}/{total}\n")


if __name__ == "__main__":
    main()
