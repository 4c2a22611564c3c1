"""The sizes of images and volumes that trained generators make."""

from __future__ import annotations

from gobelin.core.errors import GobelinError


def refuse_size(name: str, sides: tuple[int, ...]) -> None:
    """Raises a GobelinError for images and volumes that no generator makes. sides: H, W, or D, H,
    W."""
    what, unit, most = ("images", "pixels", 256) if len(sides) == 2 else ("volumes", "voxels", 64)
    if not 16 <= max(sides) <= most:
        raise GobelinError(
            f"{name}: {what} of 16 to {most} {unit}, found {' x '.join(map(str, sides))}. Resize"
            " them with size=..."
        )
