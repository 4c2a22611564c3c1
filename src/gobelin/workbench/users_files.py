"""Files of the user in a run folder.

What this cannot show: a file of the user within a folder that Gobelin made there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gobelin.core.errors import GobelinError, some
from gobelin.core.stages import RunFolder
from gobelin.core.temporary import PREFIX
from gobelin.workbench.run import lineage
from gobelin.workbench.run.row_index import INDEX

# What Gobelin makes at the top of a run folder, beside the files that `forget` keeps, as
# docs/reference/run_folder.md lists it.
MADE = (
    *("encoders", "tuned", "alignment", "fusions", "model", "delivered", "checked", "features"),
    *("rows", INDEX, "generators", "crossed", "made", "audited", "outcome", "curated", "verbs"),
    *("complete.json", "findings.jsonl", "exhibits.jsonl", "report.html", "report.md"),
    *("files.safetensors", "cache", "images", "work"),
)


def refuse_users_files(folder: RunFolder, kept: Sequence[str]) -> None:
    """Raises GobelinError for what Gobelin doesn't make there: it may hold the group, so it can't
    stay, and it is the user's, so it is not removed. kept: names beside `MADE`."""
    exports = (Path(e["file"]) for e in lineage.stored(folder)["exports"])
    top = folder.folder.resolve()
    below = {e.relative_to(top).parts[0] for e in exports if e.is_relative_to(top)}
    own = {*kept, *MADE, *below}
    names = (path.name for path in folder.folder.iterdir())
    if others := [n for n in sorted(names) if n not in own and not n.startswith(PREFIX)]:
        raise GobelinError(
            f"{folder.folder}: holds files that are no part of a run ({some(others)}), in which the"
            " group may be. Move them out of it, or delete them, and run the same command again."
        )
