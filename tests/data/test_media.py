"""Media: arrays, files with marks, pictures. Oracles: nibabel, planted voxels, inverses, and the
functions of images that the medium of images wraps."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.files import BadCell
from gobelin.data.image.images import Opening, decode_images, open_image, png_bytes, squared
from gobelin.data.media import (
    Medium,
    in_words_of,
    kinds,
    medium,
    medium_of,
    medium_of_file,
    stem_of,
)
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.marks import marked_nifti, nifti_array, nifti_lineage
from gobelin.data.volume.pictures import plane_strip, three_planes
from gobelin.data.volume.volumes import VolumeOpening

RNG = np.random.default_rng(0)
LINEAGE = {"generator": "flow", "seed": 3, "condition": {"label": "Bär \udc80"}}


@pytest.fixture(params=kinds())
def of_kind(request: pytest.FixtureRequest) -> Medium:
    return medium(request.param)


def drawn(of_kind: Medium, side: int = 12) -> np.ndarray:
    return RNG.integers(0, 256, of_kind.shape(side)).astype(np.uint8)


def test_every_medium_obeys_the_contract(of_kind: Medium) -> None:
    assert isinstance(of_kind, Medium) and of_kind.kind in catalog.names("media")
    array = drawn(of_kind)
    assert array.ndim == of_kind.dimensions + 1
    for data in (of_kind.cell(array), of_kind.cell(array, LINEAGE), of_kind.marked(array, LINEAGE)):
        assert np.array_equal(of_kind.array(data), array)
    picture = of_kind.picture(array)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    for strip, count in of_kind.views(array).values():
        assert strip.dtype == np.uint8 and strip.shape[1] % count == 0 and strip.shape[2] == 3


def test_an_encoder_opens_what_a_medium_writes(of_kind: Medium) -> None:
    array = drawn(of_kind)
    opening = Opening() if of_kind.kind == "image" else VolumeOpening()
    for data in (of_kind.cell(array), of_kind.cell(array, LINEAGE)):
        assert np.array_equal(of_kind.opened(data, Path(), opening, 12), array)
        assert np.array_equal(of_kind.decoded({"c": data}, Path(), opening, 12)[0], array)
        assert np.array_equal(of_kind.source(data, array.shape)[0], array)


def test_every_file_is_marked_and_tells_its_lineage(of_kind: Medium) -> None:
    array = drawn(of_kind)
    assert not is_marked(of_kind.cell(array))
    for trained in (True, False):
        data = of_kind.marked(array, LINEAGE, trained)
        assert is_marked(data)
        told = read_lineage(io.BytesIO(data))
        assert told is not None and (told["seed"], told["generator"]) == (3, "flow")
        assert told["condition"]["label"].startswith("Bär")
    sheet = of_kind.marked(array, None)
    assert is_marked(sheet) and read_lineage(io.BytesIO(sheet)) is None


def test_names_of_files(of_kind: Medium) -> None:
    path = Path(f"a.b-seed-3{of_kind.suffix}")
    assert medium_of_file(path).kind == of_kind.kind and stem_of(path) == "a.b-seed-3"
    assert medium_of(drawn(of_kind)[None]).kind in kinds()


def test_images_are_as_they_were() -> None:
    image = RNG.integers(0, 256, (9, 14, 3)).astype(np.uint8)
    data, one = png_bytes(image), medium("image")
    assert np.array_equal(
        one.opened(data, Path(), Opening(), 8), squared(open_image(data, Path(), Opening())[0], 8)
    )
    cell = {"c": [data, data]}
    assert np.array_equal(
        one.decoded(cell, Path(), Opening(), 8), decode_images(cell, Path(), Opening(), 8)[0]
    )


def test_a_kind_without_a_medium() -> None:
    with pytest.raises(GobelinError, match="no component 'audio'"):
        medium("audio")


def test_a_cell_of_known_extent_opens_with_its_spacing(tmp_path: Path) -> None:
    """Oracle: cubes of 30 and 50 mm beside one whose size is not known."""
    volume = medium("volume")
    array = RNG.integers(0, 256, (8, 8, 8, 1)).astype(np.uint8)
    data = volume.cell(array, extent=40.0)
    opened, _ = open_volume(data, tmp_path, VolumeOpening())
    assert opened.spacing == (5.0, 5.0, 5.0) and np.array_equal(volume.array(data), array)
    cells = [{"c": volume.cell(array, extent=mm)} for mm in (30.0, None, 50.0)]
    assert volume.extent(cells, tmp_path, VolumeOpening()) == 40.0
    assert volume.extent(cells[1:2] * 3 + cells[:1], tmp_path, VolumeOpening()) is None
    assert medium("image").extent([], tmp_path, Opening()) is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("spacing", [None, (2.0, 1.0, 0.5)])
def test_nibabel_reads_the_volume_its_place_and_its_mark(
    channels: int, spacing: tuple[float, float, float] | None, tmp_path: Path
) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = RNG.integers(0, 256, (4, 5, 6, channels)).astype(np.uint8)
    path = tmp_path / "made.nii.gz"
    path.write_bytes(marked_nifti(volume, LINEAGE, spacing=spacing))
    image = nibabel.load(path)
    found = np.asanyarray(image.dataobj)
    wanted = volume.transpose(2, 1, 0, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found.reshape(wanted.shape), wanted)
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    zooms = image.header.get_zooms()[:3]
    assert np.allclose(zooms, (spacing or (1.0, 1.0, 1.0))[::-1])
    assert image.header.get_xyzt_units()[0] == ("mm" if spacing else "unknown")
    assert b"trainedAlgorithmicMedia" in image.header.extensions[0].get_content()
    middle = image.affine @ [*((np.array(found.shape[:3]) - 1) / 2), 1]
    assert np.allclose(middle[:3], 0)
    opened, _ = open_volume(path.name, tmp_path, VolumeOpening())
    assert np.array_equal(opened.values, volume)
    # another program saves it: the mark stays
    for name in ("again.nii.gz", "again.nii"):
        nibabel.save(image, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        assert is_marked(data) and nifti_lineage(data) == read_lineage(path)


def test_equal_volumes_are_equal_files_and_gzip_unpacks_them() -> None:
    volume = RNG.integers(0, 256, (3, 4, 5, 1)).astype(np.uint8)
    data = marked_nifti(volume, LINEAGE)
    assert data == marked_nifti(volume, LINEAGE)
    whole = gzip.decompress(data)
    assert whole[344:348] == b"n+1\0" and whole.endswith(volume.tobytes())
    assert np.array_equal(nifti_array(whole), volume)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x1f\x8b", b"\x1f\x8b" + bytes(40), gzip.compress(b"x" * 400, mtime=0), bytes(400)],
)
def test_other_and_damaged_files_have_no_mark(data: bytes) -> None:
    assert not is_marked(data) and nifti_lineage(data) is None


def test_planes_stand_as_a_person_stands() -> None:
    """Superior and anterior are up, left is left: planted voxels at the ends of each axis."""
    volume = np.zeros((4, 6, 8, 1), np.uint8)
    volume[3, 3, 4] = 250  # superior
    volume[2, 5, 4] = 100  # anterior
    volume[2, 3, 0] = 50  # left
    picture = three_planes(volume)
    axial, coronal = picture[:, :8, 0], picture[:, 9:17, 0]
    assert axial[0, 4] == 100 and axial[2, 0] == 50
    assert coronal[0, 4] == 250 and coronal[1, 0] == 50
    strip = plane_strip(volume, 2)
    assert strip.shape == (4, 8 * 6, 3) and strip[0, 4 * 6 + 3, 0] == 250


def test_a_source_of_other_channels_is_refused() -> None:
    data = medium("volume").cell(np.zeros((8, 8, 8, 3), np.uint8))
    with pytest.raises(BadCell, match="has 3 channels; 1 were expected"):
        medium("volume").source(data, (8, 8, 8, 1))


def test_a_grey_image_is_drawn_in_colour_channels() -> None:
    grey = RNG.integers(0, 256, (5, 6, 1)).astype(np.uint8)
    assert np.array_equal(medium("image").picture(grey), np.repeat(grey, 3, 2))
    assert Image.open(io.BytesIO(medium("image").cell(grey))).mode == "L"


WORDS = {  # what is said of images, and of volumes
    "1 of 312 images is a copy": "1 of 312 volumes is a copy",
    "An image is nearer to a training image.": "A volume is nearer to a training volume.",
    "Images of 8 x 8 pixels, 3 a pixel": "Volumes of 8 x 8 voxels, 3 a voxel",
    "the column 'image' and images/audit/a.png": "the column 'image' and images/audit/a.png",
    "image-3, image.png, image_text, imaged": "image-3, image.png, image_text, imaged",
}


def test_sentences_on_images_are_said_of_the_medium(of_kind: Medium) -> None:
    """Oracle: sentences written by hand. Names, paths and other words stay."""
    for of_images, of_volumes in WORDS.items():
        if of_kind.kind == "image":
            assert in_words_of(of_kind, of_images) == of_images
        wanted = of_volumes.replace("volumes", "meshes").replace("volume", "mesh")
        wanted = wanted.replace("Volumes", "Meshes")
        found = {"volume": of_volumes, "mesh": wanted}.get(of_kind.kind, of_images)
        assert in_words_of(of_kind, of_images) == found
