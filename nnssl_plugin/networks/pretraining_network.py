from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nnssl_plugin.objectives.objective import Features, Objective, ObjectiveResult, PretrainingBatch, Views


class PretrainingNetwork(nn.Module):
    """The network of the plans with the heads of the objectives beside it: one step is one forward.

    All views of a step go through the encoder together, so the whole step, heads included, can be wrapped in DDP: a
    forward through part of a wrapped module would leave gradients unsynchronised. What no loss reaches (always the
    segmentation layers; the decoder without an objective that needs it; the lowest stages where only features above them
    are compared) is frozen, because DDP wants a gradient for every parameter that asks for one.

    Attributes:
        deepest_stage: the deepest encoder stage that a loss reaches, counted from the bottleneck (0) upwards.

    Args:
        network: a U-Net with `encoder` and `decoder` as nnU-Net's plans describe them.
        objectives: name → objective.
    """

    def __init__(self, network: Any, objectives: Mapping[str, Objective]) -> None:
        super().__init__()
        # `Any`: torch's types know of no encoder in a module and no objective in a dict.
        self.network = network
        self.objectives: Any = nn.ModuleDict(objectives)
        # The stock decoder holds the encoder as well.
        unused = set(self.network.decoder.parameters()) - set(self.network.encoder.parameters())
        if any(objective.needs_decoder for objective in objectives.values()):
            unused = set(self.network.decoder.seg_layers.parameters())
        self.deepest_stage = min((objective.deepest_stage for objective in objectives.values()), default=0)
        if self.deepest_stage:
            below = [
                *self.network.encoder.stages[-self.deepest_stage :],
                *([network.fusion] if hasattr(network, "fusion") else []),
            ]
            unused |= {parameter for module in below for parameter in module.parameters()}
        for parameter in network.parameters():
            parameter.requires_grad_(parameter not in unused)

    def forward(self, batch: PretrainingBatch, views: Mapping[str, Views]) -> tuple[Tensor, dict[str, ObjectiveResult]]:
        """Encode all views, score each objective's own.

        Returns:
            Weighted total, and each objective's result by name.
        """
        return self.score(self.encode(views), views, batch)

    def score(
        self, features: Mapping[str, Features], views: Mapping[str, Views], batch: PretrainingBatch
    ) -> tuple[Tensor, dict[str, ObjectiveResult]]:
        """Weighted total, and each objective's result by name, of views that are encoded already."""
        results = {name: self.objectives[name](features[name], views[name], batch) for name in views}
        total = torch.stack([self.objectives[name].settings.weight * r.loss for name, r in results.items()]).sum()
        return total, results

    def encode(self, views: Mapping[str, Views]) -> dict[str, Features]:
        """Features of each objective's views, from one forward through the encoder."""
        sizes = [len(view.images) for view in views.values()]
        stages = self.stages(torch.cat([view.images for view in views.values()]))
        split = [stage.split(sizes) for stage in stages]
        features = {}
        for i, name in enumerate(views):
            own = [stage[i] for stage in split]
            features[name] = Features(own, self._decode(own) if self.objectives[name].needs_decoder else None)
        return features

    def stages(self, images: Tensor) -> list[Tensor]:
        """What the decoder gets of `[N, C, *P]`: features of every stage, the bottleneck last."""
        # Networks of ours put something between encoder and decoder; stock ones have no such method.
        encode = getattr(self.network, "encode", self.network.encoder)
        features: list[Tensor] = encode(images)
        return features

    def _decode(self, skips: list[Tensor]) -> Tensor:
        """Output of the decoder's last stage, which the stock decoder hands to its segmentation layer only."""
        caught: list[Tensor] = []
        handle = self.network.decoder.stages[-1].register_forward_hook(lambda _, __, output: caught.append(output))
        try:
            self.network.decoder(skips)
        finally:
            handle.remove()
        return caught[0]
