"""A chain with an issuer that may not issue is refused before the work.

Oracles: OpenSSL's strict check of the same chains, and chains that are made here with one thing
wrong each.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from signing import DAY, NOW, hashes, pixels, serialization, x509

from gobelin.core.errors import GobelinError
from gobelin.data.provenance import keys
from gobelin.data.provenance.c2pa import Signer, read

from cryptography.hazmat.primitives.asymmetric import ec  # isort: skip

USES = (
    *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("encipher_only", "decipher_only"),
)
PEM = serialization.Encoding.PEM


def named(text: str) -> Any:
    oid = x509.oid.NameOID
    names = (oid.COMMON_NAME, oid.ORGANIZATION_NAME)
    return x509.Name([x509.NameAttribute(k, text) for k in names])


def certificate(
    name: str,
    key: Any,
    issuer: str,
    by: Any,
    authority: bool | None,
    length: int | None = None,
    signs: bool | None = None,
) -> Any:
    """authority: None = the extension is left out. signs: whether it may sign certificates; None =
    as it is an authority."""
    signs = bool(authority) if signs is None else signs
    usage = x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=signs,
        crl_sign=signs,
        **dict.fromkeys(USES, False),
    )
    built = (
        x509.CertificateBuilder(named(issuer), named(name), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 30 * DAY)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False)
    )
    if authority is not None:
        built = built.add_extension(x509.BasicConstraints(authority, length), True)
    if not authority:
        purpose = [x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION]
        built = built.add_extension(x509.ExtendedKeyUsage(purpose), False)
    return built.sign(by, hashes.SHA256())


def made(folder: Path, root: dict[str, Any], middle: dict[str, Any]) -> tuple[Path, Path, Path]:
    """(key, chain, root): a root, an issuer between, and the certificate of a signer."""
    top, between, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    first = certificate("Root", top, "Root", top, **root)
    second = certificate("Middle", between, "Root", top, **middle)
    leaf = certificate("Signer", own, "Middle", between, False)
    texts = {
        "key.pem": own.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "chain.pem": leaf.public_bytes(PEM) + second.public_bytes(PEM) + first.public_bytes(PEM),
        "root.pem": first.public_bytes(PEM),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return folder / "key.pem", folder / "chain.pem", folder / "root.pem"


def accepted_by_openssl(chain: Path, root: Path) -> bool | None:
    if (openssl := shutil.which("openssl")) is None:
        return None
    command = [openssl, "verify", "-x509_strict", "-CAfile", root, "-untrusted", chain, chain]
    return subprocess.run([*map(str, command)], capture_output=True, check=False).returncode == 0


AUTHORITY = {"authority": True}
SPOILT = {
    "another signer": (AUTHORITY, {"authority": False}, "not that of an authority"),
    "without constraints": (AUTHORITY, {"authority": None}, "not that of an authority"),
    "too far down": (AUTHORITY | {"length": 0}, AUTHORITY, "may have 0 other issuers"),
    "use of its key": (AUTHORITY, AUTHORITY | {"signs": False}, "by its key usage"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_who_may_not_issue_vouches_for_nobody(what: str, tmp_path: Path) -> None:
    root, middle, said = SPOILT[what]
    key, chain, anchor = made(tmp_path, root, middle)
    assert not accepted_by_openssl(chain, anchor)
    with pytest.raises(GobelinError, match=said) as refused:
        Signer(key, chain)
    assert "\n" not in str(refused.value) and "gobelin keys new DIR" in str(refused.value)


@pytest.mark.parametrize("length", [None, 1, 2])
def test_a_chain_of_authorities_signs(length: int | None, tmp_path: Path) -> None:
    key, chain, anchor = made(tmp_path, AUTHORITY | {"length": length}, AUTHORITY | {"length": 0})
    assert accepted_by_openssl(chain, anchor) is not False
    found = read(Signer(key, chain).png(pixels(), {}), keys.trusted(anchor))
    assert found is not None and found.untouched and found.trusted
