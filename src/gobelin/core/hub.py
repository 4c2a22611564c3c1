"""The one door to the Hugging Face hub: files down, files up. Nothing is fetched or sent unless
somebody named a repository.

What this cannot show: who wrote what is fetched. What may be in it is judged by whoever opens it.
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
    """The folder in this machine's cache that holds the files of a repository that match `patterns`
    and none of `ignored`.

    revision: a branch, tag or commit, None = the main branch. local_only: look in the cache alone.
    Raises MissingExtra without huggingface_hub, and a GobelinError of one line where the network,
    the repository or the cache fails."""
    hub = _library()
    try:
        found = hub.snapshot_download(
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
    return Path(found)


def upload(
    folder: Path, name: str, files: Sequence[str], replaced: Sequence[str], private: bool
) -> str:
    """Send these files of the folder to a repository, made if it isn't there, and return its
    address.

    replaced: patterns of files there that go, unless they are sent anew. private: of a repository
    that is made; one that is public already is refused. Raises MissingExtra without
    huggingface_hub, and a GobelinError of one line for everything else."""
    if not is_id(name):
        raise GobelinError(f"push: {name!r} is no repository of a hub. Give OWNER/REPOSITORY.")
    hub = _library()
    try:
        door = hub.HfApi()
        address = door.create_repo(repo_id=name, private=private, exist_ok=True)
        public = private and door.repo_info(repo_id=name).private is False
        if not public:
            door.upload_folder(
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
            f"{name}: is a public repository already, private was asked for. Say public, or name"
            " another one."
        )
    return str(address)


def _line(error: BaseException) -> str:
    """The first line of what an error says, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtra("huggingface_hub, which talks to the hub,", "diffusers") from error
    return huggingface_hub
