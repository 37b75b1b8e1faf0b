"""Weights of pairs, learned so that a step on the weighted loss lowers the loss of held-out cases."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd import forward_ad
from torch.func import functional_call

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import Views
from nnssl_plugin.objectives.pair_losses import mean_of_pairs
from nnssl_plugin.objectives.pair_weights import WeightedPairs
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork

Batches = Mapping[str, PretrainingBatch]


class MetaWeights:
    """Trains the networks that weigh the pairs of contrastive objectives (Meta-USCL, IEEE TMI 2022, arXiv 2212.04097).

    With weights w_φ, losses ℓ_m of the pairs and θ' = θ − η ∇_θ Σ w_m ℓ_m / Σ w_m, the paper minimises the unweighted loss L(θ') of
    other cases by φ. Its gradient is that of −η Σ w_m c_m / Σ w_m, with c_m = ∇_θ ℓ_m · ∇L(θ'): a pair weighs more if learning it also
    helps the others. The paper goes through two backward passes. Ours takes ∇L at θ, which is θ' for a small η, and all c_m from one
    forward pass that carries the derivative along ∇L with it (forward-mode differentiation): no second derivative, no graph kept.
    Adam takes the step, so that η does not matter. The weights change after the step, not within it.

    Args:
        network: with the objectives, some of which weigh pairs.
        names: of these.
        learning_rate: of Adam.
    """

    def __init__(self, network: PretrainingNetwork, names: Sequence[str], learning_rate: float) -> None:
        self.network = network
        self.names = list(names)
        self.optimizer = torch.optim.Adam(
            [
                parameter
                for name in names
                for key, parameter in network.objectives[name].named_parameters()
                if "weigh." in key
            ],
            learning_rate,
        )

    def update(
        self, batches: Batches, views: Mapping[str, Views], held_out: Batches, held_out_views: Mapping[str, Views]
    ) -> None:
        """One step of Adam.

        Args:
            batches: kind → batch that was just trained on.
            views: of it.
            held_out: kind → batch of other cases.
            held_out_views: of it.
        """
        self.optimizer.zero_grad(set_to_none=True)
        for name in self.names:
            direction = self.gradient(name, held_out, held_out_views)
            for pairs, gains in self.gains(name, batches, views, direction):
                self._learn(pairs, gains)
        self.optimizer.step()

    def gradient(self, name: str, batches: Batches, views: Mapping[str, Views]) -> dict[str, Tensor]:
        """∇_θ of the unweighted loss, for the trained parameters that it reaches, of length 1 all together."""
        trained = {key: value for key, value in self.network.named_parameters() if value.requires_grad}
        loss = torch.stack([mean_of_pairs(one.pairs) for one in self._pairs(name, batches, views, {})]).mean()
        found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        gradient = {key: part for key, part in zip(trained, found, strict=True) if part is not None}
        if dist.is_initialized():
            for part in gradient.values():
                dist.all_reduce(part)
        norm = torch.stack([part.norm() for part in gradient.values()]).norm().clamp(min=1e-12)
        return {key: part / norm for key, part in gradient.items()}

    @torch.no_grad()
    def gains(
        self, name: str, batches: Batches, views: Mapping[str, Views], direction: Mapping[str, Tensor]
    ) -> list[tuple[WeightedPairs, Tensor]]:
        """The pairs, and c_m `[M]` of each group of them: how much learning a pair helps the held-out cases."""
        parameters = dict(self.network.named_parameters())
        with forward_ad.dual_level():
            duals = {key: forward_ad.make_dual(parameters[key], part) for key, part in direction.items()}
            pairs = self._pairs(name, batches, views, duals)
            values = [forward_ad.unpack_dual(one.pairs.values) for one in pairs]
            return [(one, value.tangent) for one, value in zip(pairs, values, strict=True)]

    def _learn(self, one: WeightedPairs, gains: Tensor) -> None:
        """Add the gradient of −Σ w_m c_m / Σ w_m to the weights' network."""
        own = dict(one.weigh.named_parameters())
        leaves = {key: value.detach().clone().requires_grad_() for key, value in own.items()}
        weights = functional_call(one.weigh, leaves, (one.representations, one.pairs)) * one.pairs.counted
        total = weights.sum()
        loss = -(weights * gains).sum() / torch.where(total > 0, total, 1)
        for key, part in zip(own, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            finite = torch.nan_to_num(part, 0.0, 0.0, 0.0)
            if dist.is_initialized():
                dist.all_reduce(finite)
                finite /= dist.get_world_size()
            grad = own[key].grad
            own[key].grad = finite if grad is None else grad + finite

    def _pairs(
        self, name: str, batches: Batches, views: Mapping[str, Views], parameters: Mapping[str, Tensor]
    ) -> list[WeightedPairs]:
        """Pairs of one objective, with these parameters of the network; in single precision."""
        own = {name: views[name]}
        # nnU-Net's blocks hold a module under several names; what is swapped under all of them is not swapped back.
        _, results = functional_call(self.network, dict(parameters), (batches, own), tie_weights=False)
        return list(results[name].weighted_pairs)
