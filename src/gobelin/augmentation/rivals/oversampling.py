"""Scarce real rows again, as many as images are generated.

Random oversampling (Japkowicz 2000).
"""

from __future__ import annotations

from gobelin.augmentation.rivals import Arm, RivalInput, repeated_rows
from gobelin.core.config import settings_class


@settings_class
class Oversampling:
    """The rows are the parents of the generated images, one by one, so scarce classes are repeated
    as the plan says.
    """

    def arm(self, source: RivalInput) -> Arm:
        return repeated_rows(source, "oversampling")
