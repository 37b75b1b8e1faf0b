"""nnU-Net's U-Nets with the contextual fusion block (CFB) between encoder and decoder.

A plans file names them as `network_class_name`, which nnU-Net looks up by import path: training, prediction and
`-pretrained_weights` need nothing else. All parameters but `fusion.*` have the names and shapes of the stock network.
"""

from collections.abc import Sequence
from typing import Any

from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import Tensor, nn

from nnssl_plugin.networks.contextual_fusion import ContextualFusionBlock


class _FusedBottleneck(nn.Module):
    """Puts the CFB between encoder and decoder of the U-Net it is mixed into.

    Args:
        fusion_bottleneck: spatial shape of the plans' bottleneck; decides the branches of the CFB.
        arguments: of the U-Net.
    """

    encoder: Any
    decoder: Any

    def __init__(self, *arguments: Any, fusion_bottleneck: Sequence[int], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.fusion = ContextualFusionBlock(self.encoder.output_channels[-1], fusion_bottleneck)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of every stage of `[N, C, *P]`, the fused bottleneck last: what the decoder gets."""
        *skips, bottleneck = self.encoder(x)
        return [*skips, self.fusion(bottleneck)]

    def forward(self, x: Tensor) -> Any:
        """Segmentation logits `[N, K, *P]` of `[N, C, *P]`; with deep supervision a list, the largest first."""
        return self.decoder(self.encode(x))


class ContextualFusionPlainConvUNet(_FusedBottleneck, PlainConvUNet):
    """nnU-Net's plain U-Net with the CFB at the bottleneck (SLeM, J. CAD & CG 2025, 37(3):474-483; place: ours)."""


class ContextualFusionResidualEncoderUNet(_FusedBottleneck, ResidualEncoderUNet):
    """nnU-Net's residual encoder U-Net with the CFB at the bottleneck (as the plain one)."""
