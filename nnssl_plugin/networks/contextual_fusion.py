from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
INSTANCE_NORMS: dict[int, type[nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
# Below this size of the bottleneck a 3³ kernel with dilation 3 sees hardly anything but padding.
SMALLEST_FOR_DILATION_3 = 7


class ContextualFusionBlock(nn.Module):
    """Contextual fusion block (CFB) of SLeM (J. CAD & CG 2025, 37(3):474-483).

    The paper says that it follows the fused multi-modal features and extracts features of tumours of various sizes.
    Its internals are ours: parallel branches (a 1³ convolution, 3³ convolutions of dilation 1, 2 and, in large
    bottlenecks, 3), each a quarter of the features wide, concatenated → 1³ convolution → instance norm; global average
    pooling → 1³ convolution, added behind the norm, which would cancel what is constant over space; LeakyReLU; added to
    the input with a learned gain that starts small. Kin: ASPP in DeepLab, RFB.

    Shape: `[N, F, *S]` → `[N, F, *S]` with two or three axes in `S`.

    Args:
        features: F.
        bottleneck: spatial shape of the plans' bottleneck; decides the dimension and whether dilation 3 is used.
        gain: what the learned gain starts at.
    """

    def __init__(self, features: int, bottleneck: Sequence[int], gain: float = 0.1) -> None:
        super().__init__()
        axes = len(bottleneck)
        convolution = CONVOLUTIONS[axes]
        width = max(1, features // 4)
        dilations = [1, 2, 3] if min(bottleneck) >= SMALLEST_FOR_DILATION_3 else [1, 2]
        # No bias in front of the norm: it would be cancelled, too.
        self.local = nn.ModuleList(
            [convolution(features, width, 1, bias=False)]
            + [
                convolution(features, width, 3, padding=dilation, dilation=dilation, bias=False)
                for dilation in dilations
            ]
        )
        self.fuse = nn.Sequential(
            convolution(width * len(self.local), features, 1, bias=False),
            INSTANCE_NORMS[axes](features, affine=True),
        )
        self.context = convolution(features, features, 1)
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: Tensor) -> Tensor:
        """Add context of several sizes to `x`."""
        pooled = x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)
        local = self.fuse(torch.cat([branch(x) for branch in self.local], dim=1))
        return x + self.gain * F.leaky_relu(local + self.context(pooled))
