"""The gradient of the weights of pairs as Meta-USCL takes it, through two backward passes: what `MetaWeights` is compared with."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import ObjectiveResult, Views
from nnssl_plugin.objectives.pair_losses import mean_of_pairs
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork

Batches = Mapping[str, PretrainingBatch]


def exact_meta_gradient(
    network: PretrainingNetwork,
    name: str,
    batches: Batches,
    views: Mapping[str, Views],
    held_out: Batches,
    held_out_views: Mapping[str, Views],
    rate: float,
) -> dict[str, Tensor]:
    """∇_φ L(θ − rate · ∇_θ L_w(θ, φ)), of every parameter φ of the networks that weigh the pairs of objective `name`."""
    named = dict(network.named_parameters())
    weighing = {key: value.detach().clone().requires_grad_() for key, value in named.items() if "weigh." in key}
    trained = {key: value for key, value in named.items() if value.requires_grad}

    def result(parameters: Mapping[str, Tensor], batches: Batches, views: Mapping[str, Views]) -> ObjectiveResult:
        own = {name: views[name]}
        # nnU-Net's blocks hold a module under several names; what is swapped under all of them is not swapped back.
        called = functional_call(network, {**parameters, **weighing}, (batches, own), tie_weights=False)
        scored: ObjectiveResult = called[1][name]
        return scored

    loss = result(trained, batches, views).loss
    gradients = torch.autograd.grad(loss, list(trained.values()), create_graph=True, allow_unused=True)
    stepped = {
        key: value if gradient is None else value - rate * gradient
        for (key, value), gradient in zip(trained.items(), gradients, strict=True)
    }
    pairs = result(stepped, held_out, held_out_views).weighted_pairs
    other = torch.stack([mean_of_pairs(one.pairs) for one in pairs]).mean()
    found = torch.autograd.grad(other, list(weighing.values()), allow_unused=True)
    return {
        key: torch.zeros_like(value) if gradient is None else gradient
        for (key, value), gradient in zip(weighing.items(), found, strict=True)
    }
