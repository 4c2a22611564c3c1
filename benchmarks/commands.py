"""What the command line costs: processor time and memory of commands that need no data, and of the
verbs on runs of 1,000, 10,000 and 100,000 rows.

python benchmarks/commands.py: the commands that need no data.
python benchmarks/commands.py --rows 1000,10000 --folder DIR: the verbs on runs of so many rows.
python benchmarks/commands.py --images 300 --folder DIR: questions with an image, `generate`, and
the import of torch alone, which both need.
DIR keeps the runs, so that a second call measures again and fits nothing. Each appends a line for
each command to benchmarks/results/commands.jsonl.

Each command runs in processes of its own, with warm files and one thread. Told are the least
processor time (user and system) of `REPEATS`, and the least peak of resident memory. A run of more
than `MOST_CHECKED` rows is fitted without `check`, whose near-duplicates compare all rows with all
others; `check`, `fit` and `curate` are not measured there.

What it can't show: costs of sounds and series, and of generators other than the default one."""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPEATS = 5
REPEATS_OF_VERBS = 2
MOST_CHECKED = 20_000  # rows of a run that is checked
COMMANDS = {  # words -> exit code, and what the page of benchmarks calls it
    "--version": (0, "`gobelin --version`"),
    "--help": (0, "`gobelin --help`"),
    "search --help": (0, "`gobelin search --help`"),
    "list": (0, "`gobelin list`"),
    "list generators --json": (0, "`gobelin list generators --json`"),
    "chek data.csv": (2, "a verb that isn't there"),
    "fit data.csv": (2, "an option that is missing"),
}
# {what the page calls it: (words, parts of the run that are removed before, times it is repeated)}.
# RUN, DATA, ONE: the run folder, its data, a file of one of its rows.
VERBS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "`check`": ("check DATA --target kind --run NEW --set runtime.threads=1", (), 1),
    "`fit`": ("fit DATA --target kind --run NEW --set runtime.threads=1", (), 1),
    "`evaluate`": ("evaluate RUN", ("verbs/evaluate",), REPEATS_OF_VERBS),
    "`search --text`": ("search RUN --text red", (), REPEATS_OF_VERBS),
    "`search --row`": ("search RUN --row region=north,weight=2", (), REPEATS_OF_VERBS),
    "`search --where`, the first": ("search RUN --row region=north --where age>50", ("index",), 1),
    "`search --where`": ("search RUN --row region=north --where age>50", (), REPEATS_OF_VERBS),
    "`predict`, one row": ("predict RUN ONE --out PREDICTED", (), REPEATS_OF_VERBS),
    "`predict`, all rows": ("predict RUN DATA --out PREDICTED", (), 1),
    "`describe`": ("describe RUN --row region=north,weight=2", (), REPEATS_OF_VERBS),
    "`curate`": ("curate RUN", ("verbs/curate", "curated"), 1),
    "`report`": ("report RUN", (), 1),
    "`show`": ("show RUN", (), REPEATS_OF_VERBS),
    "`save`": ("save RUN SAVED", (), 1),
}
# not measured on more than MOST_CHECKED rows: they compare all rows with all others
OF_ALL_ROWS = ("`check`", "`fit`", "`curate`")
# on a run of drawn shapes; IMAGE is one of its files
IMAGE_VERBS = {
    "`search --image`": "search RUN --image IMAGE",
    "`predict`, one row with an image": "predict RUN ONE --out PREDICTED",
    "`generate --label`, 4 images": "generate RUN --label circle -n 4 --out IMAGES",
    "`generate --image`, 4 images": "generate RUN --image IMAGE -n 4 --out IMAGES",
}
GENERATOR_STEPS = 20  # an image costs the same after any number
SECOND = "the second `search`, in one process"
THINGS = {
    "tool": ("hammer", "saw", "drill", "wrench", "pliers"),
    "fruit": ("apple", "pear", "plum", "grape", "melon"),
    "garment": ("coat", "shirt", "scarf", "hat", "glove"),
}
COLOURS = ("red", "green", "blue", "yellow", "black", "white", "brown", "grey")
REGIONS = ("north", "south", "east", "west")
PLACES = ("Lyon", "Kyoto", "Lagos", "Lima", "Oslo", "Austin", "Cairo", "Pune")
MOST_TEXTS = 9_600  # different texts; more rows repeat them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="", help="Rows of the runs: 1000,10000")
    parser.add_argument("--images", type=int, default=0, help="Rows of a run with images")
    parser.add_argument("--folder", type=Path, help="Folder of the runs.")
    asked = parser.parse_args()
    found: list[dict[str, object]] = []
    if not asked.rows and not asked.images:
        for words, (code, what) in COMMANDS.items():
            spent = measured(words.split(), code)
            found.append({"words": words, "what": what, **spent})
    for rows in [int(n) for n in asked.rows.split(",") if n]:
        found += of_verbs(rows, asked.folder.resolve() / str(rows))
    if asked.images:
        found += of_images(asked.images, asked.folder.resolve() / f"images-{asked.images}")
    # it loads torch, and a process that starts another one counts in the peak of that one
    import record

    for line in found:
        record.append("commands", line)


