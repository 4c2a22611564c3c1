"""Meshes whose shape is known in closed form."""

from __future__ import annotations

from itertools import product

import numpy as np

from gobelin.data.mesh.meshes import Mesh, tidy

BOX_FACES = [
    *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
    *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
]


def box(size: tuple[float, float, float] = (1, 1, 1), place: tuple[float, ...] = (0, 0, 0)) -> Mesh:
    """Of these sides, with its middle at this place."""
    corners = np.array(list(product((-0.5, 0.5), repeat=3))) * size + place
    return Mesh(corners, np.array(BOX_FACES))


def sphere(radius: float = 1.0, steps: int = 4) -> Mesh:
    """An octahedron whose faces were cut in four `steps` times, on the sphere."""
    v = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    faces = np.array(
        [
            *([0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4]),
            *([2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]),
        ]
    )
    corners = v[faces]
    for _ in range(steps):
        a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        cut = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        corners = np.concatenate([np.stack(t, axis=1) for t in cut])
        corners /= np.linalg.norm(corners, axis=2, keepdims=True)
    flat = np.round(corners.reshape(-1, 3), 12) * radius
    return tidy(flat, np.arange(len(flat)).reshape(-1, 3))[0]


def torus(ring: float = 1.0, tube: float = 0.4, around: int = 48, across: int = 24) -> Mesh:
    """Around the second axis."""
    u = 2 * np.pi * np.arange(around) / around
    w = 2 * np.pi * np.arange(across) / across
    r = ring + tube * np.cos(w)[None, :]
    x, z = r * np.cos(u)[:, None], r * np.sin(u)[:, None]
    y = np.broadcast_to(tube * np.sin(w)[None, :], x.shape)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    i, j = (k.ravel() for k in np.meshgrid(np.arange(around), np.arange(across), indexing="ij"))
    a, b = i * across + j, (i + 1) % around * across + j
    c, d = (i + 1) % around * across + (j + 1) % across, i * across + (j + 1) % across
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    return Mesh(vertices, faces)


def scattered(seed: int, faces: int = 60) -> Mesh:
    """Triangles anywhere in a cube, that cross each other, with colours."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(-1, 1, (faces, 1, 3))
    corners = middle + rng.normal(size=(faces, 3, 3)) * rng.uniform(0.05, 0.6, (faces, 1, 1))
    colours = rng.integers(0, 256, (faces, 3)).astype(np.uint8)
    return Mesh(corners.reshape(-1, 3), np.arange(3 * faces).reshape(-1, 3), colours)


def turned(mesh: Mesh, seed: int, scale: float = 1.0, shift: float = 0.0) -> Mesh:
    """The mesh turned at random, scaled and moved."""
    rng = np.random.default_rng(seed)
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.sign(np.linalg.det(q))
    moved = scale * mesh.vertices @ q.T + shift * rng.normal(size=3)
    return Mesh(moved, mesh.faces, mesh.colours)
