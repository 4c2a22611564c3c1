"""Search among a million vectors of 256 numbers: the kept table of
`gobelin.embedding.search.index` beside FAISS and hnswlib.

python benchmarks/search.py --folder DIR [--rows 1000000] [--only NAME,...] [--prepare]

Vectors: the sentence encoder's features of all OpenMoji names and Tux Paint captions in its
languages (61,237 texts), centred, turned at random and cut to 256 numbers. A row is a point on the
line between a text and one of its 20 nearest ones, with Gaussian noise of length 0.4 added, so that
a query's neighbours are as far away as those of a real text are: `neighbour_ratio` is the median
over queries of the distance to the tenth neighbour over that to a random row, for rows and for the
texts. 1,000 queries are drawn in the same way and stand in no table; 200 more are for tuning.

Every contender writes and searches in processes of its own. The rivals take their first setting
that finds 99 % on the tuning queries; ours has the library's own. Rivals search with one thread and
build with all; Lance has its own threads. Times are of one query after another; resident memory is
that of the process that opened and searched, nothing else loaded. `--prepare` makes vectors and
exact neighbours alone, which aren't timed."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, K, QUERIES, TUNING, NOISE, NEAR = 256, 10, 1000, 200, 0.4, 20
WANTED = 0.99
LANGUAGES = (
    "ar",
    "de",
    "en",
    "es",
    "fr",
    "it",
    "ja",
    "ko",
    "pt",
    "ru",
    "tr",
    "zh",
)  # of the encoder, with OpenMoji names
CAPTIONS = (*LANGUAGES, "nl", "pl", "pt_br", "th", "zh_cn", "zh_tw")
Search = Callable[[np.ndarray], list[int]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(CONTENDERS))
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--step", choices=("build", "search"), help=argparse.SUPPRESS)
    said = parser.parse_args()
    folder = said.folder / str(said.rows)
    if said.step:
        step = {"build": build, "search": search}[said.step]
        print(json.dumps(step(folder, said.only)))  # noqa: T201 - the answer to the process that asked
        return
    prepare(said.folder, folder, said.rows)
    if not said.prepare:
        import record  # it loads torch, which the processes that are measured don't need

        for name in said.only.split(","):
            found = {
                **asked(said.folder, said.rows, name, "build"),
                **asked(said.folder, said.rows, name, "search"),
            }
            shutil.rmtree(folder / name)
            texts = json.loads((folder / "texts.json").read_text())
            record.append(
                "search", {"contender": name, "rows": said.rows, "width": WIDTH, **found, **texts}
            )


def asked(folder: Path, rows: int, name: str, step: str) -> dict[str, Any]:
    words = [
        sys.executable,
        __file__,
        "--folder",
        str(folder),
        "--rows",
        str(rows),
        "--only",
        name,
        "--step",
        step,
    ]
    return json.loads(
        subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    )


# vectors


def prepare(base: Path, folder: Path, rows: int) -> None:
    if (folder / "texts.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (base / "texts.npy").is_file():
        np.save(base / "texts.npy", features())
    rng = np.random.default_rng(0)
    texts = np.load(base / "texts.npy")
    turn = np.linalg.qr(rng.normal(size=(texts.shape[1], WIDTH)))[0]
    texts = unit(((texts - texts.mean(0)) @ turn)[rng.permutation(len(texts))])
    if not (base / "near.npy").is_file():
        starts = range(0, len(texts), 2048)
        np.save(
            base / "near.npy",
            np.concatenate([top(texts[s : s + 2048], texts, NEAR + 1)[:, 1:] for s in starts]),
        )
    near = np.load(base / "near.npy")
    vectors = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (rows, WIDTH))
    for start, block in drawn(texts, near, rows, 1):
        vectors[start : start + len(block)] = block
    vectors.flush()
    queries = np.concatenate([block for _, block in drawn(texts, near, QUERIES + TUNING, 2)])
    np.save(folder / "queries.npy", queries)
    np.save(
        folder / "truth.npy",
        np.concatenate(
            [top(queries[s : s + 100], vectors, K) for s in range(0, len(queries), 100)]
        ),
    )
    ratios = {
        "neighbour_ratio": ratio(vectors, queries[:200]),
        "neighbour_ratio_of_texts": ratio(texts[500:], texts[:500]),
    }
    (folder / "texts.json").write_text(json.dumps(ratios))


def features() -> np.ndarray:
    """float32 [n, 512]: the sentence encoder's vectors of every different text."""
    import emoji

    from gobelin.core.machine import Runtime
    from gobelin.data.samples.tuxpaint import Tuxpaint, _captions
    from gobelin.embedding.encoders.text import Text

    for code in LANGUAGES:
        emoji.config.load_language(code)
    names = [
        str(one.get(code, "")).strip(":").replace("_", " ")
        for one in emoji.EMOJI_DATA.values()
        for code in LANGUAGES
    ]
    stamps = [_captions(picture.with_suffix(".txt")) for picture in Tuxpaint()._stamps()]
    names += [text for one in stamps for code, text in one.items() if code.lower() in CAPTIONS]
    encoder = Text().fit([], None, {}, Runtime(0, "cpu", "float32", 1))  # type: ignore[arg-type] - it has nothing to fit
    return encoder.embed([[text] for text in dict.fromkeys(names) if text.strip()])


