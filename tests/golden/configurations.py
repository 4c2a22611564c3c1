"""The child of `house.py`: runs one configuration with the gobelin of PYTHONPATH, in its folder.

It uses public names alone, so that the same code runs before and after every change of the inside.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

RUNTIME = {"precision": "float32", "threads": 1, "device": "cpu"}
ENCODERS = {"image": {"name": "pixels"}, "text": {"name": "characters"}}
QUICK_STUDY = {
    "seeds": 2,
    "tuning_seeds": 1,
    "ratio": (0.2,),
    "mixes": (0.5,),
    "decays": (1e-2,),
    "agree": False,
    "match": False,
}


def settings(**groups: Mapping[str, Any]) -> dict[str, Any]:
    """The quick settings, with these groups in the place of theirs."""
    return {
        "runtime": RUNTIME,
        "encoders": ENCODERS,
        "align": {"width": 16, "steps": 20},
        "predict": {"folds": 2, "decays": (1e-3, 1e-2)},
        "fusion": {"settings": {"steps": 60, "components": 24}},
        "generator": generator("flow"),
        "judge": {"planted": 28},
        **groups,
    }


def generator(name: str, **own: Any) -> dict[str, Any]:  # noqa: ANN401 - settings of any kind
    return {"name": name, "steps": 20, "size": 16, "settings": {"batch": 16, **own}}


def write_predictions(predictions: Any, path: Path) -> None:  # noqa: ANN401 - of either tree
    arrays = {
        n: np.asarray(getattr(predictions, n))
        for n in ("probabilities", "values", "low", "high", "present")
    }
    if predictions.sets is not None:
        arrays["sets"] = np.asarray(predictions.sets)
    path.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    rows = [list(map(str, row.values())) for row in predictions.rows()]
    (path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")


def write_hits(hits: Any, path: Path) -> None:  # noqa: ANN401
    path.write_text(json.dumps([[hit.id, hit.score] for hit in hits]), encoding="utf-8")


def default(data: Path) -> None:
    """The default fusion, a flow generator; search, predictions, images, description, report."""
    from gobelin import Workbench

    own = generator("flow", width=24, depth=1, heads=2)
    bench = Workbench(
        data / "shapes/records.csv", "shape", "run", settings(generator=own, predict={"folds": 3})
    )
    bench.fit(generator=True)
    bench.evaluate()
    bench.recall()
    write_hits(bench.search(7, text="a red circle", row="side=20"), Path("hits.json"))
    write_hits(
        bench.search(5, "side > 10", query={"image": str(data / "shapes/images/00003.png")}),
        Path("where.json"),
    )
    bench.generate((0, 1, 2, 3), label="circle", out="made/label", text="a large blue circle")
    bench.generate((6,), out="made/nothing", steps=3, guidance=1.5)
    bench.showcase([{"text": "a red circle"}, {"row": "side=20,hue=0.6"}])
    bench.describe(text="a small green square", row="side=9")
    bench.audit()
    bench.index(add=data / "more/records.csv", delete=["00001", "00002"])
    write_hits(bench.search(7, text="a red circle"), Path("hits_of_more.json"))
    write_predictions(bench.predict(data / "more/records.csv"), Path("predictions"))
    bench.report()


def number(data: Path) -> None:
    """A number as the target; `stacking`; adversarial generators; one that starts from images."""
    from gobelin import Workbench

    over = settings(
        fusion={"name": "stacking", "settings": {"options": {"n_estimators": 10}}},
        predict={"folds": 2, "decays": (1e-2,), "local": True},
        generator=generator("gan", width=8, critic_width=8),
        schema={"shape": "category"},
    )
    bench = Workbench(data / "shapes/records.csv", "side", "run", over)
    bench.fit(generator=True)
    bench.evaluate()
    bench.generate((0, 1, 2), label="15", out="made")
    write_predictions(bench.predict(data / "more/records.csv"), Path("predictions"))
    bench = Workbench.open(
        "run", settings={"generator": generator("vaegan", width=8, prior_width=64)}
    )
    bench.fit(generator=True)
    bench.generate((0, 1), out="made/vaegan", text="a red circle")
    own = {**generator("translate", width=8), "source": "outline"}
    bench = Workbench(data / "pairs/records.csv", "shape", "pairs", settings(generator=own))
    bench.fit(generator=True)
    source = data / "pairs/outlines/00003.png"
    bench.generate((4, 5), out="made/source", source=source, strength=0.6)


def contest(data: Path) -> None:
    """All fusions against each other, an autoregressive generator, the audit for copies."""
    from gobelin import Workbench

    over = settings(
        fusion={"name": "all"},
        predict={"folds": 2, "decays": (1e-2,)},
        generator=generator("autoregressive", width=24, depth=1, heads=2, hidden=24),
    )
    bench = Workbench(data / "few/records.csv", "shape", "run", over)
    bench.fit(generator=True)
    bench.evaluate()
    bench.generate((0, 1, 2), label="square", out="made")
    bench.audit()
    write_predictions(bench.predict(data / "more/records.csv"), Path("predictions"))


def study(data: Path) -> None:
    """A small study of two generators against rivals, its audit, its export and its report."""
    from gobelin import Workbench

    own = {**generator("flow", width=24, depth=1, heads=2), "seeds": 2}
    rivals = (
        "classic",
        "generator_size",
        "oversampling",
        "weights",
        "retrieved",
        "copies",
        "procedural_noise",
    )
    over = settings(
        generator=own,
        augment={**QUICK_STUDY, "generators": ("flow", "procedural"), "rivals": rivals},
        judge={"planted": 28},
    )
    bench = Workbench(data / "shapes/records.csv", "shape", "run", over)
    bench.fit(generator=True)
    bench.plan(augment=True)
    bench.augment(export="export")
    bench.audit()
    bench.report()
    Path("conclusions.json").write_text(json.dumps(len(bench.conclusions())), encoding="utf-8")


def tuned(data: Path) -> None:
    """A tuned image encoder, curated labels, a saved run, and a study of the method."""
    from gobelin import Workbench, from_pretrained

    over = settings(
        encoders={
            **ENCODERS,
            "image": {"name": "convolution", "pixels": 12, "filters": 4, "patch": 3},
        },
        tune={"fields": ("image",), "steps": 6, "how": "lora", "batch": 16},
        generator={**generator("procedural"), "settings": {}},
        curate={"draws": 20},
    )
    bench = Workbench(data / "shapes/records.csv", "shape", "tuned", over)
    bench.fit(generator=True)
    bench.curate(export="curated")
    saved = from_pretrained(bench.save_pretrained("saved", index=True))
    write_predictions(saved.predict(data / "more/records.csv"), Path("predictions"))
    write_hits(saved.search(5, text="a red circle"), Path("hits.json"))
    saved.generate((0, 1), out="made")

    over = settings(
        generator=generator("vaegan", width=8, prior_width=64),
        predict={"folds": 2, "decays": (1e-2,)},
        augment={
            **QUICK_STUDY,
            "study": "method",
            "resamples": 5,
            "rivals": ("classic", "copies"),
            "agree": True,
        },
    )
    bench = Workbench(data / "shapes/records.csv", "shape", "method", over)
    bench.fit()
    bench.augment()


CONFIGURATIONS: Mapping[str, Callable[[Path], None]] = {
    "default": default,
    "number": number,
    "contest": contest,
    "study": study,
    "tuned": tuned,
}


def write_data(folder: Path) -> None:
    """The drawn shapes, by the tree that everything is compared with."""
    from gobelin.data.samples.shapes import Shapes

    Shapes(rows=280, size=16, balance=(0.3, 0.3, 0.2, 0.2)).write(folder / "shapes", seed=0)
    Shapes(rows=120, size=16).write(folder / "few", seed=1)
    Shapes(rows=120, size=16).write(folder / "pairs", seed=2)
    Shapes(rows=40, size=16).write(folder / "more", seed=7)
    rename(folder / "more/records.csv")
    add_outlines(folder / "pairs")


def rename(records: Path) -> None:
    """Ids that no other data set has."""
    header, *rows = records.read_text(encoding="utf-8").splitlines()
    records.write_text(
        "\n".join([header, *(f'"more-{row[1:]}' for row in rows)]) + "\n", encoding="utf-8"
    )


def add_outlines(folder: Path) -> None:
    """A second image column: where the first image has edges."""
    from PIL import Image, ImageFilter

    (folder / "outlines").mkdir()
    for path in sorted((folder / "images").glob("*.png")):
        with Image.open(path) as image:
            image.convert("L").filter(ImageFilter.FIND_EDGES).convert("RGB").save(
                folder / "outlines" / path.name
            )
    header, *rows = (folder / "records.csv").read_text(encoding="utf-8").splitlines()
    lines = [f"{header},outline", *(f"{row},outlines/{k:05d}.png" for k, row in enumerate(rows))]
    (folder / "records.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    name, data, tree = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    import gobelin

    if not Path(gobelin.__file__).is_relative_to(tree):
        raise SystemExit(f"{gobelin.__file__} was imported, and {tree} was meant.")
    write_data(data) if name == "data" else CONFIGURATIONS[name](data)
