from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, Objective, ObjectiveResult, Views


class PretrainingNetwork(nn.Module):
    """The network of the plans with the heads of the objectives beside it: one step is one forward.

    Views of one size go through the encoder together, and the whole step, heads included, can be wrapped in DDP: a forward
    through part of a wrapped module would leave gradients unsynchronised. What no loss reaches (always the segmentation
    layers; decoder stages and the lowest encoder stages that nobody looks at) is frozen, because DDP wants a gradient for
    every parameter that asks for one.

    Attributes:
        lowest_stage: the lowest encoder stage that a loss reaches, −1 the bottleneck.
        teacher: a copy of the network that only objectives change (`Objective.after_step`); none if no objective needs it.

    Args:
        network: a U-Net with `encoder` and `decoder` as nnU-Net's plans describe them.
        objectives: name → objective.
        needs: name → what it asks for.
    """

    def __init__(self, network: Any, objectives: Mapping[str, Objective], needs: Mapping[str, Needs]) -> None:
        super().__init__()
        # `Any`: torch's types know of no encoder in a module and no objective in a dict.
        self.network = network
        self.objectives: Any = nn.ModuleDict(objectives)
        self.needs = dict(needs)
        self.decoded = max((self._decoder_stages(name) for name in objectives), default=0)
        self.lowest_stage = -1 if self.decoded else max((max(n.encoder_stages) for n in needs.values()), default=-1)
        reached = {parameter for module in self._reached() for parameter in module.parameters()}
        for parameter in network.parameters():
            parameter.requires_grad_(parameter in reached)
        self.teacher: Any = None
        if any(need.teacher_views > 0 for need in needs.values()):
            self.teacher = deepcopy(network).requires_grad_(False)

    def _decoder_stages(self, name: str) -> int:
        """How many decoder stages, from the bottleneck up, an objective needs."""
        stages = len(self.network.decoder.stages)
        return max((stage + stages + 1 for stage in self.needs[name].decoder_stages), default=0)

    def _reached(self) -> list[nn.Module]:
        """The modules of the network that a loss reaches."""
        encoder, decoder = self.network.encoder, self.network.decoder
        stages = len(encoder.stages) + 1 + self.lowest_stage
        modules = [*encoder.stages[:stages], *decoder.stages[: self.decoded], *decoder.transpconvs[: self.decoded]]
        # A residual encoder has a stem in front of its stages; networks of ours, a block behind them.
        beside = [getattr(encoder, "stem", None)]
        if self.lowest_stage == -1:
            beside.append(getattr(self.network, "fusion", None))
        return [*modules, *(module for module in beside if module is not None)]

    def forward(
        self, batches: Mapping[str, PretrainingBatch], views: Mapping[str, Views]
    ) -> tuple[Tensor, dict[str, ObjectiveResult]]:
        """Encode all views, score each objective's own.

        Returns:
            Weighted total, and each objective's result by name.
        """
        return self.score(self.encode(views), views, batches)

    def score(
        self,
        features: Mapping[str, Mapping[str, Features]],
        views: Mapping[str, Views],
        batches: Mapping[str, PretrainingBatch],
    ) -> tuple[Tensor, dict[str, ObjectiveResult]]:
        """Weighted total, and each objective's result by name, of views that are encoded already."""
        results = {
            name: self.objectives[name](features[name], views[name], batches[self.needs[name].patches])
            for name in views
        }
        total = torch.stack([self.objectives[name].settings.weight * r.loss for name, r in results.items()]).sum()
        return total, results

    def encode(self, views: Mapping[str, Views]) -> dict[str, dict[str, Features]]:
        """Features of each objective's views, by name, from one forward through the encoder for each size of views."""
        features: dict[str, dict[str, Features]] = {name: {} for name in views}
        self._encode_into(features, {name: view.images for name, view in views.items()}, self.network)
        if self.teacher is not None:
            with torch.no_grad():
                self._encode_into(features, {name: view.for_teacher for name, view in views.items()}, self.teacher)
        return features

    def _encode_into(
        self, features: dict[str, dict[str, Features]], images: Mapping[str, Mapping[str, Tensor]], network: Any
    ) -> None:
        by_size: dict[tuple[int, ...], list[tuple[str, str, Tensor]]] = {}
        for objective, named in images.items():
            for name, view in named.items():
                by_size.setdefault(tuple(view.shape[2:]), []).append((objective, name, view))
        for same_size in by_size.values():
            stages = encoder_features(network, torch.cat([view for _, _, view in same_size]))
            split = [stage.split([len(view) for _, _, view in same_size]) for stage in stages]
            for i, (objective, name, _) in enumerate(same_size):
                own = [stage[i] for stage in split]
                features[objective][name] = Features(own, self._decode(network, own, objective))

    def _decode(self, network: Any, skips: list[Tensor], objective: str) -> dict[int, Tensor]:
        """Outputs of the decoder stages that an objective needs; the stock decoder returns only its segmentation."""
        decoder, outputs = network.decoder, []
        x = skips[-1]
        for stage in range(self._decoder_stages(objective)):
            x = decoder.stages[stage](torch.cat((decoder.transpconvs[stage](x), skips[-2 - stage]), dim=1))
            outputs.append(x)
        return {stage: outputs[stage + len(decoder.stages)] for stage in self.needs[objective].decoder_stages}
