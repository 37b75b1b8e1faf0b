"""The healthy brain of a phantom: distances to smooth random surfaces, turned into shares of tissue per voxel."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfftn, rfftn

Array = npt.NDArray[np.float32]
Layers = dict[str, Array]

# Left-right, front-back, bottom-top. The head fills the grid; every length in the phantom is mm in a head of this size.
HEAD_MM = (150.0, 182.0, 146.0)


class Head:
    """Grid and random source of one phantom.

    `position`: mm from the centre `[3, X, Y, Z]`, axes pointing left, back and up. `voxel`: its mean size in mm.
    `depth`: mm below the surface of the brain, negative outside it. `mask`: the brain.
    """

    def __init__(self, shape: Sequence[int], rng: np.random.Generator) -> None:
        self.shape = tuple(shape)
        self.rng = rng
        self.voxel = float(np.mean([mm / n for mm, n in zip(HEAD_MM, shape, strict=True)]))
        axes = [np.linspace(-mm / 2, mm / 2, n, dtype=np.float32) for mm, n in zip(HEAD_MM, shape, strict=True)]
        self.position = np.stack(np.meshgrid(*axes, indexing="ij"))
        frequencies = np.meshgrid(
            *(np.fft.fftfreq(n, mm / n) for mm, n in zip(HEAD_MM[:2], self.shape[:2], strict=True)),
            np.fft.rfftfreq(self.shape[2], HEAD_MM[2] / self.shape[2]),
            indexing="ij",
        )
        self._frequency_squared = np.sum(np.square(frequencies), 0, dtype=np.float32)
        self.cerebellum = ellipsoid(self.position, (0, 46, -42), (47, 31, 23))
        self.depth = self._depth()
        self.mask = self.depth > 0

    def field(self, length: float) -> Array:
        """Periodic Gaussian random field of mean 0 and variance 1; `length`: sigma of its smoothing kernel in mm."""
        noise = rfftn(self.rng.standard_normal(self.shape, dtype=np.float32))
        smooth = irfftn(noise * np.exp(-2 * np.pi**2 * length**2 * self._frequency_squared), self.shape)
        return (smooth - smooth.mean()) / smooth.std()

    def share(self, distance: Array) -> Array:
        """Share of a voxel that lies inside a surface whose signed distance is `distance` mm (partial volume)."""
        return np.clip(0.5 + distance / self.voxel, 0, 1)

    def _depth(self) -> Array:
        width, length = self.rng.normal(1, 0.025, 2)
        x, y, z = self.position
        # Flatter below than above, as a cerebrum on the base of its skull.
        height = np.where(z > -6, 70.0, 50.0)
        radius = (
            np.abs(x / (68 * width)) ** 2.3 + np.abs(y / (84 * length)) ** 2.3 + np.abs((z + 6) / height) ** 2.3
        ) ** (1 / 2.3)
        brainstem = ellipsoid(self.position, (0, 20, -48), (14, 14, 30))
        cerebrum = 62 * (1 - radius) + 1.5 * self.field(14)
        return np.maximum.reduce([cerebrum, self.cerebellum, brainstem]).astype(np.float32)


@dataclass(frozen=True)
class Brain:
    """`layers`: tissue → opacity, later ones over earlier ones.

    `from_csf`: mm to the nearest outer CSF surface (brain surface, sulci, fissures). `ventricles`: signed distance in
    mm to the ventricles, positive inside.
    """

    layers: Layers
    from_csf: Array
    ventricles: Array


def ellipsoid(position: Iterable[Array], centre: Sequence[float | Array], radii: Sequence[float]) -> Array:
    """Signed distance in mm to an ellipsoid, positive inside; first-order, exact on its surface."""
    scaled = [(p - c) / r for p, c, r in zip(position, centre, radii, strict=True)]
    return np.float32(np.mean(radii)) * (1 - np.sqrt(sum(s * s for s in scaled)))


def healthy_brain(head: Head, position: Array) -> Brain:
    """The tissues that lie at `position` (mm, `[3, X, Y, Z]`): the voxels' own, displaced by whatever pushes them."""
    rng = head.rng
    x, y, z = position + 2.5 * np.stack([head.field(20) for _ in range(3)])

    # The zero level of a smooth field is a folded sheet: a sulcus, where it is near the surface.
    sulci = 5 * np.abs(head.field(4.5)) + 0.2 * np.maximum(head.depth - 12, 0)
    callosum = np.sqrt((y / 58) ** 2 + ((z - 2) / 30) ** 2)
    fissure = np.abs(x) + 30 * np.maximum(1 - callosum, 0)
    tentorium = np.abs(head.cerebellum) + np.where(head.depth > 20, 3, 0)
    from_csf = np.minimum.reduce([head.depth, sulci, fissure, tentorium])

    size = rng.uniform(0.9, 2.0)
    lateral_centre = (9 + 0.008 * (y - 5) ** 2, 2, 10 - 0.008 * (y + 5) ** 2)
    lateral = ellipsoid((np.abs(x), y, z), lateral_centre, (5.5 * size, 38, 8 * size))
    third = ellipsoid((x, y, z), (0, 4, -4), (2.2 * size, 13, 10))
    ventricles = np.maximum(lateral, third)

    striatum = ellipsoid((np.abs(x), y, z), (24, -6, -2), (7, 19, 11))
    thalamus = ellipsoid((np.abs(x), y, z), (10, 14, -1), (7, 12, 8))
    cortex = rng.uniform(3.2, 4.2) - from_csf
    # Where two smooth fields cross zero together runs a curve: a vessel.
    vessels = 1.3 - 7 * np.hypot(head.field(7), head.field(7))
    sagittal_sinus = np.where(z > 0, 3 - np.hypot(x, np.maximum(head.depth - 1, 0)), -np.inf)
    choroid_plexus = np.minimum(ellipsoid((np.abs(x), y, z), (13, 24, 5), (3, 6, 4)), ventricles + 1)
    lesions = 2 * (head.field(3.2) - rng.uniform(1.8, 3.2)) - 0.1 * np.maximum(-ventricles - 4, 0)

    layers = {
        "white matter": np.ones(head.shape, np.float32),
        "grey matter": head.share(np.maximum.reduce([cortex, striatum - 1, thalamus - 1])),
        "white matter lesion": head.share(np.minimum(lesions, from_csf - 6)),
        "csf": head.share(np.maximum(0.7 - from_csf, ventricles)),
        "vessel": head.share(np.maximum.reduce([vessels, sagittal_sinus, choroid_plexus])),
    }
    return Brain(layers, from_csf, ventricles)
