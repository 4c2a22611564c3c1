"""DICOM: equal to pydicom's own functions on every file that it ships, and no text gets out."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import DX, slices, write
from pydicom.dataset import Dataset as Elements
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

from gobelin.core.errors import GobelinError
from gobelin.data.dicom.files import is_dicom, modality_pixels, read, stored
from gobelin.data.dicom.pictures import picture, voi
from gobelin.data.fields import Field
from gobelin.data.files import BadCell, cell_key
from gobelin.data.image.images import Opening, open_image
from gobelin.data.read import read as read_table
from gobelin.data.training_range import with_range
from gobelin.data.volume.files import open_volume, volume_query
from gobelin.data.volume.volumes import ARBITRARY, HOUNSFIELD, VolumeOpening
from gobelin.embedding.columns.schema import Choices, infer

SAMPLES = Path(pydicom.__file__).parent / "data"
FILES = sorted(
    p.relative_to(SAMPLES).as_posix()
    for p in SAMPLES.rglob("*")
    if p.is_file() and is_dicom(p.read_bytes()[:4096])
)
ENOUGH = 10**8


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """pydicom warns of its own odd samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def by_pydicom(path: Path) -> np.ndarray | None:
    """The modality values of a file by pydicom alone; None where it can't decode them."""
    data = pydicom.dcmread(path, force=True)
    try:
        array = pixel_array(data)
        if data.PhotometricInterpretation == "PALETTE COLOR":
            return apply_color_lut(array, data)
        return apply_modality_lut(array, data)
    except Exception:
        return None


def test_there_are_samples() -> None:
    assert len(FILES) > 150


@pytest.mark.parametrize("name", FILES)
def test_every_sample_of_pydicom_has_its_values(name: str) -> None:
    expected = by_pydicom(SAMPLES / name)
    if expected is None:
        with pytest.raises(BadCell):
            modality_pixels(read(SAMPLES / name))
        return
    data = read(SAMPLES / name)
    found = modality_pixels(data)
    if found.values.shape[3] > 1:
        scale = 255 / (2 ** (8 * expected.itemsize) - 1)
        expected = (expected.astype(np.float64) * scale).reshape(found.values.shape)
        assert np.allclose(found.values, expected, atol=1e-3)
        return
    expected = expected.reshape(found.values.shape).astype(np.float32)
    padding = getattr(data, "PixelPaddingValue", None)
    missing = stored(data) == padding if padding is not None else np.zeros(expected.shape, bool)
    assert np.array_equal(np.isnan(found.values), missing)
    assert np.array_equal(found.values[~missing], expected[~missing])


@pytest.mark.parametrize("name", [n for n in FILES if "/" in n])
def test_shades_equal_those_of_pydicom(name: str) -> None:
    """Modality LUT, VOI LUT and inversion in the standard's order, whatever can be decoded."""
    raw = (SAMPLES / name).read_bytes()
    values = by_pydicom(SAMPLES / name)
    data = pydicom.dcmread(SAMPLES / name, force=True)
    if values is None:
        with pytest.raises(BadCell), ExitStack() as stack:
            picture(raw, False, ENOUGH, stack)
        return
    with ExitStack() as stack:
        image, negative, _ = picture(raw, False, ENOUGH, stack)
    if "WindowCenter" not in data:
        return
    shown = apply_voi_lut(values, data)
    _, low, high = voi(values, read(SAMPLES / name))
    expected = np.rint((shown - low) * 255 / (high - low)).astype(np.uint8)
    if data.PhotometricInterpretation == "MONOCHROME1":
        expected = 255 - expected
    assert not negative and np.array_equal(np.asarray(image), expected)


def ramp(bits: int = 12) -> np.ndarray:
    return np.linspace(0, 2**bits - 1, 64 * 64).reshape(64, 64).astype(np.uint16)


def shown(path: Path, opening: Opening | None = None) -> np.ndarray:
    return np.asarray(open_image(path.name, path.parent, opening or Opening())[0])


