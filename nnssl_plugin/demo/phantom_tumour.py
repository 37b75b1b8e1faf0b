"""The glioma of a phantom: irregular nested regions, with mass effect on the brain around it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnssl_plugin.demo.phantom_anatomy import Array, Brain, Head, Layers

NECROTIC_CORE, OEDEMA, ENHANCING = 1, 2, 3


@dataclass(frozen=True)
class Tumour:
    """Signed distances in mm, positive inside. `pushed`: where the tissue now at each voxel was before."""

    head: Head
    core: Array
    necrosis: Array
    oedema: Array
    enhances: bool
    pushed: Array

    def invade(self, brain: Brain) -> tuple[npt.NDArray[np.uint8], Layers]:
        """Label (BraTS 2023 values) and layers of the tumour in `brain`."""
        head = self.head
        # Oedema follows white matter: it spares cortex and stops at the ventricles.
        oedema = np.minimum.reduce([self.oedema, brain.from_csf - 2.5, -brain.ventricles - 0.5])
        core = np.minimum(self.core, head.depth - 1)
        rim = np.minimum(core, -self.necrosis) if self.enhances else np.full_like(core, -np.inf)
        layers = {
            # Denser towards the core than at its margin.
            "oedema": head.share(oedema) * np.clip(0.6 + 0.05 * oedema, 0, 1),
            "infiltration": head.share(core),
            "necrosis": head.share(np.minimum(core, self.necrosis)),
            "enhancing tumour": head.share(rim),
        }
        label = np.zeros(head.shape, np.uint8)
        label[oedema > 0] = OEDEMA
        label[core > 0] = NECROTIC_CORE
        label[rim > 0] = ENHANCING
        label[~head.mask] = 0
        return label, layers


def grow_tumour(head: Head) -> Tumour:
    """A tumour of random place, size, shape and kind: ring, patchy or, one in six, without enhancement."""
    rng = head.rng
    x, _, z = head.position
    places = np.flatnonzero((head.depth > 14) & (np.abs(x) > 14) & (z > -32) & (head.cerebellum < 0))
    centre = head.position.reshape(3, -1)[:, rng.choice(places)]
    radius = rng.uniform(9, 21)

    core = _blob(head, centre, radius)
    if rng.random() < 0.2:
        direction = rng.standard_normal(3)
        satellite = centre + direction / np.linalg.norm(direction) * radius * rng.uniform(1.1, 1.7)
        core = np.maximum(core, _blob(head, satellite, radius * rng.uniform(0.35, 0.6)))

    patches = head.field(max(0.3 * radius, 3))
    enhances = rng.random() > 1 / 6
    rim = rng.uniform(2.5, 5.5) if rng.random() < 0.65 else rng.uniform(0.4, 0.9) * radius
    necrosis = core - rim + 0.14 * radius * patches
    margin = rng.uniform(3, 15)
    oedema = core + margin * (1 + 0.6 * head.field(8))

    offset = head.position - centre[:, None, None, None]
    reach = radius + 0.6 * margin
    push = 0.4 * np.exp(-np.sum(offset**2, 0) / (2 * reach**2))
    return Tumour(head, core, necrosis, np.maximum(oedema, core), enhances, head.position - push * offset)


def _blob(head: Head, centre: npt.NDArray[np.floating], radius: float) -> Array:
    skew = np.eye(3) + head.rng.normal(0, 0.15, (3, 3))
    offset = np.tensordot(skew.astype(np.float32), head.position - centre[:, None, None, None], 1)
    return radius - np.sqrt(np.sum(offset**2, 0)) + 0.3 * radius * head.field(0.45 * radius + 1)
