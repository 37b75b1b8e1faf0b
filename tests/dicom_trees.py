"""Generated DICOM series and CHAOS cases."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def write_series(
    folder: Path,
    voxels: np.ndarray,
    spacing: tuple[float, float, float] = (1.5, 1.25, 4.0),
    origin: Sequence[float] = (-20.0, -30.0, 5.0),
    orientation: Sequence[float] = AXIAL,
    names: Sequence[str] | None = None,
    echo_time_ms: float = 4.6,
    space: str = "1.2.3",
) -> list[Path]:
    """One file per slice of `voxels` `[Z, Y, X]`, Z along the normal of `orientation`; returns them in that order."""
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    writer = sitk.ImageFileWriter()
    # Else every file gets a physical space of its own.
    writer.KeepOriginalImageUIDOn()
    files = []
    for number, pixels in enumerate(voxels):
        image = sitk.GetImageFromArray(pixels.astype(np.uint16))
        image.SetSpacing(spacing[:2])
        position = np.asarray(origin) + number * spacing[2] * normal
        tags = {
            "0008|0060": "MR",
            "0020|0032": "\\".join(map(repr, position.tolist())),
            "0020|0037": "\\".join(map(repr, map(float, orientation))),
            "0018|0081": f"{echo_time_ms:g}",
            "0020|0052": space,
            "0008|0018": f"{space}.{number + 1}",
            "0020|000d": "1.2.5",
            "0020|000e": "1.2.6",
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        file = folder / f"{names[number] if names else f'IMG-{number:05d}'}.dcm"
        writer.SetFileName(str(file))
        writer.Execute(image)
        files.append(file)
    return files


def write_ground(folder: Path, grey: np.ndarray, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for pixels, name in zip(grey, names, strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(pixels.astype(np.uint8)), str(folder / f"{name}.png"))


def chaos_volume(seed: int = 0) -> np.ndarray:
    volume = np.zeros((6, 16, 20), np.uint16)
    volume[:, 2:-2, 2:-2] = np.random.default_rng(seed).integers(100, 900, (6, 12, 16))
    return volume


def chaos_grey() -> np.ndarray:
    """Liver, right and left kidney, spleen; every slice and side is different."""
    grey = np.zeros((6, 16, 20), np.uint8)
    grey[3:, 3:8, 3:9] = 63
    grey[:3, 9:12, 4:7] = 126
    grey[1:4, 9:12, 13:16] = 189
    grey[4:, 4:7, 14:17] = 252
    return grey


def write_chaos_t1(folder: Path, number: int, labelled: bool = True, seed: int = 0, reverse: bool = False) -> Path:
    """T1-DUAL as released: even file numbers in phase, odd ones out of phase, PNG files named as in phase.

    `reverse`: file names descend along z.
    """
    order = range(6)[::-1] if reverse else range(6)
    even, odd = [[f"IMG-0046-{2 * i + shift:05d}" for i in order] for shift in (2, 1)]
    t1 = folder / "MR" / str(number) / "T1DUAL"
    write_series(t1 / "DICOM_anon" / "InPhase", chaos_volume(seed), names=even, echo_time_ms=4.6)
    write_series(t1 / "DICOM_anon" / "OutPhase", chaos_volume(seed + 1), names=odd, echo_time_ms=2.3)
    if labelled:
        write_ground(t1 / "Ground", chaos_grey(), even)
    return t1


def write_chaos_t2(folder: Path, number: int, seed: int = 9, shift_mm: float = 0.0, space: str = "1.2.3") -> Path:
    """T2-SPIR with slices between those of T1-DUAL, `shift_mm` along z."""
    t2 = folder / "MR" / str(number) / "T2SPIR"
    rng = np.random.default_rng(seed)
    volume = rng.integers(100, 900, (12, 20, 24))
    names = [f"IMG-0002-{i:05d}" for i in range(12)]
    grid = {"spacing": (1.5, 1.25, 2.0), "origin": (-23.0, -32.5, 5.0 + shift_mm), "space": space}
    write_series(t2 / "DICOM_anon", volume, names=names, **grid)
    write_ground(t2 / "Ground", np.where(volume > 800, 63, 0), names)
    return t2