def test_a_window_is_applied_before_the_inversion(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "BitsStored": 12,
        "HighBit": 11,
        "RescaleSlope": 2,
        "RescaleIntercept": -1000,
        "WindowCenter": 1000,
        "WindowWidth": 2001,
        "VOILUTFunction": "LINEAR_EXACT",
    }
    plain = write(tmp_path / "a.dcm", ramp(), **given)
    turned = write(tmp_path / "b.dcm", ramp(), **given, PhotometricInterpretation="MONOCHROME1")
    expected = np.clip(((ramp() * 2.0 - 1000) - 1000) / 2001 + 0.5, 0, 1) * 255
    assert np.abs(shown(plain) - expected).max() <= 1
    assert np.array_equal(shown(turned), 255 - shown(plain))
    # the user's window counts in its place, in the units of the modality
    own = np.clip((ramp() * 2.0 - 1000) / 4000, 0, 1) * 255
    assert np.abs(shown(plain, Opening(low=0, high=4000)) - own).max() <= 1
    assert np.abs(shown(turned, Opening(low=0, high=4000)) - (255 - own)).max() <= 1


def test_a_voi_lut_is_applied(tmp_path: Path) -> None:
    table = Elements()
    table.LUTDescriptor = [4096, 0, 8]
    table.LUTData = [int(255 * (k / 4095) ** 2) for k in range(4096)]
    table["LUTData"].VR = "US"
    path = write(tmp_path / "a.dcm", ramp(), BitsStored=12, HighBit=11, VOILUTSequence=[table])
    expected = (255 * (ramp() / 4095.0) ** 2).astype(int)
    assert np.array_equal(shown(path), expected)


def test_without_a_window_the_range_is_that_of_training_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", ramp())
    image, note = open_image(path.name, tmp_path, Opening())
    assert note == "DICOM, floats, range of the image itself"
    assert np.abs(np.asarray(image) - np.linspace(0, 255, 64 * 64).reshape(64, 64)).max() <= 2


def test_paths_of_pictures_in_a_table_are_images(tmp_path: Path) -> None:
    for k in range(6):
        write(tmp_path / f"{k}.dcm", ramp() - np.minimum(ramp(), 100 * k).astype(np.uint16))
    (tmp_path / "x.csv").write_text("scan,n\n" + "".join(f"{k}.dcm,{k}\n" for k in range(6)))
    dataset = read_table(tmp_path / "x.csv")
    schema = infer(dataset, None, Choices())
    assert schema.kind("scan") == "image"
    cells = [({"scan": v}, k) for k, v in enumerate(dataset.values("scan"))]
    opening = with_range(Opening(), cells, 5, tmp_path)
    assert opening.low is not None and 3000 < (opening.high or 0) <= 4095


def test_slices_become_a_volume(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (4, 6, 8)).astype(np.int16)
    files = slices(tmp_path / "s", values)
    for k, name in enumerate("dbca"):  # names that tell no order
        files[k].rename(tmp_path / "s" / f"{name}.dcm")
    volume, note = open_volume("s", tmp_path, VolumeOpening())
    # DICOM's rows run to the back and its columns to the left; RAS+ runs to the front and right
    expected = (values * 2.0 - 1000)[:, ::-1, ::-1]
    assert np.array_equal(volume.values[..., 0], expected)
    assert volume.spacing == (2, 0.5, 0.5) and volume.unit == HOUNSFIELD and volume.oriented
    assert not note


def test_a_folder_can_be_a_query(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (4, 6, 8)).astype(np.int16)
    slices(tmp_path / "s", values)
    cell = volume_query(str(tmp_path / "s"), Field("v", "volume", ("v",), "volume"))
    found, _ = open_volume(cell["v"], tmp_path, VolumeOpening())
    expected, _ = open_volume("s", tmp_path, VolumeOpening())
    assert np.array_equal(found.values, expected.values) and found.spacing == expected.spacing
    with pytest.raises(GobelinError, match="is a folder of 0 volumes"):
        volume_query(str(tmp_path), Field("v", "volume", ("v",), "volume"))


