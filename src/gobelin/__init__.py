"""Gobelin: learn from pictures, words and numbers together, make the images that you lack, and know whether they helped.

Names are resolved when they are first used; importing the package loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gobelin.data.dataset import Dataset as Dataset
    from gobelin.data.reading import read as read
    from gobelin.errors import GobelinError as GobelinError
    from gobelin.evidence import Exhibit as Exhibit
    from gobelin.evidence import Finding as Finding
    from gobelin.workbench import Workbench as Workbench
    from gobelin.workbench import from_pretrained as from_pretrained
    from gobelin.workbench import push_to_hub as push_to_hub

__version__ = "0.1.0"
_HOMES = {
    "Dataset": "gobelin.data.dataset",
    "Exhibit": "gobelin.evidence",
    "Finding": "gobelin.evidence",
    "GobelinError": "gobelin.errors",
    "Workbench": "gobelin.workbench",
    "from_pretrained": "gobelin.workbench",
    "push_to_hub": "gobelin.workbench",
    "read": "gobelin.data.reading",
}
__all__ = [
    "Dataset", "Exhibit", "Finding", "GobelinError", "Workbench", "__version__", "from_pretrained", "push_to_hub", "read",
]  # fmt: skip


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gobelin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
