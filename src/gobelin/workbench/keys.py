"""The command `keys new`: a development chain, to sign images at once."""

from __future__ import annotations

from pathlib import Path

from gobelin.core.arguments import typed
from gobelin.core.errors import GobelinError
from gobelin.data.provenance import keys
from gobelin.workbench.export_folder import new_folder


@typed()
def new_keys(folder: str | Path, name: str = "Gobelin development") -> dict[str, Path]:
    """Write a new key, its chain and its authority; {what: file}.

    folder: new or empty; its key is readable by you alone. name: of the signer, which every signed
    image shows. Raises GobelinError for a folder that is not empty, and for a link that leads to
    nothing: who made it would choose where the key lies.

    What this cannot show: to others, who you are. They must get `authority.pem` from you.
    """
    folder = Path(folder)
    if folder.is_symlink() and not folder.exists():
        raise GobelinError(
            f"{folder}: is a link that leads to nothing. A key is not written where it points."
            " Remove the link, or give another folder."
        )
    written = keys.development(name)
    with new_folder(folder, keys.KEY, "") as temporary:
        for file, text in written.items():
            path = temporary / file
            path.touch(mode=0o600 if file == keys.KEY else 0o644)
            path.write_bytes(text)
    parts = {"key": keys.KEY, "chain": keys.CHAIN, "authority": keys.AUTHORITY}
    return {what: folder / file for what, file in parts.items()}