def test_a_volume_in_a_folder_has_a_key_of_all_its_slices(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (4, 6, 8)).astype(np.int16)
    files = slices(tmp_path / "s", values)
    before = cell_key({"v": "s"}, tmp_path)
    files[2].write_bytes(files[2].read_bytes()[:-1] + b"\0")
    assert cell_key({"v": "s"}, tmp_path) != before


def test_sagittal_slices_lie_along_the_body(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (3, 5, 7)).astype(np.int16)
    for k, pixels in enumerate(values):  # rows run to the feet, columns to the back
        write(
            tmp_path / "s" / f"{k}.dcm",
            pixels,
            Modality="MR",
            SeriesInstanceUID="1.2.3",
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
            ImagePositionPatient=[-3.0 * k, 0, 0],
            PixelSpacing=[0.4, 0.5],
        )
    volume, note = open_volume("s", tmp_path, VolumeOpening())
    # x grows to the left in DICOM, so the slices are written from the patient's left to right
    assert np.array_equal(volume.values[..., 0], values.transpose(1, 2, 0)[::-1, ::-1])
    assert volume.spacing == (0.4, 0.5, 3.0) and volume.unit == ARBITRARY
    assert note == "arbitrary units"


def test_frames_of_one_file_become_a_volume() -> None:
    volume, _ = open_volume("test_files/rtdose.dcm", SAMPLES, VolumeOpening())
    data = pydicom.dcmread(SAMPLES / "test_files/rtdose.dcm")
    assert volume.values.shape == (15, 10, 10, 1) and volume.spacing == (5, 10, 10)
    offsets = np.array(data.GridFrameOffsetVector)
    order = np.argsort(offsets)
    expected = pixel_array(data)[order][:, ::-1, ::-1].astype(np.float32)
    assert np.array_equal(volume.values[..., 0], expected)


def test_what_is_missing_is_named() -> None:
    for name, package in (
        ("JPEGLSNearLossless_08.dcm", "pip install pylibjpeg pylibjpeg-libjpeg"),
        ("SC_rgb_jpeg_gdcm.dcm", "pip install pylibjpeg pylibjpeg-libjpeg"),
    ):
        with pytest.raises(BadCell, match=package):
            modality_pixels(read(SAMPLES / "test_files" / name))


def test_damaged_files_are_bad_cells_that_quote_nothing(tmp_path: Path) -> None:
    name = "MUELLER^HANS"
    whole = write(tmp_path / "a.dcm", ramp(), PatientName=name, SOPClassUID=DX).read_bytes()
    for k, data in enumerate(
        (
            whole[:-100],
            whole[: len(whole) // 2],
            whole.replace(b"MONOCHROME2", b"MONOCHRMUEL"),
            whole.replace(b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.7"),
            whole[:300],
            bytes(128) + b"DICM" + name.encode() * 50,
        )
    ):
        with pytest.raises(BadCell) as caught, ExitStack() as stack:
            picture(data, False, ENOUGH, stack)
        assert "MUELLER" not in str(caught.value) and "HANS" not in str(caught.value), k
    with pytest.raises(BadCell, match="max_pixels allows 10"), ExitStack() as stack:
        picture(whole, False, 10, stack)


def test_damaged_runs_are_bad_cells() -> None:
    """A decoder in Rust would end the program."""
    rng = np.random.default_rng(0)
    for name in ("MR_small_RLE.dcm", "SC_rgb_rle.dcm", "rtdose_rle_1frame.dcm"):
        whole = (SAMPLES / "test_files" / name).read_bytes()
        start = whole.rindex(b"\xe0\x7f\x10\x00")  # the element with the pixels
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(start + 80, len(whole), 3):
                data[place] = rng.integers(256)
            with contextlib.suppress(BadCell):
                modality_pixels(read(bytes(data)))


def test_a_header_that_promises_too_much_is_refused_before_decoding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", ramp(), NumberOfFrames=10**8)
    with pytest.raises(BadCell, match="MB to decode"):
        open_volume(path.name, tmp_path, VolumeOpening())
