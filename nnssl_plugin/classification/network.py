"""The encoder of the plans' network under a head that classifies cases."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnssl_plugin.classification.attention_pooling import GatedAttentionPooling, MeanPooling
from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.settings import ClassificationSettings


class BagHead(nn.Module):
    """Pools the tiles of a case and scores its classes.

    Args:
        features: length F of a tile's vector.
        classes: number of classes K of each column.
        settings: pooling and dropout.
    """

    def __init__(self, features: int, classes: Sequence[int], settings: ClassificationSettings) -> None:
        super().__init__()
        # Stages differ in scale, and so do pre-trained and fresh encoders.
        self.norm = nn.LayerNorm(features)
        self.pooling = GatedAttentionPooling(features) if settings.pooling == "attention" else MeanPooling()
        self.dropout = nn.Dropout(settings.dropout)
        self.columns = nn.ModuleList(nn.Linear(features, count) for count in classes)

    def forward(self, tiles: Tensor) -> tuple[list[Tensor], Tensor]:
        """Logits `[B, K]` of each column, and the tiles' weights `[B, T]`, of `[B, T, F]`."""
        pooled, weights = self.pooling(self.norm(tiles))
        pooled = self.dropout(pooled)
        return [column(pooled) for column in self.columns], weights


class ClassificationNetwork(nn.Module):
    """Encoder (and contextual fusion, where the plans' network has it) of a U-Net; a case is a bag of tiles.

    Args:
        unet: the plans' network; its decoder is left behind.
        classes: number of classes of each column.
        settings: of the head.

    Raises:
        InputError: a stage is asked for that the encoder does not have.
    """

    def __init__(self, unet: Any, classes: Sequence[int], settings: ClassificationSettings) -> None:
        super().__init__()
        self.encoder = unet.encoder
        self.fusion = getattr(unet, "fusion", None)
        channels: list[int] = unet.encoder.output_channels
        if impossible := [stage for stage in settings.stages if -stage > len(channels)]:
            raise InputError(
                f"classification.stages: the encoder has {len(channels)} stages, so {impossible[0]} is none of them"
            )
        self.stages = tuple(settings.stages)
        features = sum(channels[stage] for stage in self.stages)
        # nnU-Net's -pretrained_weights loads everything but what has `.seg_layers.` in its name: the head is always new.
        self.head = nn.ModuleDict({"seg_layers": BagHead(features, classes, settings)})

    def feature_maps(self, tiles: Tensor) -> list[Tensor]:
        """Maps `[N, C, *V]` of the pooled stages of `[N, C, *P]`."""
        skips = list(self.encoder(tiles))
        if self.fusion is not None:
            skips[-1] = self.fusion(skips[-1])
        return [skips[stage] for stage in self.stages]

    def tile_features(self, tiles: Tensor) -> Tensor:
        """Vectors `[N, F]` of tiles `[N, C, *P]`: means over space of every pooled stage."""
        return torch.cat([maps.flatten(2).mean(dim=2) for maps in self.feature_maps(tiles)], dim=1)

    def classify(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """Logits of each column and the tiles' weights, of the vectors `[B, T, F]`."""
        logits, weights = self.head["seg_layers"](features)
        return logits, weights

    def forward(self, bags: Tensor) -> list[Tensor]:
        """Logits `[B, K]` of each column of bags `[B, T, C, *P]`."""
        return self.classify(self.tile_features(bags.flatten(0, 1)).unflatten(0, bags.shape[:2]))[0]
