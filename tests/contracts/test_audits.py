"""Every audit that is found catches planted copies, clears fresh draws and refuses rows that can't be exchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gobelin import catalog
from gobelin.audits import Audit, Material
from gobelin.errors import GobelinError
from gobelin.evidence import Finding

NAMES = catalog.names("audits")
TURN = np.linalg.qr(np.random.default_rng(9).normal(size=(12, 12)))[0]


def spaces(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"one": x.astype(np.float32), "two": (3 * x @ TURN).astype(np.float32)}


def material(copied: float, seed: int = 0, shift: float = 0.0) -> tuple[Material, np.ndarray, np.ndarray]:
    """Made rows: this share are training rows with a little noise, the rest fresh draws. Which, and of which row."""
    rng = np.random.default_rng(seed)
    train, holdout, fresh = (rng.normal(size=(n, 12)) for n in (300, 150, 200))
    source = rng.integers(0, 300, 200)
    is_copy = rng.random(200) < copied
    made = np.where(is_copy[:, None], train[source] + 0.05 * rng.normal(size=(200, 12)), fresh + shift)
    planted = train[rng.choice(300, 100, replace=False)] + 0.05 * rng.normal(size=(100, 12))
    ids = tuple(f"t{k}" for k in range(300)), tuple(f"m{k}" for k in range(200))
    parts = (spaces(x) for x in (train, holdout, made, planted))
    return Material(*parts, *ids, "random split by group"), is_copy, source


@pytest.fixture(params=NAMES)
def audit(request: pytest.FixtureRequest) -> Audit:
    found = catalog.build("audits", request.param)
    assert isinstance(found, Audit) and type(found).__dataclass_params__.frozen
    return found


def verdict(findings: tuple[Finding, ...]) -> Finding:
    (found,) = [f for f in findings if f.verdict]
    assert found.low <= found.value <= found.high and found.n == 200  # type: ignore[operator]
    return found


@pytest.mark.parametrize("copied", [0.2, 1.0])
def test_planted_copies_are_caught_with_their_sources(audit: Audit, copied: float) -> None:
    given, is_copy, source = material(copied)
    result = audit.run(given)
    flagged = np.array([r["flagged"] for r in result.rows])
    assert flagged[is_copy].mean() > 0.85 and (copied == 1 or flagged[~is_copy].mean() < 0.03)
    for row, right, train in zip(result.rows, flagged & is_copy, source, strict=True):
        assert not right or row["nearest"] == f"t{train}"
    assert [r["made"] for r in result.rows] == list(given.made_ids)
    found = verdict(result.findings)
    assert found.verdict == "copies training images" and found.value == pytest.approx(flagged.mean())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_fresh_draws_are_cleared(audit: Audit, seed: int, shift: float) -> None:
    result = audit.run(material(0.0, seed, shift)[0])
    assert np.mean([r["flagged"] for r in result.rows]) < 0.03
    assert verdict(result.findings).verdict != "copies training images"


def test_an_audit_that_is_blind_says_so(audit: Audit) -> None:
    given, *_ = material(0.0)
    rng = np.random.default_rng(1)
    far = {s: x.copy() for s, x in given.planted.items()}
    for s in far:
        far[s][1::2] = 100 + rng.normal(size=far[s][1::2].shape)  # the half that is the positive control
    assert verdict(audit.run(replace(given, planted=far)).findings).verdict.startswith("can't say")


def test_rows_that_cant_be_exchanged_are_refused(audit: Audit) -> None:
    with pytest.raises(GobelinError, match="not exchangeable"):
        audit.run(replace(material(0.5)[0], exchangeable=""))


def test_same_rows_same_findings(audit: Audit) -> None:
    one, other = (audit.run(material(0.3)[0]) for _ in range(2))
    assert one.findings == other.findings and one.rows == other.rows
