from collections.abc import Sequence


def mosaic_axes(patch_size: Sequence[int]) -> tuple[int, int]:
    """The two largest spatial axes, the later ones where sizes tie: the plane that is cut into 2×2 blocks."""
    by_size = sorted(range(len(patch_size)), key=lambda axis: (patch_size[axis], axis))
    first, second = sorted(by_size[-2:])
    return first, second
