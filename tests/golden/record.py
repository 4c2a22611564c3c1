"""Made the folders beside this file, with the code of commit 2dac47b. Kept to show how it was done:

    python tests/golden/record.py FOLDER

What this cannot show: that the numbers are right. They are what that commit said.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter

HERE = Path(__file__).resolve().parent
SETTINGS: dict[str, Any] = {
    "runtime": {"precision": "float32", "threads": 1, "device": "cpu"},
    "schema": {"outline": "image"},
    "encoders": {
        "image": {"name": "pixels", "frequencies": 4},
        "text": {"name": "characters", "width": 6, "hashes": 32},
    },
    "split": {"valid": 0.2, "test": 0.2},
    "align": {"width": 12, "components": 8, "landmarks": 12, "joint": 8, "pairs": 2, "steps": 10},
    "predict": {"folds": 2, "decays": (1e-2,)},
    "fusion": {"settings": {"steps": 60, "components": 8}},
    "leave_out": ("outline", "auto"),
}
TINY = {"steps": 12, "size": 16}
GENERATORS: dict[str, dict[str, Any]] = {
    "flow": {"settings": {"width": 16, "depth": 1, "heads": 2, "batch": 8}},
    "vaegan": {
        "settings": {"width": 4, "code": 8, "batch": 8, "prior_width": 12, "prior_depth": 1}
    },
    "gan": {"settings": {"width": 4, "critic_width": 4, "code": 8, "batch": 8}},
    "autoregressive": {
        "settings": {"width": 12, "depth": 1, "heads": 2, "hidden": 8, "levels": 8, "batch": 8}
    },
    "translate": {"settings": {"width": 4, "batch": 8}, "source": "outline"},
    "procedural": {"settings": {}},
}
QUERY = {"text": "a red circle", "row": "side=9"}


def write_data(folder: Path) -> Path:
    """Sixty shapes without noise, so that files are small; every second row has a second image."""
    from gobelin.data.samples.shapes import Shapes

    records = Shapes(rows=60, size=12, noise=0.0, balance=(0.4, 0.35, 0.25, 0.0)).write(
        folder, seed=4
    )
    header, *rows = records.read_text(encoding="utf-8").splitlines()
    lines = [f'{header},"outline"']
    for k, row in enumerate(rows):
        name = f"images/{k:05d}.png"
        with Image.open(folder / name) as image:
            small = image.convert("RGB").quantize(8)
            outline = image.convert("L").filter(ImageFilter.FIND_EDGES).quantize(4)
        small.convert("RGB").save(folder / name, optimize=True)
        if k % 2 == 0:
            outline.convert("L").save(
                folder / name.replace("images/", "images/outline-"), optimize=True
            )
        lines.append(
            f'{row},"{name.replace("images/", "images/outline-")}"' if k % 2 == 0 else f"{row},"
        )
    records.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return records


def main(folder: Path) -> None:
    from gobelin import Workbench, from_pretrained

    run, saved, records = folder / "run_folder", folder / "saved_run", write_data(folder / "data")
    for name in reversed(GENERATORS):
        own = {"generator": {"name": name, **TINY, **GENERATORS[name]}}
        Workbench(records, "shape", run, {**SETTINGS, **own}).fit(generator=True)
    bench = Workbench.open(run)
    bench.evaluate()
    bench.recall()
    expected: dict[str, Any] = {
        "query": QUERY,
        "generators": {n: {"name": n, **TINY, **g} for n, g in GENERATORS.items()},
    }
    expected["hits"] = [[hit.id, hit.score] for hit in bench.search(5, **QUERY)]
    expected["hits_where"] = [
        [hit.id, hit.score] for hit in bench.search(3, "side > 6", text="a green square")
    ]
    predictions = bench.predict(records)
    expected |= {"ids": list(predictions.ids), "classes": list(predictions.classes)}
    expected |= {"probabilities": predictions.probabilities.tolist()}
    expected["rows"] = [
        {key: str(value) for key, value in row.items()} for row in predictions.rows()[:5]
    ]
    (folder / "images").mkdir()
    for name, own in expected["generators"].items():
        source = {"source": folder / "data/images/outline-00000.png"} if own.get("source") else {}
        opened = Workbench.open(run, settings={"generator": own})
        label = None if name == "procedural" else "circle"
        (made,) = opened.generate((3,), label=label, out=folder / "work", **source)
        shutil.move(made, folder / "images" / f"{name}.png")
        shutil.rmtree(folder / "work")
    bench.save_pretrained(saved, index=True)
    assert from_pretrained(saved).predict(records).rows() == predictions.rows()
    for left in ("cache", "images", "work", ".lock"):
        shutil.rmtree(run / left) if (run / left).is_dir() else (run / left).unlink(missing_ok=True)
    stored = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    stored["data"]["path"] = "data/records.csv"
    (run / "settings.json").write_text(
        json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "expected.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
