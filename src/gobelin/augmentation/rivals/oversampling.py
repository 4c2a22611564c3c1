"""Scarce real rows again, as many as images are generated.

Random oversampling (Japkowicz 2000).
"""

from __future__ import annotations

from gobelin.augmentation.rivals import Arm, Material, again
from gobelin.core.config import settings_class


@settings_class
class Oversampling:
    """No settings: the rows are the parents of the made images, one by one, so scarce classes are
    repeated as the plan says."""

    def arm(self, material: Material) -> Arm:
        return again(material, "oversampling")