def drawn(
    texts: np.ndarray, near: np.ndarray, count: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, float32 [n, D]) of `count` rows, in blocks."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, 50_000):
        n = min(50_000, count - start)
        one = rng.integers(len(texts), size=n)
        other = near[one, rng.integers(NEAR, size=n)]
        noise = rng.standard_normal((n, WIDTH), dtype=np.float32) * np.float32(NOISE / WIDTH**0.5)
        yield (
            start,
            unit(
                texts[one]
                + rng.random((n, 1), dtype=np.float32) * (texts[other] - texts[one])
                + noise
            ),
        )


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def top(queries: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """int64 [n, k]: the rows of the largest products, best first, exactly."""
    products = queries @ rows.T
    best = np.argpartition(-products, k, axis=1)[:, :k]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(products, best, 1), axis=1), 1)


def ratio(rows: np.ndarray, queries: np.ndarray) -> float:
    products = queries @ rows.T
    tenth = -np.partition(-products, K - 1, axis=1)[:, K - 1]
    return float(np.median(np.sqrt(2 - 2 * tenth) / np.sqrt(2 - 2 * np.median(products, axis=1))))


# contenders: how each writes, and what it searches with


def build(folder: Path, name: str) -> dict[str, Any]:
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir()
    written = CONTENDERS[name][0](np.load(folder / "rows.npy", mmap_mode="r"), folder / name)
    size = sum(p.stat().st_size for p in (folder / name).rglob("*") if p.is_file())
    return {**{k: round(v, 1) for k, v in written.items()}, "disk_mb": round(size / 1e6)}


def search(folder: Path, name: str) -> dict[str, Any]:
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    settings = iter(CONTENDERS[name][1](folder / name))
    setting, ask = next(settings)
    while share(ask, queries[QUERIES:], truth[QUERIES:])[0] < WANTED and (
        wider := next(settings, None)
    ):
        setting, ask = wider
    recall, times = share(ask, queries[:QUERIES], truth[:QUERIES])
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "setting": setting,
        "recall_at_10": round(recall, 4),
        "queries_per_s": round(len(times) / times.sum(), 1),
        "median_ms": round(1000 * float(np.median(times)), 2),
        "p95_ms": round(1000 * float(np.percentile(times, 95)), 2),
        "resident_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6),
    }


