from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.demo.phantom import MODALITIES, PhantomCase, phantom_case, write_phantom_cohort

SMALL = (40, 44, 36)


@pytest.fixture(scope="module")
def cohort() -> list[PhantomCase]:
    return [phantom_case(index, SMALL) for index in range(24)]


def test_layout_and_geometry(tmp_path: Path):
    labelled, unlabelled = tmp_path / "with labels", tmp_path / "without"
    names = write_phantom_cohort(labelled, range(2), shape=SMALL, spacing_mm=3)
    assert names == ["Phantom-GLI-00000-000", "Phantom-GLI-00001-000"]
    assert write_phantom_cohort(unlabelled, [7], labelled=False, shape=SMALL) == ["Phantom-GLI-00007-000"]
    suffixes = [*MODALITIES, "seg"]
    assert sorted(path.name for path in (labelled / names[1]).iterdir()) == sorted(
        f"{names[1]}-{suffix}.nii.gz" for suffix in suffixes
    )
    assert not list(unlabelled.rglob("*seg*"))
    assert len(list(unlabelled.rglob("*.nii.gz"))) == 4
    case = phantom_case(1, SMALL)
    for suffix in suffixes:
        image = sitk.ReadImage(str(labelled / names[1] / f"{names[1]}-{suffix}.nii.gz"))
        assert (image.GetSize(), image.GetSpacing()) == (SMALL, (3, 3, 3))
        expected = case.label if suffix == "seg" else case.images[suffix]
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected.transpose(2, 1, 0))


def test_a_case_does_not_depend_on_the_others(cohort: list[PhantomCase]):
    again = phantom_case(5, SMALL)
    np.testing.assert_array_equal(again.label, cohort[5].label)
    for modality in MODALITIES:
        np.testing.assert_array_equal(again.images[modality], cohort[5].images[modality])
        assert (cohort[4].images[modality] != cohort[5].images[modality]).any()
        assert (phantom_case(5, SMALL, seed=1).images[modality] != cohort[5].images[modality]).any()


def test_skull_stripped(cohort: list[PhantomCase]):
    for case in cohort:
        assert case.label.dtype == np.uint8
        brain = case.images["t1n"] != 0
        assert 0.3 < brain.mean() < 0.5
        for image in case.images.values():
            assert image.dtype == np.int16
            assert image.shape == SMALL
            np.testing.assert_array_equal(image != 0, brain)
            assert image[brain].min() >= 1
        assert not case.label[~brain].any()


def test_tumours_vary(cohort: list[PhantomCase]):
    assert {int(value) for case in cohort for value in np.unique(case.label)} == {0, 1, 2, 3}
    sizes = np.array([(case.label > 0).sum() for case in cohort])
    assert sizes.min() >= 50
    assert sizes.max() > 4 * sizes.min()
    without_enhancement = sum(not (case.label == 3).any() for case in cohort)
    assert 1 <= without_enhancement <= len(cohort) // 3
    centres = np.array([np.argwhere(case.label > 0).mean(0) for case in cohort])
    assert (np.ptp(centres, 0) > 8).all()


def contrast(case: PhantomCase, modality: str, value: int) -> float:
    """Median of a tumour region over the median of the rest of the brain."""
    image = case.images[modality]
    return float(np.median(image[case.label == value]) / np.median(image[(case.label == 0) & (image > 0)]))


@pytest.mark.parametrize(
    ("value", "modality", "low", "high"),
    [
        (3, "t1c", 1.2, 3),
        (3, "t1n", 0.5, 1),
        (2, "t2f", 1.15, 2.2),
        (2, "t2w", 1.05, 2.2),
        (2, "t1n", 0.6, 1.05),
        (1, "t1n", 0.3, 0.9),
        (1, "t2w", 1.2, 3),
    ],
)
def test_regions_look_as_they_do_in_glioma(
    cohort: list[PhantomCase], value: int, modality: str, low: float, high: float
):
    measured = [contrast(case, modality, value) for case in cohort if (case.label == value).sum() > 20]
    assert low < np.median(measured) < high


def test_no_single_threshold_finds_the_tumour(cohort: list[PhantomCase]):
    """Even the best threshold of the best modality, chosen with the labels at hand, stays far below a segmentation."""
    brains = [case.images["t1n"] > 0 for case in cohort]
    for modality in MODALITIES:
        scans = [case.images[modality][brain] for case, brain in zip(cohort, brains, strict=True)]
        scores = [(scan - scan.mean()) / scan.std() for scan in scans]
        for values in ((1, 2, 3), (1, 3), (3,)):
            truths = [np.isin(case.label[brain], values) for case, brain in zip(cohort, brains, strict=True)]
            for threshold in np.linspace(-3, 3, 13):
                above = [dice(score > threshold, truth) for score, truth in zip(scores, truths, strict=True)]
                below = [dice(score < threshold, truth) for score, truth in zip(scores, truths, strict=True)]
                assert max(np.mean(above), np.mean(below)) < 0.65


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1)


def test_bias_field_and_noise_differ_between_modalities(cohort: list[PhantomCase]):
    case = cohort[0]
    t1, t1c = (case.images[modality].astype(float) for modality in ("t1n", "t1c"))
    white = (case.label == 0) & (t1 > np.percentile(t1[t1 > 0], 60))
    ratio = t1[white] / t1c[white]
    # One image is not a scaled copy of the other even where tissue is the same.
    assert ratio.std() / ratio.mean() > 0.02


def test_an_interrupted_case_is_replaced(tmp_path: Path):
    (tmp_path / ".Phantom-GLI-00000-000").mkdir()
    (tmp_path / ".Phantom-GLI-00000-000" / "half.nii.gz").touch()
    (name,) = write_phantom_cohort(tmp_path, [0], shape=SMALL)
    write_phantom_cohort(tmp_path, [0], labelled=False, shape=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(list((tmp_path / name).iterdir())) == 4
