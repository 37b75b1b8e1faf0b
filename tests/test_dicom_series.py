from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.dicom_series import load_series
from nnssl_plugin.images.resampling import overlap, resample_onto
from tests.dicom_trees import AXIAL, write_series

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)
VOXELS = np.random.default_rng(0).integers(0, 4000, (5, 6, 7))


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, OBLIQUE])
def test_the_volume_is_where_its_headers_say(tmp_path: Path, orientation):
    """File names in another order; every voxel must lie where its slice's header puts it."""
    names = ["d", "a", "c", "e", "b"]
    write_series(tmp_path, VOXELS, (1.5, 1.25, 4), (-20, -30, 5), orientation, names)
    volume = load_series(sorted(tmp_path.iterdir()))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volume), VOXELS)
    rows, columns = np.array(orientation[:3]), np.array(orientation[3:])
    for i, j, k in [(0, 0, 0), (6, 0, 0), (0, 5, 0), (3, 2, 4)]:
        expected = np.array([-20, -30, 5]) + i * 1.5 * rows + j * 1.25 * columns + k * 4 * np.cross(rows, columns)
        np.testing.assert_allclose(volume.TransformIndexToPhysicalPoint((i, j, k)), expected, atol=1e-6)


def test_agrees_with_the_series_reader_of_simpleitk(tmp_path: Path):
    files = write_series(tmp_path, VOXELS)
    expected = sitk.ReadImage([str(file) for file in files])
    volume = load_series(files)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volume), sitk.GetArrayFromImage(expected))
    for quantity in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(volume, quantity)(), getattr(expected, quantity)(), atol=1e-6)


def test_a_missing_slice(tmp_path: Path):
    files = write_series(tmp_path, VOXELS)
    with pytest.raises(InputError, match=r"IMG-00001.dcm and .*IMG-00003.dcm are 8 mm, between most slices 4 mm"):
        load_series([*files[:2], *files[3:]])


def test_two_echoes_in_one_folder(tmp_path: Path):
    files = write_series(tmp_path / "in", VOXELS) + write_series(tmp_path / "out", VOXELS)
    with pytest.raises(InputError, match="lie at one position: two series"):
        load_series(files)


def test_two_orientations_in_one_folder(tmp_path: Path):
    files = write_series(tmp_path / "a", VOXELS) + write_series(tmp_path / "b", VOXELS, orientation=CORONAL)
    with pytest.raises(InputError, match="differ in orientation"):
        load_series(files)


def test_sheared_slices(tmp_path: Path):
    files = write_series(tmp_path, VOXELS)
    for number, file in enumerate(files):
        write_series(
            file.parent, VOXELS[number : number + 1], origin=(-20, -30 + number, 5 + 4 * number), names=[file.stem]
        )
    with pytest.raises(InputError, match="shifted against each other"):
        load_series(files)


def test_files_that_are_no_slices(tmp_path: Path):
    files = write_series(tmp_path, VOXELS)
    with pytest.raises(InputError, match="only slice"):
        load_series(files[:1])
    files[2].write_bytes(files[2].read_bytes()[:-30])
    with pytest.raises(InputError, match=r"IMG-00002\.dcm"):
        load_series(files)
    files[2].write_bytes(b"no image")
    with pytest.raises(InputError, match=r"IMG-00002.dcm cannot be read"):
        load_series(files)
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS[2].astype(np.uint8)), str(tmp_path / "x.png"))
    with pytest.raises(InputError, match=r"x.png is not one DICOM slice"):
        load_series([*files[:2], tmp_path / "x.png"])


def grid(size, spacing, origin) -> sitk.Image:
    image = sitk.Image(size, sitk.sitkInt16)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


def test_overlap_by_hand():
    reference = grid((10, 10, 10), (1, 1, 1), (0, 0, 0))
    assert overlap(reference, reference) == 1
    # Covers x from 5 on; centres 5 to 9.
    assert overlap(grid((10, 10, 10), (1, 1, 1), (5, 0, 0)), reference) == pytest.approx(0.5)
    assert overlap(grid((5, 5, 5), (2, 2, 2), (0.5, 0.5, 0.5)), reference) == 1
    assert overlap(grid((10, 10, 10), (1, 1, 1), (50, 0, 0)), reference) == 0


def test_resampling_a_linear_ramp_is_exact_and_labels_stay_labels():
    coarse = sitk.GetImageFromArray(np.broadcast_to(np.arange(0, 40, 4, dtype=np.int16), (4, 4, 10)).copy())
    coarse.SetSpacing((4, 1, 1))
    fine = grid((30, 4, 4), (1, 1, 1), (2, 0, 0))
    ramp = sitk.GetArrayFromImage(resample_onto(coarse, fine, is_label=False))
    np.testing.assert_allclose(ramp[1, 2], np.arange(2, 32), atol=1e-4)
    assert set(np.unique(sitk.GetArrayFromImage(resample_onto(coarse, fine, is_label=True)))) <= set(range(0, 40, 4))
