"""A chain with an issuer that may not issue is refused before the work.

Oracles: OpenSSL's strict check of the same chains, and chains that are made here with one thing
wrong each.
"""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from signing import DAY, NOW, hashes, pixels, serialization, x509
from signing import c2pa as library

from gobelin.core.errors import GobelinError
from gobelin.data.provenance import keys
from gobelin.data.provenance.c2pa import Signer, read
from gobelin.data.provenance.marks import SOURCE_TYPES_URL

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # isort: skip

USES = (
    *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("encipher_only", "decipher_only"),
)
MANIFEST = {
    "claim_generator_info": [{"name": "a test"}],
    "assertions": [
        {
            "label": "c2pa.actions.v2",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "digitalSourceType": f"{SOURCE_TYPES_URL}algorithmicMedia",
                    }
                ]
            },
        }
    ],
}
PEM = serialization.Encoding.PEM
STRANGE, SERVER = x509.ObjectIdentifier("1.2.3.4.5"), x509.oid.ExtendedKeyUsageOID.SERVER_AUTH


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
    more: Sequence[tuple[Any, bool]] = (),
    digest: Any = None,
    salt: int | None = None,
) -> Any:
    """authority: None = the extension is left out. signs: whether it may sign certificates; None =
    as it is an authority. more: extensions, each with whether it is critical. salt: bytes of the
    salt of RSA-PSS; None signs otherwise."""
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
    for extension, critical in more:
        built = built.add_extension(extension, critical)
    digest = digest or hashes.SHA256()
    if salt is None:
        return built.sign(by, digest)
    return built.sign(by, digest, rsa_padding=padding.PSS(padding.MGF1(digest), salt))