def of_verbs(rows: int, folder: Path) -> list[dict[str, object]]:
    """A line for each verb on a run of so many rows, which is fitted in `folder` if it is not
    there."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {
        "DATA": folder / "data.csv",
        "ONE": folder / "one.csv",
        "RUN": folder / "run",
        "NEW": folder / "new",
        "PREDICTED": folder / "predicted.csv",
        "SAVED": folder / "saved",
    }
    # in a process of its own: the system counts the memory of this one as a peak of its children
    made = multiprocessing.get_context("spawn").Process(target=prepared, args=(places, rows))
    made.start()
    made.join()
    if made.exitcode:
        raise SystemExit(f"{folder}: the run could not be fitted.")
    found: list[dict[str, object]] = []
    for what, (text, removed, repeats) in VERBS.items():
        if what in OF_ALL_ROWS and rows > MOST_CHECKED:
            continue

        def before(removed: tuple[str, ...] = removed) -> None:
            for place in (*(places["RUN"] / name for name in removed), places["NEW"]):
                shutil.rmtree(place, ignore_errors=True)
            shutil.rmtree(places["SAVED"], ignore_errors=True)

        words = [str(places.get(word, word)) for word in text.split()]
        found.append({"what": what, "rows": rows, **measured(words, 0, repeats, before)})
        sys.stderr.write(f"{found[-1]}\n")
    environment = environment_of_one_thread()
    asked = [sys.executable, "-c", SECOND_QUESTION, str(places["RUN"])]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    return [
        *found,
        {"what": SECOND, "rows": rows, "processor_s": seconds, "peak_mb": round(megabytes, 1)},
    ]


def of_images(rows: int, folder: Path) -> list[dict[str, object]]:
    """A line for the import of torch, and for each verb of IMAGE_VERBS on a run of so many images,
    which is fitted in `folder` if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    made = multiprocessing.get_context("spawn").Process(target=with_images, args=(folder, rows))
    made.start()
    made.join()
    if made.exitcode:
        raise SystemExit(f"{folder}: the run could not be fitted.")
    image = min((folder / "data").rglob("*.png"))
    places = {
        "RUN": folder / "run",
        "IMAGE": image,
        "ONE": folder / "data" / "one.csv",
        "PREDICTED": folder / "predicted.csv",
        "IMAGES": folder / "made",
    }
    imported = measured(["-c", "import torch"], 0, REPEATS_OF_VERBS, module=False)
    found: list[dict[str, object]] = [{"what": "`import torch` alone", **imported}]
    for what, text in IMAGE_VERBS.items():
        words = [str(places.get(word, word)) for word in text.split()]
        spent = measured(words, 0, REPEATS_OF_VERBS)
        found.append({"what": f"{what} (of {rows})", **spent})
        sys.stderr.write(f"{found[-1]}\n")
    return found


