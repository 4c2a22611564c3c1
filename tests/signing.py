"""What the tests of signed images share: a chain, files with other keys, and images."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

cryptography = pytest.importorskip("cryptography", reason="pip install 'gobelin[c2pa]'")
c2pa = pytest.importorskip("c2pa", reason="pip install 'gobelin[c2pa]'")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def pixels(seed: int = 0, side: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)


@dataclass(frozen=True)
class Chain:
    """A key, its certificate and its issuer's, made here and not by Gobelin."""

    key: Any
    leaf: Any
    root: Any

    def write(self, folder: Path, form: str = "PKCS8", password: str = "", whole: bool = True):
        """(key file, chain file)."""
        folder.mkdir(parents=True, exist_ok=True)
        shut = (
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption()
        )
        kind = getattr(serialization.PrivateFormat, form)
        pem = serialization.Encoding.PEM
        (folder / "own.pem").write_bytes(self.key.private_bytes(pem, kind, shut))
        certificates = [self.leaf, self.root] if whole else [self.leaf]
        (folder / "certificates.pem").write_bytes(
            b"".join(one.public_bytes(pem) for one in certificates)
        )
        return folder / "own.pem", folder / "certificates.pem"


def chain(
    last: datetime.datetime = NOW + 30 * DAY,
    key: Any = None,
    purpose: Any = x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION,
    self_signed: bool = False,
    name: str = "A signer",
) -> Chain:
    root_key, own = ec.generate_private_key(ec.SECP256R1()), key
    own = own or ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.Name(
            [
                x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text),
                x509.NameAttribute(x509.oid.NameOID.ORGANIZATION_NAME, text),
            ]
        )
        for text in ("A root", name)
    ]

    def signed(subject: Any, public: Any, issuer: Any, by: Any, is_root: bool) -> Any:
        uses = dict.fromkeys(
            [
                *("content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "encipher_only", "decipher_only"),
            ],
            False,
        )
        built = (
            x509.CertificateBuilder(issuer, subject, public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 9 * DAY)
            .not_valid_after(NOW + 90 * DAY if is_root else last)
            .add_extension(x509.BasicConstraints(is_root, 0 if is_root else None), True)
            .add_extension(
                x509.KeyUsage(not is_root, key_cert_sign=is_root, crl_sign=is_root, **uses), True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False
            )
        )
        if not is_root:
            built = built.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        return built.sign(by, hashes.SHA256())

    root = signed(names[0], root_key.public_key(), names[0], root_key, True)
    by = (names[1], own) if self_signed else (names[0], root_key)
    return Chain(own, signed(names[1], own.public_key(), *by, False), root)