def made(
    folder: Path,
    root: dict[str, Any],
    middle: dict[str, Any],
    last: dict[str, Any] | None = None,
) -> tuple[Path, Path, Path]:
    """(key, chain, root): a root, an issuer between, and the certificate of a signer."""
    top, between, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    middle = dict(middle)
    between = middle.pop("key", between)
    first = certificate("Root", top, "Root", top, **root)
    second = certificate("Middle", between, "Root", top, **middle)
    leaf = certificate("Signer", own, "Middle", between, False, **(last or {}))
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
    "a root without constraints": ({"authority": None}, AUTHORITY, "not that of an authority"),
    "too far down": (AUTHORITY | {"length": 0}, AUTHORITY, "may have 0 other issuers"),
    "use of its key": (AUTHORITY, AUTHORITY | {"signs": False}, "by its key usage"),
    "limits of names": (
        AUTHORITY,
        AUTHORITY
        | {"more": [(x509.NameConstraints([x509.DirectoryName(named("Only"))], None), True)]},
        "condition that is not checked here .2.5.29.30",
    ),
    "an unknown condition": (
        AUTHORITY,
        AUTHORITY | {"more": [(x509.UnrecognizedExtension(STRANGE, b"\x05\x00"), True)]},
        "condition that is not checked here .1.2.3.4.5",
    ),
}
# OpenSSL's plain check looks at neither the strength nor the purpose of an issuer
TOO_WEAK = {
    "for servers": (
        AUTHORITY | {"more": [(x509.ExtendedKeyUsage([SERVER]), False)]},
        "by its extended key usage",
    ),
    "a short key": (AUTHORITY | {"key": rsa.generate_private_key(65537, 1024)}, "C2PA does not"),  # noqa: S505
    "a strange curve": (
        AUTHORITY | {"key": ec.generate_private_key(ec.SECP256K1())},
        "has a key that C2PA does not verify",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_who_may_not_issue_vouches_for_nobody(what: str, tmp_path: Path) -> None:
    root, middle, said = SPOILT[what]
    key, chain, anchor = made(tmp_path, root, middle)
    assert not accepted_by_openssl(chain, anchor)
    with pytest.raises(GobelinError, match=said) as refused:
        Signer(key, chain)
    assert "\n" not in str(refused.value) and "gobelin keys new DIR" in str(refused.value)


@pytest.mark.parametrize("what", TOO_WEAK)
def test_who_is_too_weak_or_issues_for_other_purposes_is_refused(what: str, tmp_path: Path) -> None:
    middle, said = TOO_WEAK[what]
    key, chain, _ = made(tmp_path, AUTHORITY, middle)
    with pytest.raises(GobelinError, match=said):
        Signer(key, chain)


def test_an_issuer_that_did_not_sign_is_not_asked_for_again(tmp_path: Path) -> None:
    key, chain, anchor = made(tmp_path, AUTHORITY, AUTHORITY)
    (tmp_path / "other").mkdir()
    _, forged, _ = made(tmp_path / "other", AUTHORITY, AUTHORITY)
    own = x509.load_pem_x509_certificates(chain.read_bytes())[0].public_bytes(PEM)
    chain.write_bytes(own + anchor.read_bytes())
    with pytest.raises(GobelinError, match="lacks the certificate of the issuer.*Append it"):
        Signer(key, chain)
    chain.write_bytes(own + forged.read_bytes())  # of the same names and other keys
    with pytest.raises(GobelinError, match="in it did not sign that of"):
        Signer(key, chain)


def test_a_damaged_certificate_is_one_line_wherever_the_damage_is(tmp_path: Path) -> None:
    """Each byte of the issuer between is changed. What is said is read, not which byte."""
    key, chain, _ = made(tmp_path, AUTHORITY, AUTHORITY)
    three = x509.load_pem_x509_certificates(chain.read_bytes())
    der = three[1].public_bytes(serialization.Encoding.DER)
    for place in range(len(der)):
        harmed = bytearray(der)
        harmed[place] ^= 0x41
        lines = base64.encodebytes(bytes(harmed)).decode()
        text = f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n".encode()
        chain.write_bytes(three[0].public_bytes(PEM) + text + three[2].public_bytes(PEM))
        try:
            keys.credentials(key, chain)
        except GobelinError as error:
            assert "\n" not in str(error)
        else:  # it names another issuer, which need not be in the file
            assert x509.load_pem_x509_certificate(text).issuer != three[2].subject, place


@pytest.mark.parametrize("length", [None, 1, 2])
def test_a_chain_of_authorities_signs(length: int | None, tmp_path: Path) -> None:
    key, chain, anchor = made(tmp_path, AUTHORITY | {"length": length}, AUTHORITY | {"length": 0})
    assert accepted_by_openssl(chain, anchor) is not False
    found = read(Signer(key, chain).png(pixels(), {}), keys.trusted(anchor))
    assert found is not None and found.untouched and found.trusted


CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
SIGNATURES = {
    **{
        f"{curve.name}, {digest.name}": (curve, {"digest": digest()})
        for curve in CURVES
        for digest in (hashes.SHA256, hashes.SHA384, hashes.SHA512)
    },
    **{
        f"rsa, {digest.name}, salt {salt}": (None, {"digest": digest(), "salt": salt})
        for digest in (hashes.SHA256, hashes.SHA512)
        for salt in (None, 0, 32, 64, 190)
    },
}


@pytest.mark.parametrize("what", SIGNATURES)
def test_who_trusts_the_root_can_verify_what_is_signed(what: str, tmp_path: Path) -> None:
    """Or the chain is refused before the work: C2PA does not verify each signature that OpenSSL
    does."""
    curve, last = SIGNATURES[what]
    between = ec.generate_private_key(curve()) if curve else rsa.generate_private_key(65537, 2048)
    key, chain, anchor = made(tmp_path, AUTHORITY, AUTHORITY | {"key": between}, last)
    assert accepted_by_openssl(chain, anchor) is not False
    try:
        signer = Signer(key, chain)
    except GobelinError as error:
        assert "who trusts its last certificate could not verify the images" in str(error)
        assert "\n" not in str(error)
        said = read(unchecked(key, chain), keys.trusted(anchor))
        assert said is None or not said.trusted
    else:
        found = read(signer.png(pixels(), {}), keys.trusted(anchor))
        assert found is not None and found.untouched and found.trusted


def unchecked(key: Path, chain: Path) -> bytes:
    """An image that the library signs without a question."""
    known = library.C2paSignerInfo(b"es256", chain.read_bytes(), key.read_bytes(), None)
    with library.Signer.from_info(known) as signer, library.Builder(MANIFEST) as builder:
        source, signed = io.BytesIO(), io.BytesIO()
        Image.fromarray(pixels()).save(source, "PNG")
        source.seek(0)
        builder.sign(signer, "image/png", source, signed)
    return signed.getvalue()
