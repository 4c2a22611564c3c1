"""Signed provenance (C2PA): generated images are signed, and images of anybody are verified.

A manifest inside the file says that a trained network made the image (`trainedAlgorithmicMedia`),
with which weights, from which seed and condition. A hash binds it to the bytes of the file, and a
key signs it. Nothing is fetched from the network: no timestamp, no list of revoked certificates, no
manifest that lies elsewhere. No thumbnail is added; it would be larger than the image.

What this cannot show: that an image is real, or who sits behind a certificate that nobody vouches
for. A manifest can be removed. Without a timestamp nobody can tell when an image was signed, so
after its certificate has expired it can't be told from one that was signed with a stolen key.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import parse
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.data.image.headers import opened
from gobelin.data.provenance.keys import NEW_KEYS, Credentials, credentials
from gobelin.data.provenance.marks import SOURCE_TYPES_URL, is_marked, marked_png

LINEAGE = "org.gobelin.lineage"  # label of our assertion
SIGNED = "signed"  # in the lineage of a signed image: which certificate, so that a loss is noticed
MAKER = "Gobelin"
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
}
# formats of Pillow that can hold a manifest
MIME = {f: f"image/{f.lower()}" for f in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "AVIF")}
CREDENTIAL = "signingCredential."  # failures that concern the certificate and not the image


@dataclass(frozen=True)
class Signer:
    """Signs generated images.

    key: a private key in PEM. chain: its certificate and those of its issuers. password: of an
    encrypted key, else from GOBELIN_KEY_PASSWORD. Raises GobelinError for what can't sign.
    """

    key: str | Path
    chain: str | Path
    password: str = ""

    def __post_init__(self) -> None:
        """Sign a pixel and read it back: whatever C2PA refuses is known before the work."""
        try:
            pixel = self.png(np.zeros((1, 1, 3), np.uint8), {})
            trial = read(pixel, self._credentials.authority)
        except _errors() as error:
            raise self._refused(str(error)) from error
        if trial is None or not trial.untouched or trial.expired:
            raise self._refused(trial.reason if trial else "no manifest was written")
        if not trial.trusted:
            raise GobelinError(
                f"--chain {self.chain}: who trusts its last certificate could not verify the images"
                f" ({trial.reason}). Give a chain of authorities whose signatures C2PA verifies."
                f" {NEW_KEYS}"
            )

    def _refused(self, reason: str) -> GobelinError:
        return GobelinError(
            f"--chain {self.chain}: can't sign ({reason}). The certificate of the key must have the"
            " key usage digitalSignature, the extended key usage emailProtection and no other, and"
            f" be no authority. {NEW_KEYS}"
        )

    @cached_property
    def _credentials(self) -> Credentials:
        return credentials(Path(self.key), Path(self.chain), self.password)

    @cached_property
    def _signer(self) -> Any:  # noqa: ANN401 - of a library that is imported late
        found, library = self._credentials, _library()
        info = library.C2paSignerInfo(found.algorithm.encode(), found.chain, found.key, None)
        return library.Signer.from_info(info)

    def png(
        self,
        pixels: np.ndarray,
        lineage: Mapping[str, Any],
        trained: bool = True,
        sources: Sequence[bytes] = (),
    ) -> bytes:
        """uint8 [H, W, C] as the bytes of a signed PNG file, with the plain marks too.

        sources: image files that it was made from, which are named as ingredients. One that is
        signed keeps its manifest there.
        """
        lineage = {**lineage, SIGNED: self._credentials.certificate}
        kind = "trainedAlgorithmicMedia" if trained else "algorithmicMedia"
        parents = [str(parent) for parent in lineage.get("parents", ())]
        named = [f"source-{k}" for k in range(len(sources))]
        created: dict[str, Any] = {
            "action": "c2pa.created",
            "digitalSourceType": SOURCE_TYPES_URL + kind,
        }
        if named or parents:
            created["parameters"] = {"ingredientIds": [*named, *parents]}
        manifest = {
            "claim_generator_info": [{"name": MAKER}],
            "format": "image/png",
            "ingredients": [_ingredient(parent) for parent in parents],
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
                {"label": LINEAGE, "data": _plain(lineage)},
            ],
        }
        builder = _library().Builder(manifest, _context())
        for name, source in zip(named, sources, strict=True):
            with opened(source) as image:
                mime = MIME.get(str(image.format), "")
            if mime:
                builder.add_ingredient(_ingredient(name), mime, io.BytesIO(source))
        signed = io.BytesIO()
        builder.sign(
            self._signer, "image/png", io.BytesIO(marked_png(pixels, lineage, trained)), signed
        )
        return signed.getvalue()


def _ingredient(name: str) -> dict[str, str]:
    return {"title": name, "relationship": "inputTo", "instance_id": name, "label": name}


def _plain(lineage: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON is any
    """The lineage as JSON holds it: a value of another kind is a text."""
    return parse.json_value(json.dumps(dict(lineage), default=str))


@dataclass(frozen=True)
class Manifest:
    """What the manifest of an image says, and whether it can be believed."""

    untouched: bool  # neither the image nor the manifest changed since it was signed
    trusted: bool  # its signer is vouched for by a certificate that the user trusts
    signer: str  # the name in the certificate, '' where it can't be read
    maker: str  # the program that wrote it, as it says itself
    generated: bool  # it says that an algorithm made the image
    lineage: Mapping[str, Any]  # Gobelin's assertion; {} without
    reason: str = ""  # why it is not untouched or not trusted
    expired: bool = False  # the certificate, by now


def read(data: bytes, trust: str = "") -> Manifest | None:
    """The manifest in the bytes of an image file; None without one.

    trust: PEM certificates, whose own and issued ones are trusted. Raises what Pillow raises where
    the file is no image.
    """
    with opened(data) as image:
        mime = MIME.get(str(image.format), "")
    if not mime:
        return None
    library = _library()
    try:
        reader = library.Reader.try_create(mime, io.BytesIO(data), context=_context(trust))
        if reader is None:
            return None
        state, told = reader.get_validation_state(), reader.get_validation_results() or {}
        active = reader.get_active_manifest() or {}
    except library.C2paError.NotSupported:
        return None
    except (
        library.C2paError,
        KeyError,
    ) as error:  # KeyError: a manifest that names none of its own
        if str(error).startswith("Remote"):
            return None  # it lies elsewhere, and is not fetched
        return Manifest(False, False, "", "", is_marked(data), {}, "its manifest is damaged")
    failures = _codes(told.get("activeManifest", {}))
    sources = [d.get("validationDeltas", {}) for d in told.get("ingredientDeltas") or ()]
    later = [code for source in sources for code in _codes(source)]  # since they were signed for
    broken = [code for code in [*failures, *later] if not code.startswith(CREDENTIAL)]
    expired = f"{CREDENTIAL}expired" in failures
    unfit = [code for code in failures if code == f"{CREDENTIAL}invalid"]
    signature = active.get("signature_info") or {}
    makers = active.get("claim_generator_info") or [{}]
    return Manifest(
        untouched=not broken and not unfit,
        trusted=state == "Trusted",
        signer=str(signature.get("common_name") or signature.get("issuer") or ""),
        maker=str(makers[0].get("name", "")),
        generated=is_marked(str(active.get("assertions", "")).encode()),
        lineage=_lineage(active),
        reason=", ".join(dict.fromkeys(broken or unfit or failures)),
        expired=expired,
    )


def _codes(results: Mapping[str, Any]) -> list[str]:
    """The codes of what failed."""
    return [failure["code"] for failure in results.get("failure", ())]


def _lineage(active: Mapping[str, Any]) -> dict[str, Any]:
    """Gobelin's assertion of a manifest; {} without one."""
    for assertion in active.get("assertions", ()):
        if assertion.get("label") == LINEAGE and isinstance(assertion.get("data"), dict):
            return dict(assertion["data"])
    return {}


@cache
def _context(trust: str = "") -> Any:  # noqa: ANN401
    library = _library()
    settings = {**SETTINGS, **({"trust": {"user_anchors": trust}} if trust else {})}
    return library.Context(library.Settings.from_dict(settings))


def _errors() -> Any:  # noqa: ANN401
    return _library().C2paError


def _library() -> Any:  # noqa: ANN401
    """c2pa-python. Raises MissingExtra."""
    try:
        import c2pa
    except ImportError as error:
        raise MissingExtra("c2pa-python, which signs and verifies images,", "c2pa") from error
    return c2pa
