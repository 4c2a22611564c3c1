"""Commands about where images come from, and the options that sign images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gobelin.core.errors import GobelinError
from gobelin.interfaces.options import json_option, run_argument
from gobelin.interfaces.stopping import loading
from gobelin.interfaces.terminal import print_findings, print_next, progress, say, say_json, tell

FILE = click.Path(path_type=Path)


def signing_options(work: Callable[..., None]) -> Callable[..., None]:
    """--sign and --chain, of the commands that write images for others."""
    for names, text in (
        ("--chain", "Certificates of the key, in PEM: its own and those of its issuers."),
        ("--sign", "Sign the images with this private key, in PEM (see gobelin keys new)."),
    ):
        work = click.option(names, type=FILE, metavar="FILE", help=text)(work)
    return work


def signer_of(options: dict[str, Any]) -> Any:  # noqa: ANN401 - a Signer, of a late import
    """The signer of --sign and --chain, which are taken out of the options; None without."""
    key, chain = options.pop("sign"), options.pop("chain")
    if (key is None) != (chain is None):
        given, lacking = ("--sign", "--chain") if chain is None else ("--chain", "--sign")
        raise GobelinError(
            f"{given} {key or chain}: a key and its certificates belong together, found no"
            f" {lacking}. Give both. For a development chain: gobelin keys new DIR."
        )
    if key is None:
        return None
    with loading():
        from gobelin.data.provenance.c2pa import Signer

    return Signer(key, chain)


@click.command("keys")
@click.argument("what", type=click.Choice(["new"]), metavar="new")
@click.argument("folder", type=FILE, metavar="DIR")
@click.option(
    "--name",
    default="Gobelin development",
    show_default=True,
    metavar="NAME",
    help="Name of the signer. Every signed image shows it.",
)
@json_option
def keys_command(what: str, folder: Path, name: str, as_json: bool) -> None:
    """Make a key and certificates to sign images with.

    DIR gets key.pem, which stays with you, chain.pem for --chain, and authority.pem for those who
    verify your images."""
    with loading():
        from gobelin.workbench.keys import new_keys

    made = {part: str(file) for part, file in new_keys(folder, name).items()}
    if as_json:
        return say_json(made)
    for line in (
        f"{made['key']}: the private key. Keep it, give it to nobody.",
        f"{made['chain']}: its certificates. Sign: --sign {made['key']} --chain {made['chain']}",
        f"{made['authority']}: for who verifies: gobelin verify IMAGE --trust {made['authority']}",
    ):
        say(line)


@click.command("verify")
@click.argument("path", type=FILE, metavar="IMAGE|FOLDER")
@click.option(
    "--trust",
    type=FILE,
    metavar="FILE",
    help="Certificates that you trust, in PEM. Without it every signer is unknown.",
)
@json_option
def verify_command(path: Path, trust: Path | None, as_json: bool) -> None:
    """Tell who made images, and whether they were changed. Needs no network.

    Exit code: 0 all made by Gobelin, signed by who you trust, untouched; 3 signed by somebody else;
    4 tampered; 5 the signature was stripped; 6 not signed; 7 unreadable. Of several the worst."""
    progress.begin("verify")
    with loading():
        from gobelin.workbench.verify import exit_code, verify

    findings = verify(path, trust)
    print_findings(findings, as_json)
    if code := exit_code(findings):
        sys.exit(code)


@click.command("lineage")
@run_argument
@click.argument("name", metavar="ID")
@json_option
def lineage_command(run: Path, name: str, as_json: bool) -> None:
    """Tell which images came from a row or a group, and what to make again without it.

    ID is a group, the id of a row, the key of a row in an exported training set, or the id of a
    generated row."""
    progress.begin("lineage")
    with loading():
        from gobelin.workbench.lineage import lineage

    print_findings(lineage(run, name, progress), as_json)


@click.command("forget")
@run_argument
@click.option(
    "--group",
    required=True,
    metavar="NAME",
    help="Group to forget, or id of a row where there is no group column. A row without a group"
    " is 'row ID'.",
)
@click.option(
    "--data",
    type=FILE,
    metavar="DATA",
    help="The data without the group. Without it, where they were.",
)
@json_option
def forget_command(run: Path, group: str, data: Path | None, as_json: bool) -> None:
    """Take a group out of a run, and fit again what rests on it.

    Delete its rows and files from your data first. Studies, audits and images that rest on it are
    removed; run their verbs again."""
    progress.begin("forget")
    with loading():
        from gobelin.workbench.forget import forget

    found = forget(run, group, data, progress)
    try:
        print_findings(found, as_json)
    except GobelinError:  # a full disk; the same command has nothing to forget any more
        for finding in found:
            tell(finding.sentence())
        raise
    print_next(as_json, "evaluate", run)


COMMANDS = (keys_command, verify_command, lineage_command, forget_command)
