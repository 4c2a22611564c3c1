"""Keys and chains. Oracles: OpenSSL, the C2PA library, which signs or refuses, and chains that are
made here with one thing wrong each."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from signing import DAY, NOW, chain, pixels, x509

from gobelin.core.errors import GobelinError
from gobelin.data.provenance import c2pa, keys
from gobelin.data.provenance.c2pa import Signer
from gobelin.workbench.keys import new_keys

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # isort: skip


def test_a_new_chain_signs_at_once_and_openssl_accepts_it(tmp_path: Path) -> None:
    made = new_keys(tmp_path / "k", "A laboratory")
    assert stat.S_IMODE(made["key"].stat().st_mode) == 0o600
    signer = Signer(made["key"], made["chain"])
    found = c2pa.read(signer.png(pixels(), {"seed": 3}), keys.trusted(made["authority"]))
    assert found.untouched and found.trusted and found.signer == "A laboratory"
    if (openssl := shutil.which("openssl")) is None:
        return
    trust = ["-CAfile", str(made["authority"])]
    for purpose in ("smimesign", "any"):
        command = [openssl, "verify", "-x509_strict", "-purpose", purpose, *trust, made["chain"]]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    other = new_keys(tmp_path / "other")["authority"]
    command = [openssl, "verify", "-CAfile", str(other), str(made["chain"])]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_folder_with_keys_is_never_written_over(tmp_path: Path) -> None:
    before = new_keys(tmp_path)["key"].read_bytes()
    with pytest.raises(GobelinError, match="is not empty. Choose another folder."):
        new_keys(tmp_path)
    assert (tmp_path / keys.KEY).read_bytes() == before
    with pytest.raises(GobelinError, match="--name '': 1 to 64 bytes"):
        new_keys(tmp_path / "new", "")


LETTERS = {"a": 64, "é": 32, "я": 32, "東": 21, "😀": 16}  # of which 64 bytes hold so many


@pytest.mark.parametrize("letter", LETTERS)
def test_a_name_of_any_script_is_signed_with_or_refused(letter: str, tmp_path: Path) -> None:
    most = letter * LETTERS[letter]
    made = new_keys(tmp_path / "most", f" {most} ")
    signed = Signer(made["key"], made["chain"]).png(pixels(), {})
    assert c2pa.read(signed, keys.trusted(made["authority"])).signer == most
    for name in (most + letter, letter * 65):
        with pytest.raises(GobelinError, match="1 to 64 bytes of UTF-8 were expected, found"):
            new_keys(tmp_path / "more", name)
    with pytest.raises(GobelinError, match="is not Unicode. Give another name"):
        new_keys(tmp_path / "more", letter + "\udcfc")
    assert not (tmp_path / "more").exists()


def test_a_link_to_nothing_gets_no_key(tmp_path: Path) -> None:
    """Nor does a link to such a link, one to itself, or one into a folder that is missing. A link
    to an empty folder is a folder."""
    links = {"one": "none", "two": "one", "itself": "itself", "deep": "no/such/folder"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
        with pytest.raises(GobelinError, match="a link that leads to nothing"):
            new_keys(tmp_path / name)
    assert {p.name for p in tmp_path.iterdir()} == set(links)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    assert new_keys(tmp_path / "link")["key"].is_file() and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(lambda: ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP521R1()), id="P-521"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, id="Ed25519"),
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), id="RSA"),
    ],
)
def test_other_kinds_of_keys_sign(key, tmp_path: Path) -> None:
    made = chain(key=key())
    found = c2pa.read(Signer(*made.write(tmp_path)).png(pixels(), {}), "")
    assert found.untouched and not found.trusted and found.signer == "A signer"


def test_sec1_reversed_chains_and_encrypted_keys_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library itself refuses SEC1 and the other order."""
    key, certificates = chain().write(tmp_path / "a", "TraditionalOpenSSL")
    assert b"BEGIN EC PRIVATE KEY" in key.read_bytes()
    first, second = (
        part + b"-----END CERTIFICATE-----\n"
        for part in certificates.read_bytes().split(b"-----END CERTIFICATE-----\n")[:2]
    )
    certificates.write_bytes(second + first)
    assert c2pa.read(Signer(key, certificates).png(pixels(), {})).untouched
    shut = chain().write(tmp_path / "b", "PKCS8", WORD)
    with pytest.raises(GobelinError, match="is encrypted. Set its password: GOBELIN_KEY_PASSWORD"):
        Signer(*shut)
    with pytest.raises(GobelinError, match="the password in GOBELIN_KEY_PASSWORD is wrong"):
        Signer(*shut, "open barley")
    monkeypatch.setenv("GOBELIN_KEY_PASSWORD", WORD)
    assert c2pa.read(Signer(*shut).png(pixels(), {})).untouched
    Signer(*chain().write(tmp_path / "c"))  # a password that this key does not need


WORD = "open sesame"
SPOILT = {
    "expired": (lambda: chain(last=NOW - DAY), "expired on "),
    "self-signed": (lambda: chain(self_signed=True), "is self-signed, which C2PA refuses"),
    "of a server": (
        lambda: chain(purpose=x509.oid.ExtendedKeyUsageOID.SERVER_AUTH),
        "can't sign .*must have the key usage digitalSignature",
    ),
    "of a strange curve": (
        lambda: chain(key=ec.generate_private_key(ec.SECP256K1())),
        "C2PA signs with P-256",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_chain_that_can_not_sign_is_refused_before_the_work(what: str, tmp_path: Path) -> None:
    make, said = SPOILT[what]
    with pytest.raises(GobelinError, match=said) as refused:
        Signer(*make().write(tmp_path))
    assert "\n" not in str(refused.value) and "gobelin keys new DIR" in str(refused.value)


def test_files_that_are_no_keys_are_refused(tmp_path: Path) -> None:
    key, certificates = chain().write(tmp_path / "a")
    for wrong, said in (
        ((certificates, certificates), "a private key in PEM was expected, found 'CERTIFICATE'"),
        ((key, key), "certificates in PEM were expected, found 'PRIVATE KEY'"),
        ((tmp_path / "gone", certificates), "can't be read .No such file"),
        ((tmp_path, certificates), "can't be read .Is a directory"),
        ((key, chain().write(tmp_path / "b")[1]), "none of its 2 certificates is that of the key"),
        ((key, chain().write(tmp_path / "c")[1].parent / "own.pem"), "certificates in PEM"),
    ):
        with pytest.raises(GobelinError, match=said):
            Signer(*wrong)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(GobelinError, match="found an empty file"):
        Signer(tmp_path / "empty", certificates)
    alone = chain()
    key, _ = alone.write(tmp_path / "d", whole=False)
    with pytest.raises(GobelinError, match="lacks the certificate of the issuer, 'O=A root"):
        Signer(key, tmp_path / "d" / "certificates.pem")