def share(ask: Search, queries: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Recall@10, and the seconds of every query."""
    found, times = 0, np.empty(len(queries))
    for i, query in enumerate(queries):
        start = time.perf_counter()
        rows = ask(query)
        times[i] = time.perf_counter() - start
        found += len(set(rows) & set(truth[i].tolist()))
    return found / truth.size, times


def ours_written(rows: np.ndarray, folder: Path) -> dict[str, float]:
    import pyarrow as pa

    from gobelin.embedding.search import index

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(rows).reshape(-1)), WIDTH)
    ids = pa.array([f"r{k}" for k in range(len(rows))])
    start, settle, times = time.perf_counter(), index._settle, {}

    def settled(table: object) -> None:
        times["write_s"] = time.perf_counter() - start
        settle(table)
        times["build_s"] = time.perf_counter() - start - times["write_s"]

    index._settle, index.MOST_PRODUCT_ROWS = settled, 0  # an index for any number of rows
    index.create(
        folder / "index",
        pa.table({index.ID: ids, index.ROW: np.arange(len(rows)), index.VECTOR: vectors}),
        "space",
    )
    return {**times, "total_s": time.perf_counter() - start}


def ours(folder: Path) -> Iterator[tuple[str, Search]]:
    from gobelin.embedding.search import index

    table = index.Index(folder / "index", "space")
    yield (
        f"IVF_RQ, {index.SEARCHED_PARTITIONS} probes, refined {index.COMPARED_EXACTLY}",
        lambda q: [hit.row for hit in table.nearest(q, K)],
    )


def hnswlib_written(rows: np.ndarray, folder: Path) -> dict[str, float]:
    import hnswlib

    start = time.perf_counter()
    graph = hnswlib.Index("ip", WIDTH)
    graph.init_index(len(rows), M=16, ef_construction=100, random_seed=0)
    graph.add_items(rows)
    built = time.perf_counter() - start
    graph.save_index(str(folder / "graph.bin"))
    return {
        "build_s": built,
        "write_s": time.perf_counter() - start - built,
        "total_s": time.perf_counter() - start,
    }


def hnswlib_opened(folder: Path) -> Iterator[tuple[str, Search]]:
    import hnswlib

    graph = hnswlib.Index("ip", WIDTH)
    graph.load_index(str(folder / "graph.bin"))
    graph.set_num_threads(1)

    def ask(query: np.ndarray) -> list[int]:
        return graph.knn_query(query, K)[0][0].tolist()

    for width in (20, 40, 60, 80, 120, 160, 240, 320, 480):
        graph.set_ef(width)
        yield f"M 16, ef_construction 100, ef {width}", ask


def faiss_written(kind: str) -> Callable[[np.ndarray, Path], dict[str, float]]:
    def written(rows: np.ndarray, folder: Path) -> dict[str, float]:
        import faiss

        start = time.perf_counter()
        made = faiss.index_factory(
            WIDTH, kind.format(round(len(rows) ** 0.5)), faiss.METRIC_INNER_PRODUCT
        )
        made.train(np.asarray(rows[:: max(1, len(rows) // 100_000)]))
        for first in range(0, len(rows), 100_000):
            made.add(np.asarray(rows[first : first + 100_000]))
        built = time.perf_counter() - start
        faiss.write_index(made, str(folder / "made.faiss"))
        return {
            "build_s": built,
            "write_s": time.perf_counter() - start - built,
            "total_s": time.perf_counter() - start,
        }

    return written


def faiss_opened(kind: str) -> Callable[[Path], Iterator[tuple[str, Search]]]:
    def opened(folder: Path) -> Iterator[tuple[str, Search]]:
        import faiss

        faiss.omp_set_num_threads(1)
        made = faiss.read_index(str(folder / "made.faiss"))
        refined = isinstance(made, faiss.IndexRefineFlat) or hasattr(made, "refine_index")
        cells = faiss.extract_index_ivf(made)

        def ask(query: np.ndarray) -> list[int]:
            return made.search(query[None], K)[1][0].tolist()

        for probes in (5, 10, 20, 40, 80):
            for factor in (4, 8, 16, 32) if refined else (1,):
                cells.nprobe = probes
                if refined:
                    made.k_factor = factor
                yield f"{kind}, {probes} probes" + (f", refined {factor}" if refined else ""), ask

    return opened


FLAT, QUANTISED = "IVF{},Flat", "IVF{},PQ64,RFlat"
CONTENDERS: dict[
    str,
    tuple[
        Callable[[np.ndarray, Path], dict[str, float]],
        Callable[[Path], Iterator[tuple[str, Search]]],
    ],
] = {
    "gobelin": (ours_written, ours),
    "hnswlib": (hnswlib_written, hnswlib_opened),
    "faiss IVF flat": (faiss_written(FLAT), faiss_opened(FLAT)),
    "faiss IVF-PQ refined": (faiss_written(QUANTISED), faiss_opened(QUANTISED)),
}

if __name__ == "__main__":
    main()
