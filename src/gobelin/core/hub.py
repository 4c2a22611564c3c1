"""Download from and upload to the Hugging Face hub. No other module does. Nothing is sent or
fetched unless the user names a repository.

What this cannot show: who wrote the downloaded files. The code that opens them checks them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from gobelin.core.errors import GobelinError, MissingExtra, first_line
from gobelin.core.files import atomic_folder

MOST_LETTERS = 96  # of the name of a repository


def is_id(name: str) -> bool:
    """Whether the name has the form OWNER/REPOSITORY, as the hub wants it."""
    word = r"\w(?:[\w.-]*\w)?"
    whole = re.fullmatch(f"{word}/{word}", name, re.ASCII)
    return whole is not None and len(name) <= MOST_LETTERS and not re.search(r"--|\.\.", name)


def refuse_other_names(name: str) -> None:
    """Raises GobelinError for what is no name of a repository. Call it before the work."""
    if not is_id(name):
        raise GobelinError(
            f"push: {name[:MOST_LETTERS]!r} is no name of a repository. Give OWNER/REPOSITORY, of"
            f" {MOST_LETTERS} letters at most."
        )


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
            f"{name}: can't be downloaded ({first_line(error)}). Give a folder."
        ) from error
    return Path(folder)


def located(
    model: str,
    patterns: Sequence[str],
    ignored: Sequence[str],
    revision: str,
    local_only: bool,
    where: str,
    option: str,
) -> tuple[Path, bool]:
    """The folder of a model, and whether it lies in the hub's cache. What is no id is a folder,
    which need not be there.

    model: a folder or an id. where: the setting that names it, and option: the one that lets it be
    downloaded, for messages. The others and what it raises: as `snapshot`.
    """
    folder = Path(model).expanduser()
    if folder.is_dir() or not is_id(model):
        return folder, False
    try:
        return snapshot(model, patterns, revision, ignored, local_only), True
    except MissingExtra:
        raise
    except GobelinError as error:
        if not local_only:
            raise GobelinError(f"{where}: {error}") from error
        raise GobelinError(
            f"{where}: {model}: no such folder here, and no such model in the hub's cache. Run: hf"
            f" download {model}. Or name a folder when you fit, or let fit download it: --set"
            f" {option}=false."
        ) from error


@contextmanager
def offline() -> Iterator[None]:
    """Inside, libraries reach no hub: a file of a model may name a repository, which the user did
    not. It holds for the whole process."""
    constants = _library().constants
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def without_links(snapshot: Path) -> Path:
    """A folder with the files of a snapshot, beside it in the cache, in the place of links to them.

    The library keeps a snapshot as links into the repository's own folder of its cache; it is
    returned as it is where it has none. Raises GobelinError for a link that leads elsewhere."""
    paths = sorted(snapshot.rglob("*"))
    if not any(path.is_symlink() for path in paths):
        return snapshot
    repository = snapshot.resolve().parents[1]
    copy = repository / "gobelin" / snapshot.name
    if copy.is_dir():
        return copy
    for path in paths:
        if not path.resolve().is_relative_to(repository):
            raise GobelinError(f"{path}: leads out of the cache. Delete {snapshot} and try again.")
    with atomic_folder(copy) as temporary:
        for path in (p for p in paths if p.is_file()):
            target = temporary / path.relative_to(snapshot)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return copy


def upload(
    folder: Path, name: str, files: Sequence[str], replaced: Sequence[str], private: bool
) -> str:
    """Upload files of a folder to a repository, which is created if missing. Returns its address.

    replaced: patterns of the repository's files to delete, unless they are uploaded again. private:
    create a private repository, and refuse a public one. Raises MissingExtra without
    huggingface_hub, GobelinError for every other failure.
    """
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
            f"{name}: can't be uploaded ({first_line(error)}). Look at the network, and log in"
            " with: hf auth login"
        ) from error
    if public:
        raise GobelinError(
            f"{name}: is a public repository already, a private one was asked for. Say public, or"
            " name another one."
        )
    return str(address)


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtra("huggingface_hub, which talks to the hub,", "diffusers") from error
    return huggingface_hub
