"""Gobelin learns from images, texts and numbers together, generates the images that you lack, and
tests whether they help.

Names are resolved when they are first used, so importing the package loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gobelin.core.errors import GobelinError as GobelinError
    from gobelin.data.dataset import Dataset as Dataset
    from gobelin.data.provenance.c2pa import Signer as Signer
    from gobelin.data.read import read as read
    from gobelin.evidence.findings import Exhibit as Exhibit
    from gobelin.evidence.findings import Finding as Finding
    from gobelin.workbench.bench import Workbench as Workbench
    from gobelin.workbench.forget import forget as forget
    from gobelin.workbench.keys import new_keys as new_keys
    from gobelin.workbench.lineage import lineage as lineage
    from gobelin.workbench.save.pretrained import from_pretrained as from_pretrained
    from gobelin.workbench.save.pretrained import push_to_hub as push_to_hub
    from gobelin.workbench.verify import verify as verify

__version__ = "0.1.0"
_HOMES = {
    "Dataset": "gobelin.data.dataset",
    "Exhibit": "gobelin.evidence.findings",
    "Finding": "gobelin.evidence.findings",
    "GobelinError": "gobelin.core.errors",
    "Signer": "gobelin.data.provenance.c2pa",
    "Workbench": "gobelin.workbench.bench",
    "forget": "gobelin.workbench.forget",
    "from_pretrained": "gobelin.workbench.save.pretrained",
    "lineage": "gobelin.workbench.lineage",
    "new_keys": "gobelin.workbench.keys",
    "push_to_hub": "gobelin.workbench.save.pretrained",
    "read": "gobelin.data.read",
    "verify": "gobelin.workbench.verify",
}
__all__ = [
    "Dataset",
    "Exhibit",
    "Finding",
    "GobelinError",
    "Signer",
    "Workbench",
    "__version__",
    "forget",
    "from_pretrained",
    "lineage",
    "new_keys",
    "push_to_hub",
    "read",
    "verify",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gobelin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
