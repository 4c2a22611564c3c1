"""Keys and certificates to sign images with: a development chain, and those of a user.

C2PA wants a chain: a certificate for the key that signs, issued by another certificate. What a
signing key and its certificate must be like stands in the C2PA specification 2.2, section 14.5
("X.509 certificates"). A development chain is a private authority of your own: it works at once,
and only who is given its `authority.pem` can tell that an image is yours.
"""

from __future__ import annotations

import datetime
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.special import special

KEY, CHAIN, AUTHORITY = "key.pem", "chain.pem", "authority.pem"
PASSWORD = "GOBELIN_KEY_PASSWORD"  # noqa: S105 - the name of a variable of the environment
YEARS = 10  # of a development chain: no timestamp is fetched, so images outlive no certificate
MOST_BYTES = 1_000_000  # of a file with a key or certificates
MOST_NAME = 64  # bytes of a name in a certificate, as cryptography counts them
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
# critical extensions of an issuer that are checked, or that forbid nothing here
KNOWN_CONDITIONS = (
    *("BasicConstraints", "KeyUsage", "ExtendedKeyUsage", "SubjectAlternativeName"),
    *("CertificatePolicies", "PolicyConstraints", "InhibitAnyPolicy"),
)
NEW_KEYS = "For a development chain: gobelin keys new DIR."
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@dataclass(frozen=True, repr=False)
class Credentials:
    """A private key that can sign, and its certificates.

    key: PEM of PKCS#8, not encrypted. chain: PEM of its certificate and those of its issuers.
    """

    key: bytes
    chain: bytes
    authority: str  # PEM of the last certificate of the chain
    algorithm: str  # in the words of C2PA: es256, ps256, ed25519 ...
    certificate: str  # the first 16 letters of the SHA-256 of the key's certificate


def development(name: str) -> dict[str, bytes]:
    """{file name: PEM} of a new P-256 key, its chain, and its authority's certificate.

    The authority's own key is not kept, so that it issues nothing more. name: of the signer, which
    every signed image shows.
    """
    x509, _, ec = _library()
    name = name.strip()
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise GobelinError(f"--name {name!r}: is not Unicode. Give another name.") from error
    if not 0 < size <= MOST_NAME:
        raise GobelinError(
            f"--name {name!r}: 1 to {MOST_NAME} bytes of UTF-8 were expected, found {size}."
            " Give another name."
        )
    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = [_name(x509, _cut(f"{name} authority")), _name(x509, name)]
    root = _certificate(authority, names[0], authority, names[0])
    leaf = _certificate(own, names[1], authority, names[0])
    return {KEY: _pkcs8(own), CHAIN: _pem(leaf) + _pem(root), AUTHORITY: _pem(root)}


def _cut(text: str) -> str:
    """As many whole letters of a text as a name in a certificate holds."""
    return text.encode()[:MOST_NAME].decode(errors="ignore")


def _name(x509: Any, text: str) -> Any:  # noqa: ANN401 - of a library that is imported late
    oid = x509.oid.NameOID
    return x509.Name(
        [x509.NameAttribute(k, text) for k in (oid.COMMON_NAME, oid.ORGANIZATION_NAME)]
    )


def _certificate(own: Any, name: Any, issuer: Any, issuer_name: Any) -> Any:  # noqa: ANN401
    """The certificate of the key `own`. An authority's where it is its own issuer."""
    x509, hashes, _ = _library()
    root, now = own is issuer, datetime.datetime.now(datetime.UTC)
    uses = dict.fromkeys(
        "content_commitment key_encipherment data_encipherment key_agreement encipher_only"
        " decipher_only".split(),
        False,
    )
    usage = x509.KeyUsage(digital_signature=not root, key_cert_sign=root, crl_sign=root, **uses)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(root, 0 if root else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(issuer_key, critical=False)
    )
    if not root:
        purpose = [x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION]
        built = built.add_extension(x509.ExtendedKeyUsage(purpose), critical=False)
    return built.sign(issuer, hashes.SHA256())


