"""Download from and upload to the Hugging Face hub. No other module does. Nothing is sent or
fetched unless the user names a repository.

What this cannot show: who wrote the downloaded files. The code that opens them checks them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from gobelin.core.errors import GobelinError, MissingExtra


def is_id(name: str) -> bool:
    """Whether the name has the form OWNER/REPOSITORY."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None


def snapshot(
    name: str,
    patterns: Sequence[str],
    revision: str | None = None,
    ignored: Sequence[str] = (),
    local_only: bool = False,
) -> Path:
    """Download files of a repository. Returns their folder in this machine's cache.

    patterns, ignored: the files that match one of `patterns` and none of `ignored`. revision: a
    branch, tag or commit; None = the main branch. local_only: use the cache only. Raises
    MissingExtra without huggingface_hub, and GobelinError if the network, the repository or the
    cache fails.
    """
    hub = _library()
    try:
        folder = hub.snapshot_download(
            name,
            revision=revision,
            local_files_only=local_only,
            allow_patterns=list(patterns),
            ignore_patterns=list(ignored),
        )
    except Exception as error:  # the network's many ways to fail
        raise GobelinError(
            f"{name}: can't be downloaded ({_line(error)}). Give a folder."
        ) from error
    return Path(folder)


def upload(
    folder: Path, name: str, files: Sequence[str], replaced: Sequence[str], private: bool
) -> str:
    """Upload files of a folder to a repository, which is created if missing. Returns its address.

    replaced: patterns of the repository's files to delete, unless they are uploaded again. private:
    create a private repository, and refuse a public one. Raises MissingExtra without
    huggingface_hub, GobelinError for every other failure.
    """
    if not is_id(name):
        raise GobelinError(f"push: {name!r} is no repository of a hub. Give OWNER/REPOSITORY.")
    hub = _library()
    try:
        client = hub.HfApi()
        address = client.create_repo(repo_id=name, private=private, exist_ok=True)
        public = private and client.repo_info(repo_id=name).private is False
        if not public:
            client.upload_folder(
                repo_id=name,
                folder_path=str(folder),
                allow_patterns=list(files),
                delete_patterns=list(replaced),
                commit_message="Saved by Gobelin",
            )
    except Exception as error:
        raise GobelinError(
            f"{name}: can't be uploaded ({_line(error)}). Log in with: hf auth login"
        ) from error
    if public:
        raise GobelinError(
            f"{name}: is a public repository already, a private one was asked for. Say public, or"
            " name another one."
        )
    return str(address)


def _line(error: BaseException) -> str:
    """The first line of an error's message, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtra("huggingface_hub, which talks to the hub,", "diffusers") from error
    return huggingface_hub
