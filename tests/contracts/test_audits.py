"""Every audit that is found raises an alarm at planted copies, clears fresh draws and refuses rows
that can't be exchanged. One that judges single images names the copies and their sources."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding
from gobelin.privacy import planted_copies
from gobelin.privacy.audits import Audit, AuditInput, Result

NAMES = catalog.names("audits")
SIZE, MADE, HELD = 16, 60, 110


def drawn(n: int, seed: int) -> np.ndarray:
    """uint8 [n, 16, 16, 3]: a few discs of random colours, places and sizes on a random ground; no
    two alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    out = np.broadcast_to(rng.uniform(0, 255, (n, 1, 1, 3)), (n, SIZE, SIZE, 3)).copy()
    for _ in range(5):
        (top, left), radius = rng.uniform(0, SIZE, (2, n, 1, 1)), rng.uniform(2, 5, (n, 1, 1))
        inside = (y - top) ** 2 + (x - left) ** 2 < radius**2
        out = np.where(inside[..., None], rng.uniform(0, 255, (n, 1, 1, 3)), out)
    return out.astype(np.uint8)


def brightness(images: np.ndarray) -> np.ndarray:
    """A feature space: the means of 16 squares in each colour, [n, 48]."""
    return (
        images.reshape(len(images), 4, 4, 4, 4, 3)
        .mean((2, 4))
        .reshape(len(images), -1)
        .astype(np.float32)
    )


def material(copied: float, seed: int = 0) -> tuple[AuditInput, np.ndarray, np.ndarray]:
    """Made images: this share are training images, a pixel off or brighter, the rest fresh draws.
    Which, and of which row."""
    rng = np.random.default_rng(seed)
    train, holdout, fresh = (
        drawn(90, 3 * seed),
        drawn(HELD, 3 * seed + 1),
        drawn(MADE, 3 * seed + 2),
    )
    source, is_copy = rng.permutation(90)[:MADE], rng.random(MADE) < copied
    changed = np.stack(
        [planted_copies.CHANGES["noisy"](train[s].astype(float), rng) for s in source]
    )
    made = np.where(
        is_copy[:, None, None, None], np.clip(np.rint(changed), 0, 255).astype(np.uint8), fresh
    )
    ids = tuple(f"t{k}" for k in range(90)), tuple(f"m{k}" for k in range(MADE))
    planted = planted_copies.of_every_kind(train, 42, seed)
    return (
        AuditInput(
            train, holdout, made, planted, {"squares": brightness}, *ids, "random split by group"
        ),
        is_copy,
        source,
    )


@pytest.fixture(params=NAMES)
def audit(request: pytest.FixtureRequest) -> Audit:
    found = catalog.build("audits", request.param)
    assert isinstance(found, Audit) and type(found).__dataclass_params__.frozen
    return found


def verdict(findings: tuple[Finding, ...]) -> Finding:
    (found,) = [f for f in findings if f.verdict]
    assert found.low <= found.value <= found.high and found.n > 0  # type: ignore[operator]
    assert found.sure != found.verdict.startswith("can't say")
    return found


@functools.cache
def audited(audit: Audit, copied: float, seed: int = 0) -> Result:
    """The result on `material`, computed once."""
    return audit.run(material(copied, seed)[0])


@pytest.mark.parametrize("copied", [0.2, 1.0])
def test_planted_copies_raise_an_alarm(audit: Audit, copied: float) -> None:
    result = audited(audit, copied)
    found, healthy = verdict(result.findings), verdict(audited(audit, 0.0).findings)
    assert found.sure and found.verdict != healthy.verdict
    assert found.low > found.chance  # type: ignore[operator]
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@pytest.mark.parametrize("copied", [0.2, 1.0])
def test_planted_copies_are_caught_with_their_sources(audit: Audit, copied: float) -> None:
    given, is_copy, source = material(copied)
    result = audited(audit, copied)
    if not result.rows:  # it judges no single image
        return
    flagged = np.array([r["flagged"] for r in result.rows])
    assert flagged[is_copy].mean() > 0.85 and (copied == 1 or flagged[~is_copy].mean() < 0.06)
    for row, right, train in zip(result.rows, flagged & is_copy, source, strict=True):
        assert not right or row["nearest"] == f"t{train}"
    assert [r["made"] for r in result.rows] == list(given.generated_ids)
    found = verdict(result.findings)
    assert found.value == pytest.approx(flagged.mean()) and found.n == MADE


@pytest.mark.parametrize("seed", range(3))
def test_fresh_draws_are_cleared(audit: Audit, seed: int) -> None:
    result, leaky = audited(audit, 0.0, seed), audited(audit, 1.0)
    assert not result.rows or np.mean([r["flagged"] for r in result.rows]) < 0.08
    assert verdict(result.findings).verdict != verdict(leaky.findings).verdict


def test_an_audit_that_is_blind_says_so(audit: Audit) -> None:
    """Planted: five images among ninety rows, and planted copies that are no copies."""
    given, *_ = material(0.0)
    unlike = {
        kind: drawn(len(images), 90 + k) for k, (kind, images) in enumerate(given.planted.items())
    }
    few = {"generated": given.generated[:5], "generated_ids": given.generated_ids[:5]}
    found = verdict(audit.run(replace(given, planted=unlike, **few)).findings)
    assert found.verdict.startswith("can't say")


def test_rows_that_cant_be_exchanged_are_refused(audit: Audit) -> None:
    given = material(0.5)[0]
    with pytest.raises(GobelinError, match="not exchangeable"):
        audit.run(replace(given, exchangeable=""))
    with pytest.raises(GobelinError, match="held-out images of two groups"):
        audit.run(replace(given, holdout=given.holdout[:1]))
    with pytest.raises(GobelinError, match="held-out images of two groups"):
        audit.run(replace(given, groups=("one",) * len(given.holdout)))


def test_nothing_made_and_two_held_out_images_are_no_error(audit: Audit) -> None:
    given = material(0.5)[0]
    assert audit.run(replace(given, generated=given.generated[:0], generated_ids=())).rows == ()
    few = audit.run(replace(given, holdout=given.holdout[:2]))
    assert few.findings and len(few.rows) in (0, MADE)


def test_same_rows_same_findings(audit: Audit) -> None:
    one, other = (audit.run(material(0.2)[0]), audited(audit, 0.2))
    assert one.findings == other.findings and one.rows == other.rows
