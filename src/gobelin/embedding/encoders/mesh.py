"""Meshes by twelve drawn views, which an image encoder sees, and by their shape in closed form.

The views stand in a circle and look down by 30 degrees (MVCNN, Su et al. 2015); the vector of a
mesh holds the mean of theirs. Beside stand size, volume, area, compactness, extents, D2 (Osada et
al. 2002) and others (`gobelin.data.mesh.shape`), each in units of its spread over the training
rows. Several meshes in one cell are averaged. What this cannot show: an inside that no view sees,
and textures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import cell_key, file_values
from gobelin.data.mesh.meshes import Mesh as OpenedMesh
from gobelin.data.mesh.meshes import mesh_query, mesh_share, open_mesh, trimesh
from gobelin.data.mesh.shape import at_rest, shape, shape_width
from gobelin.data.mesh.views import turntable, views
from gobelin.embedding.encoders import (
    Classes,
    FittedEncoder,
    NamesClasses,
    Sample,
    TrainingCells,
    share_bid,
)
from gobelin.embedding.pictured import (
    FittedPictured,
    Look,
    check_network,
    fitted_network,
    fitted_scales,
    restored,
)


@settings_class
class Mesh:
    """Settings of the views and the shape of meshes."""

    network: str = setting(
        default="image", description="Image encoder that sees the views. pixels needs no weights."
    )
    network_settings: Mapping[str, Any] = setting(
        default_factory=dict, description="That image encoder's own settings."
    )
    views: int = setting(default=12, ge=1, le=64, description="Views around the mesh.")
    elevation: float = setting(
        default=30.0, ge=-90, le=90, description="Degrees by which the views look down."
    )
    pixels: int = setting(
        default=128, ge=16, le=1024, description="Side of a drawn view in pixels."
    )
    up: Literal["x", "y", "z"] = setting(
        default="y", description="Axis of the files that points up: y as in glTF, z as in many STL."
    )
    any_turn: bool = setting(
        default=False,
        description="Whether a mesh counts the same however it is turned.",
    )
    any_scale: bool = setting(
        default=False, description="Whether a mesh counts the same whatever its size."
    )

    kinds: ClassVar[tuple[str, ...]] = ("mesh",)
    flag: ClassVar[str] = "mesh"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_network("mesh", self)

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return share_bid("mesh", mesh_share(sample.values, sample.root), "mesh files")

    def parse(self, text: str, field: Field) -> Cell:
        return mesh_query(text, field)

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedMesh:
        trimesh()  # raises MissingExtra before any work

        def opened(cell: Cell) -> OpenedMesh:
            return open_mesh(file_values(cell)[0], cells.root)[0]

        network = fitted_network("mesh", self, cells, lambda c: self.look(opened(c)), runtime)
        width = shape_width(self.any_turn, self.any_scale)
        scales = fitted_scales(cells, lambda c: self.measured(opened(c)), width, runtime)
        return FittedMesh(self, network, scales, [self.views])

    def load(self, folder: Path, runtime: Runtime) -> FittedMesh:
        trimesh()
        settings, network, scales = restored(
            "mesh", Mesh, folder, lambda s: shape_width(s.any_turn, s.any_scale), runtime
        )
        return FittedMesh(settings, network, scales, [settings.views])

    def look(self, mesh: OpenedMesh, note: str = "") -> Look:
        cameras = turntable(self.views, self.elevation)
        stood, up = (at_rest(mesh), "y") if self.any_turn else (mesh, self.up)
        return Look(views(stood, cameras, self.pixels, up), self.measured(mesh), note)

    def measured(self, mesh: OpenedMesh) -> np.ndarray:
        """float64 [D_s]"""
        return shape(mesh, self.any_turn, self.any_scale, self.up)


class FittedMesh(FittedPictured):
    """The image encoder and the scales of the shape."""

    name = "mesh"
    settings: Mesh
    network: FittedEncoder

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def classes(self) -> Classes | None:
        """Those that the image encoder names: the logits of the mean view are the mean logits of
        the views. The shape has no say in them."""
        network = self.network
        named = network.classes() if isinstance(network, NamesClasses) else None
        if named is None:
            return None
        rest = np.zeros((self.width - network.width, len(named.texts)), np.float32)
        return Classes(np.concatenate([named.weight, rest]), named.bias, named.texts)

    def looks(self, cell: Cell, root: Path) -> Iterator[Look]:
        for value in file_values(cell):  # one at a time, so that one is in memory
            yield self.settings.look(*open_mesh(value, root))
