"""Moving average of the weights over the steps: steadier than the last step's, and what a run ends with."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nnssl_plugin.finetuning.parameter_groups import unwrapped
from nnssl_plugin.finetuning.supervised_trainer import SupervisedTrainer

TRAINED = "trained_weights"


class WeightAverage:
    """Exponential moving average of a network's parameters (Polyak & Juditsky 1992; in this form Tarvainen & Valpola 2017).

    Args:
        network: which is averaged; the average starts at its weights.
        decay: share of the average that stays in a step, 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.parameters = dict(unwrapped(network).named_parameters())
        self.values = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._average = get_ema_multi_avg_fn(decay)

    def update(self) -> None:
        """Take in the network's weights after a step."""
        self._average(list(self.values.values()), list(self.parameters.values()), None)

    @torch.no_grad()
    def exchange(self) -> None:
        """Put the average into the network and the network's weights here, or back again."""
        for name, parameter in self.parameters.items():
            held = self.values[name].clone()
            self.values[name].copy_(parameter)
            parameter.copy_(held)

    @torch.no_grad()
    def restore(self, trained: Mapping[str, Tensor]) -> None:
        """Continue with `trained` as the network's weights, whose average the network holds now."""
        for name, parameter in self.parameters.items():
            self.values[name].copy_(parameter)
            parameter.copy_(trained[name])


class WeightAveraging(SupervisedTrainer):
    """With `finetuning.ema`, the averaged weights are validated, saved and predicted with; training goes on without them."""

    average: WeightAverage | None = None

    def on_train_start(self) -> None:
        """As without; the average starts at the weights that training starts from."""
        super().on_train_start()
        if self.settings.ema and self.average is None:
            self.average = WeightAverage(self.network, self.settings.ema)

    def exchange(self) -> None:
        """Put the average into the network, or training's weights back."""
        if self.average is not None:
            self.average.exchange()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As without; updates the average."""
        outputs = super().train_step(batch)
        if self.average is not None:
            self.average.update()
        return outputs

    def on_validation_epoch_start(self) -> None:
        """As nnU-Net, with the average."""
        self.exchange()
        super().on_validation_epoch_start()

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """As nnU-Net; training's weights come back."""
        super().on_validation_epoch_end(val_outputs)
        self.exchange()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """As nnU-Net, with the average."""
        self.exchange()
        super().perform_actual_validation(save_probabilities)
        self.exchange()

    def save_checkpoint(self, filename: str) -> None:
        """As without, the average as the network's weights."""
        self.exchange()
        super().save_checkpoint(filename)
        self.exchange()

    def state(self) -> dict[str, Any]:
        """Training's weights beside the average, until the last epoch."""
        state = super().state()
        if self.average is None or self.current_epoch + 1 >= self.num_epochs:
            return state
        # Called while the average is in the network.
        return {**state, TRAINED: self.average.values}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Undo of `state`."""
        super().restore_state(state)
        if self.settings.ema:
            self.average = WeightAverage(self.network, self.settings.ema)
            if TRAINED in state:
                self.average.restore(state[TRAINED])
