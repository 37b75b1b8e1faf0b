"""A U-Net of the shape that plans with a contextual fusion block describe: one more module in the encoder."""

from typing import Any

from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor, nn


class FusionUNet(PlainConvUNet):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        features = self.encoder.output_channels[-1]
        self.encoder.fusion = nn.Sequential(self.encoder.conv_op(features, features, 1), nn.LeakyReLU())

    def forward(self, x: Tensor) -> Any:
        *skips, bottleneck = self.encoder(x)
        return self.decoder([*skips, bottleneck + self.encoder.fusion(bottleneck)])
