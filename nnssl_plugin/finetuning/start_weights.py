"""Pull towards the start weights: L2-SP (Li, Grandvalet & Davoine, ICML 2018, arXiv 1802.01483).

[paper] adds half the squared distance from the start weights, times a strength, to the loss. [ours] The pull is applied
beside the gradient, as AdamW's weight decay is: a step moves each loaded weight by rate x strength of the way back.
"""

from typing import Any

import torch
from torch import Tensor, nn

from nnssl_plugin.checkpoints.unet_weights import SEGMENTATION
from nnssl_plugin.finetuning.parameter_groups import unwrapped
from nnssl_plugin.finetuning.supervised_trainer import SupervisedTrainer

START = "start_weights"


class PullToStart(SupervisedTrainer):
    """With `finetuning.l2_sp`, every weight that was loaded is pulled back to where it started; new layers are not."""

    start_weights: dict[str, Tensor]

    def on_train_start(self) -> None:
        """As without; remembers where training starts from."""
        super().on_train_start()
        if self.settings.l2_sp and not self.resumed:
            self.start_weights = {name: value.detach().clone() for name, value in self.loaded_parameters().items()}

    def loaded_parameters(self) -> dict[str, nn.Parameter]:
        """All but the segmentation layers, which are new."""
        parameters = unwrapped(self.network).named_parameters()
        return {name: parameter for name, parameter in parameters if SEGMENTATION not in name}

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As without, then the pull."""
        outputs = super().train_step(batch)
        if self.settings.l2_sp:
            self.pull()
        return outputs

    @torch.no_grad()
    def pull(self) -> None:
        """Move the loaded weights towards their start, at the learning rates of the step that was taken."""
        rates = {id(value): group["lr"] for group in self.optimizer.param_groups for value in group["params"]}
        for name, parameter in self.loaded_parameters().items():
            parameter.lerp_(self.start_weights[name], min(1.0, self.settings.l2_sp * rates[id(parameter)]))

    def state(self) -> dict[str, Any]:
        """The start weights, until the last epoch."""
        state = super().state()
        if not self.settings.l2_sp or self.current_epoch + 1 >= self.num_epochs:
            return state
        return {**state, START: self.start_weights}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Undo of `state`."""
        super().restore_state(state)
        if START in state:
            self.start_weights = {name: value.to(self.device, copy=True) for name, value in state[START].items()}