def with_images(folder: Path, rows: int) -> None:
    """Drawn shapes, a file of one of their rows, and a run with a generator."""
    from gobelin import Workbench
    from gobelin.data.samples.shapes import Shapes

    if (folder / "run" / "generators").is_dir():
        return
    data = Path(Shapes(rows=rows).write(folder / "data", seed=0))
    lines = data.read_text(encoding="utf-8").splitlines(keepends=True)
    (data.parent / "one.csv").write_text("".join(lines[:2]), encoding="utf-8")
    settings = {"runtime.threads": 1, "generator.steps": GENERATOR_STEPS}
    Workbench(data, "shape", folder / "run", settings).fit(generator=True)


SECOND_QUESTION = """
import resource, sys, time
from gobelin import Workbench
bench = Workbench.open(sys.argv[1])
bench.search(5, text="a red hammer"), bench.search(5, row="region=north,weight=2")
before, count = time.process_time(), 5
for k in range(count):
    bench.search(5, text=f"a blue hat {k}")
spent = (time.process_time() - before) / count
print(round(spent, 4), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
"""


def write_data(path: Path, rows: int) -> None:
    """Rows with an id, a text, a category, three numbers and a class to predict."""
    if path.is_file():
        return
    import numpy as np

    rng = np.random.default_rng(rows)
    kinds, wrong = rng.integers(3, size=rows), rng.integers(3, size=rows)
    shown = np.where(rng.random(rows) < 0.9, kinds, wrong)
    words = [(COLOURS, rng.integers(8, size=rows)), (PLACES, rng.integers(8, size=rows))]
    things, numbers = rng.integers(5, size=rows), rng.integers(MOST_TEXTS // 960, size=rows)
    weights, prices = rng.normal(kinds + 1, 1), rng.normal(10 * kinds + 10, 9)
    regions, ages = rng.integers(4, size=rows), rng.integers(1, 90, size=rows)
    present = rng.random(rows) < 0.98
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "description", "region", "weight", "price", "age", "kind"])
        for k in range(rows):
            colour, place = (named[places[k]] for named, places in words)
            thing = THINGS[list(THINGS)[shown[k]]][things[k]]
            text = f"a {colour} {thing} number {numbers[k]} from {place}" if present[k] else ""
            numbered = (round(float(weights[k]), 3), round(float(prices[k]), 2), int(ages[k]))
            region, kind = REGIONS[regions[k]], list(THINGS)[kinds[k]]
            writer.writerow([f"r{k}", text, region, *numbered, kind])


def prepared(places: dict[str, Path], rows: int) -> None:
    """The data and the run, where they are not there."""
    write_data(places["DATA"], rows)
    write_data(places["ONE"], 1)
    if not (places["RUN"] / "rows" / "stage.json").is_file():
        fitted(places["DATA"], places["RUN"], rows)


def fitted(data: Path, run: Path, rows: int) -> None:
    """Fit a run; a large one without `check`."""
    from gobelin import Workbench

    bench = Workbench(data, "kind", run, {"runtime.threads": 1})
    if rows <= MOST_CHECKED:
        bench.fit()
        return
    bench.run = bench.run.begin().with_fusion_chosen()  # as `Workbench.fit`, without the checks
    _ = bench.run.space.alignment, bench.run.predictor.model
    bench.run.keep()


def measured(
    words: list[str],
    code: int,
    repeats: int = REPEATS,
    before: Callable[[], None] = lambda: None,
    module: bool = True,
) -> dict[str, float]:
    """The least processor time in seconds, and the least peak of memory in megabytes. before: is
    called before each time. module: whether the words are those of gobelin, or of Python. The first
    of several times reads the files and doesn't count."""
    spent = []
    for _ in range(repeats + (repeats > 1)):
        before()
        spent.append(one_run(["-m", "gobelin", *words] if module else words, code))
    spent = spent[1:] or spent
    return {
        "processor_s": round(min(seconds for seconds, _ in spent), 3),
        "peak_mb": round(min(megabytes for _, megabytes in spent), 1),
    }


def environment_of_one_thread() -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def one_run(words: list[str], code: int) -> tuple[float, float]:
    """Processor seconds and peak megabytes of one process."""
    command = [sys.executable, *words]
    child = subprocess.Popen(
        command,
        env=environment_of_one_thread(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != code:
        said = " ".join(words)
        raise SystemExit(f"python {said}: ended with {child.returncode}, {code} was expected.")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
