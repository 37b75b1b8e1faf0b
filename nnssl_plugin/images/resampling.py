"""Resampling of images that lie in one physical space already."""

import SimpleITK as sitk


def resample_onto(image: sitk.Image, reference: sitk.Image, is_label: bool, outside: float = 0) -> sitk.Image:
    """`image` on the grid of `reference`: linear, or nearest neighbour for labels; `outside` where `image` ends.

    Integer images come back as float32, but labels: interpolation makes values between theirs.
    """
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(reference)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if is_label else sitk.sitkLinear)
    resampler.SetDefaultPixelValue(outside)
    resampler.SetOutputPixelType(image.GetPixelID() if is_label else sitk.sitkFloat32)
    return resampler.Execute(image)


def overlap(image: sitk.Image, reference: sitk.Image) -> float:
    """Share of the voxels of `reference` whose centre lies inside the grid of `image`, by their geometry alone."""
    inside = sitk.Image(image.GetSize(), sitk.sitkUInt8) + 1
    inside.CopyInformation(image)
    return float(sitk.GetArrayFromImage(resample_onto(inside, reference, is_label=True)).mean())