def credentials(key: Path, chain: Path, password: str = "") -> Credentials:
    """A key and its chain, read from PEM files and found fit to sign today.

    The key may be PKCS#8 or SEC1. password: of an encrypted key; '' takes it from the environment.
    The order of the certificates does not matter. Raises GobelinError.
    """
    _, hashes, ec = _library()
    own, certificates = _key(key, password or os.environ.get(PASSWORD, "")), _all_of(chain)
    leaf = next((c for c in certificates if _public(c) == own.public_key()), None)
    if leaf is None:
        raise GobelinError(
            f"--chain {chain}: none of its {len(certificates)} certificates is that of the key"
            f" {key}. Give the chain that belongs to this key."
        )
    ordered = [leaf]
    while not _issued_itself(ordered[-1]):
        issuer = next((c for c in certificates if _issued(c, ordered[-1])), None)
        if issuer is None and any(c.subject == ordered[-1].issuer for c in certificates):
            raise GobelinError(
                f"--chain {chain}: the certificate of {ordered[-1].issuer.rfc4514_string()!r} in it"
                f" did not sign that of {ordered[-1].subject.rfc4514_string()!r}. Give the one that"
                f" did, and copies that are not damaged. {NEW_KEYS}"
            )
        if issuer is None or issuer in ordered:
            break
        ordered.append(issuer)
    if _issued_itself(leaf):
        raise GobelinError(
            f"--chain {chain}: the certificate of the key is self-signed, which C2PA refuses. It"
            f" must be issued by another certificate. {NEW_KEYS}"
        )
    if len(ordered) == 1:
        raise GobelinError(
            f"--chain {chain}: lacks the certificate of the issuer,"
            f" {ordered[-1].issuer.rfc4514_string()!r}. Append it to the file."
        )
    for below, issuer in enumerate(ordered[1:]):
        if why := _no_issuer(issuer, below):
            raise GobelinError(
                f"--chain {chain}: {issuer.subject.rfc4514_string()!r} issued a certificate of the"
                f" chain and {why}; nobody could verify the images. Give a chain of authorities."
                f" {NEW_KEYS}"
            )
    now = datetime.datetime.now(datetime.UTC)
    for one in ordered:
        first, last = one.not_valid_before_utc, one.not_valid_after_utc
        if not first <= now <= last:
            state = f"expired on {last:%Y-%m-%d}" if now > last else f"is valid from {first} on"
            raise GobelinError(
                f"--chain {chain}: the certificate {one.subject.rfc4514_string()!r} {state}. Give a"
                f" valid one. {NEW_KEYS}"
            )
    return Credentials(
        _pkcs8(own),
        b"".join(map(_pem, ordered)),
        _pem(ordered[-1]).decode(),
        _algorithm(own, key),
        leaf.fingerprint(hashes.SHA256()).hex()[:16],
    )


def trusted(path: Path) -> str:
    """The PEM certificates in a file: who issued one of them is trusted. Raises GobelinError."""
    return b"".join(map(_pem, _all_of(path, "--trust"))).decode()


