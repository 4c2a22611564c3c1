"""Files inside an archive (tar), named in cells by their place in it: `SHARD.tar!OFFSET+SIZE/NAME`.

So a table of shards holds no content, and a file is read alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MEMBER = re.compile(r"(?P<archive>.+\.tar)!(?P<start>\d{1,18})\+(?P<size>\d{1,18})/(?P<name>[^/]*)")


@dataclass(frozen=True)
class TarMember:
    """One file. archive: path of the archive. start, size: in bytes."""

    archive: str
    start: int
    size: int
    name: str

    @property
    def cell(self) -> str:
        """What a cell holds for it."""
        return f"{self.archive}!{self.start}+{self.size}/{self.name}"


def member_of(value: Any) -> TarMember | None:  # noqa: ANN401 - a cell is any
    """The file inside an archive that a cell names; None for any other value."""
    if not isinstance(value, str) or ".tar!" not in value:
        return None
    if (found := MEMBER.fullmatch(value)) is None:
        return None
    return TarMember(found["archive"], int(found["start"]), int(found["size"]), found["name"])
