"""What a NIfTI header says of spacing and position, as it stands in the file.

The readers of nnU-Net put 1 mm in the place of a spacing of 0, and of the two transforms to space that a header holds
(sform and qform) each of them takes the one it prefers.
"""

import gzip
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.unequal_texts import unequal_texts

# Room for transforms that were rounded: as a share of the smallest edge of a voxel, and of each edge.
POSITION_AGREEMENT = 0.1
SPACING_AGREEMENT = 0.01
NIFTI2_SIZE = 540
TALAIRACH = 3


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI file of one part."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


@dataclass(frozen=True)
class NiftiHeader:
    """Of an image of three or more axes.

    Attributes:
        size: `[3]`, in voxels.
        spacing: `[3]`, as it stands there.
        sform, qform: `[4, 4]`, voxel index to position; None where the header says that there is none.
        codes: of sform and qform, what space they lead to: 0 none, 1 scanner, 2 another scan, 3 Talairach, 4 MNI, 5 template.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    sform: npt.NDArray | None
    qform: npt.NDArray | None
    codes: tuple[int, int]

    @property
    def is_in_template(self) -> bool | None:
        """Whether it lies in the space of a template rather than of its scanner; None if both or neither is said."""
        spaces = {code >= TALAIRACH for code in self.codes if code}
        return spaces.pop() if len(spaces) == 1 else None

    def spacing_contradiction(self) -> str | None:
        """How sform and pixdim disagree on the size of a voxel; None if they do not."""
        if self.sform is None:
            return None
        by_sform = tuple(np.linalg.norm(self.sform[:3, :3], axis=0))
        equal = np.isclose(by_sform, np.abs(self.spacing), rtol=SPACING_AGREEMENT, atol=0)
        if all(same or voxels == 1 for same, voxels in zip(equal, self.size, strict=True)):
            return None
        shown, stated = unequal_texts(by_sform, self.spacing)
        return f"its voxels are of {shown} mm by its sform and of {stated} mm by its pixdim"

    def position_contradiction(self) -> str | None:
        """How far sform and qform are apart; None if they agree, or there are not both."""
        if self.sform is None or self.qform is None:
            return None
        apart = distance(self.sform, self.qform, self.size)
        return None if apart <= self._tolerance() else f"its sform and qform are up to {apart:.3g} mm apart"

    def is_placed_as(self, other: "NiftiHeader") -> bool:
        """Whether both transforms are those of `other`, on a grid of as many voxels."""
        pairs = ((self.sform, other.sform), (self.qform, other.qform))
        return self.size == other.size and all(
            (ours is None) is (theirs is None)
            and (ours is None or theirs is None or distance(ours, theirs, self.size) <= self._tolerance())
            for ours, theirs in pairs
        )

    def _tolerance(self) -> float:
        edges = [abs(edge) for edge, voxels in zip(self.spacing, self.size, strict=True) if voxels > 1]
        return POSITION_AGREEMENT * min(edges, default=1.0)


def distance(first: npt.NDArray, second: npt.NDArray, size: tuple[int, ...]) -> float:
    """Largest distance of a corner voxel's positions by two transforms, in their unit."""
    corners = np.array([(*corner, 1) for corner in product(*((0, edge - 1) for edge in size))])
    return float(np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max())


def read_nifti_header(path: Path) -> NiftiHeader:
    """Header of a NIfTI file (1 or 2), nothing in it repaired.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            block = stream.read(NIFTI2_SIZE)
        is_second = NIFTI2_SIZE in (int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big"))
        header = nib.Nifti2Header(block, check=False) if is_second else nib.Nifti1Header(block[:348], check=False)
        size = tuple(int(edge) for edge in header["dim"][1:4])
        spacing = tuple(float(edge) for edge in header["pixdim"][1:4])
        (sform, s_code), (qform, q_code) = header.get_sform(coded=True), header.get_qform(coded=True)
        return NiftiHeader(size, spacing, sform, qform, (int(s_code), int(q_code)))
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is truncated or damaged: {error}") from None
    except (ValueError, HeaderDataError, nib.wrapstruct.WrapStructError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