def _key(path: Path, password: str) -> Any:  # noqa: ANN401
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path, "--sign")
    encrypted = b"ENCRYPTED" in data
    if encrypted and not password:
        raise GobelinError(f"--sign {path}: the key is encrypted. Set its password: {PASSWORD}=...")
    try:
        return load_pem_private_key(data, password.encode() if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise GobelinError(
                f"--sign {path}: the password in {PASSWORD} is wrong. Set the right one."
            ) from error
        raise GobelinError(
            f"--sign {path}: a private key in PEM was expected, found {_found(data)}. {NEW_KEYS}"
        ) from error


def _all_of(path: Path, option: str = "--chain") -> list[Any]:
    """The certificates in a PEM file, one at least."""
    x509, _, _ = _library()
    data = _read(path, option)
    try:
        certificates = x509.load_pem_x509_certificates(data)
        for one in certificates:  # what is read late
            _ = one.extensions, one.subject, one.issuer, one.not_valid_before_utc
            _ = one.not_valid_after_utc
        return certificates
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise GobelinError(
            f"{option} {path}: certificates in PEM were expected, found {_found(data)}. {NEW_KEYS}"
        ) from error


def _read(path: Path, option: str) -> bytes:
    try:
        if kind := special(path):
            raise GobelinError(f"{option} {path}: is {kind}, no regular file. Give a PEM file.")
        if path.stat().st_size > MOST_BYTES:
            raise GobelinError(f"{option} {path}: is too large for a PEM file. Give another file.")
        return path.read_bytes()
    except OSError as error:
        raise GobelinError(
            f"{option} {path}: can't be read ({error.strerror}). Give a PEM file. {NEW_KEYS}"
        ) from error


def _found(data: bytes) -> str:
    """What a file holds in the place of what was expected."""
    begun = data.find(b"-----BEGIN ")
    if begun < 0:
        return "no PEM" if data else "an empty file"
    return repr(data[begun + 11 : begun + 60].partition(b"-----")[0].decode("ascii", "replace"))


def _public(certificate: Any) -> Any:  # noqa: ANN401
    """The key in a certificate; None for one of a kind that is not known."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _issued(issuer: Any, certificate: Any) -> bool:  # noqa: ANN401
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _issued_itself(certificate: Any) -> bool:  # noqa: ANN401
    return _issued(certificate, certificate)


def _no_issuer(certificate: Any, below: int) -> str:  # noqa: ANN401
    """Why a certificate may not issue others (RFC 5280, 6.1.4); '' where it may. below: issuers
    between it and the certificate of the key.

    Limits of names, and critical conditions that are not known, count as forbidden: nothing here
    checks them.
    """
    x509, _, _ = _library()
    values = {type(e.value): e.value for e in certificate.extensions}
    known = {getattr(x509, name) for name in KNOWN_CONDITIONS}
    strange = [e.oid for e in certificate.extensions if e.critical and type(e.value) not in known]
    strange += [x509.NameConstraints.oid] * (x509.NameConstraints in values)
    if not _signs(_public(certificate)):
        return "has a key that C2PA does not verify"
    if strange:
        return f"has a condition that is not checked here ({strange[0].dotted_string})"
    purposes, oid = values.get(x509.ExtendedKeyUsage), x509.oid.ExtendedKeyUsageOID
    if purposes and not {oid.ANY_EXTENDED_KEY_USAGE, oid.EMAIL_PROTECTION} & set(purposes):
        return "may issue none for emailProtection, by its extended key usage"
    basic = values.get(x509.BasicConstraints)
    if basic is None or not basic.ca:
        return "is not that of an authority"
    if basic.path_length is not None and below > basic.path_length:
        return f"may have {basic.path_length} other issuers below it, has {below}"
    usage = values.get(x509.KeyUsage)
    if usage is None or usage.key_cert_sign:
        return ""
    return "may not sign certificates by its key usage"


def _algorithm(own: Any, path: Path) -> str:  # noqa: ANN401
    """The name of the algorithm that C2PA has for a kind of key."""
    if name := _signs(own.public_key()):
        return name
    raise GobelinError(
        f"--sign {path}: C2PA signs with P-256, P-384, P-521, Ed25519 or RSA of 2048 bits and more,"
        f" found another key. {NEW_KEYS}"
    )


def _signs(public: Any) -> str:  # noqa: ANN401
    """The name of the algorithm that C2PA has for a public key; '' for none."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(public, ec.EllipticCurvePublicKey):
        return CURVES.get(public.curve.name, "")
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= 2048:
        return "ps256"
    return "ed25519" if isinstance(public, ed25519.Ed25519PublicKey) else ""


def _pkcs8(own: Any) -> bytes:  # noqa: ANN401
    from cryptography.hazmat.primitives import serialization as form

    return own.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def _pem(certificate: Any) -> bytes:  # noqa: ANN401
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _library() -> tuple[Any, Any, Any]:
    """Modules x509, hashes and ec of cryptography. Raises MissingExtra."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise MissingExtra("cryptography, which signs images,", "c2pa") from error
    return x509, hashes, ec
