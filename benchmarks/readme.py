"""The tables of README.md and docs from benchmarks/results: `python benchmarks/readme.py` writes
them, `--check` compares.

A table stands between `<!-- table NAME -->` and `<!-- end NAME -->`. docs/benchmarks.md has all of
them but the shape of the source, which docs/design.md has; other pages have some. The functions
that make them stand in benchmarks/tables.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import record
from tables import ideas, judged_images, learned, made_images

ROOT = Path(__file__).parent.parent
ALL = Path("docs/benchmarks.md")  # the page that has every table but that of the source's shape
DESIGN = Path("docs/design.md")  # the page that has that one
SHOWN = (
    learned.alignment,
    made_images.brains,
    learned.commands,
    judged_images.copying,
    learned.curate,
    made_images.demo,
    learned.embedding,
    learned.explain,
    learned.fit_cost,
    learned.found_again,
    learned.fusion,
    made_images.generation,
    learned.house,
    judged_images.membership,
    ideas.mesh_ideas,
    made_images.meshes,
    made_images.metrics,
    learned.missing,
    learned.peers,
    judged_images.price_paths,
    judged_images.privacy,
    judged_images.random_walks,
    learned.search,
    ideas.sign_metric,
    made_images.translation,
    judged_images.verdict,
    judged_images.verdicts,
    made_images.volumes,
)
TABLES = {table.__name__: table for table in SHOWN}


def pages() -> list[Path]:
    """README.md and every page of docs, relative to the project."""
    found = (p.relative_to(ROOT) for p in (ROOT / "docs").rglob("*.md"))
    return [Path("README.md"), *sorted(p for p in found if not p.parts[1].startswith("_"))]


def filled(page: Path, text: str) -> str:
    """The text of a page with the present tables."""
    for name, table in TABLES.items():
        if not record.all_of(name):  # not measured yet: no place for it either
            continue
        pattern = rf"(<!-- table {name} -->\n).*?(<!-- end {name} -->)"
        places = len(re.findall(pattern, text, flags=re.S))
        home = DESIGN if name == "house" else ALL
        if places > 1 or (page == home and not places):
            raise SystemExit(f"{page}: has {places} places for the table {name}. Mark one place.")
        if places:
            text = re.sub(
                pattern, lambda m, table=table: f"{m[1]}{table()}\n{m[2]}", text, flags=re.S
            )
    return text


def main() -> None:
    for page in pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        if (new := filled(page, text)) == text:
            continue
        if "--check" in sys.argv:
            raise SystemExit(
                f"{page}: its tables are not those of benchmarks/results. "
                "Run python benchmarks/readme.py."
            )
        (ROOT / page).write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
