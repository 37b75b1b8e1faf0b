from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nnssl_plugin.data.batch import PretrainingBatch, batches_from_loader
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.objectives.objective import Features, ObjectiveResult, Views
from nnssl_plugin.pretraining.meta_weights import MetaWeights
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from nnssl_plugin.pretraining.skipped_steps import SKIPPED, gradient_scaler, step_if_finite


class PretrainingStep:
    """One step of pre-training, and all that it changes: draw views, encode, score, step, measure.

    The trainer hands it the loader's batches and knows nothing of objectives, teachers or the number of passes.

    Args:
        network: of the plans, with the objectives beside it, on `device`.
        optimizer: fused (`step_if_finite`), over what is trained of `network`.
        device: of everything.
        ddp: whether to wrap the whole step; nnU-Net would wrap the bare network, and a forward past that synchronises
            nothing.
        meta: learns the weights of pairs, where objectives have such.

    Attributes:
        generator: draws the views.
        progress: share of the run that is done, for teachers that follow a schedule.
    """

    def __init__(
        self,
        network: PretrainingNetwork,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        ddp: bool = False,
        meta: MetaWeights | None = None,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.device = device
        self.scaler = gradient_scaler(device)
        self.generator = torch.Generator(device)
        self.progress = 0.0
        self.meta = meta
        self.module: nn.Module = network
        if ddp:
            ids = [device.index] if device.type == "cuda" else None
            self.module = DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(network), device_ids=ids)

    def start(self) -> None:
        """Let the teacher begin as the network, whose weights may have been loaded since it was made."""
        if self.network.teacher is not None:
            self.network.teacher.load_state_dict(self.network.network.state_dict())

    def prepare(self, records: Sequence[CaseRecord], say: Callable[[str], None]) -> None:
        """Show every objective the cases of the run before it begins or goes on; raises `InputError`."""
        for objective in self.network.objectives.values():
            objective.prepare(records, say)

    def batches(self, loaded: Mapping[str, Any]) -> dict[str, PretrainingBatch]:
        """Kind of patches → batch, of what the loader handed over."""
        return dict(batches_from_loader(loaded, self.device))

    def draw_views(
        self, batches: Mapping[str, PretrainingBatch], names: Sequence[str] | None = None
    ) -> dict[str, Views]:
        """The views each objective, or each of these, wants encoded."""
        return {
            name: objective.draw_views(batches[self.network.needs[name].patches], self.generator)
            for name, objective in self.network.objectives.items()
            if names is None or name in names
        }

    def mixed_precision(self) -> AbstractContextManager[Any]:
        """As nnU-Net has it."""
        return torch.autocast("cuda") if self.device.type == "cuda" else nullcontext()

    def train(self, loaded: Mapping[str, Any], held_out: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """One optimisation step; one with a non-finite loss or gradient changes no weight.

        Args:
            loaded: the loader's batch.
            held_out: of other cases, in the steps that change the weights of pairs.

        Returns:
            Values as `named_values` makes them; `skipped` and, for each objective whose loss was not finite, `skipped/NAME`.
        """
        self.optimizer.zero_grad(set_to_none=True)
        batches = self.batches(loaded)
        views = self.draw_views(batches)
        with self.mixed_precision():
            total, results = self.module(batches, views)
        skipped = step_if_finite(total, self.optimizer, self.scaler)
        with torch.no_grad():
            for objective in self.network.objectives.values():
                objective.after_step(self.network.network, self.network.teacher, self.progress)
        if self.meta is not None and held_out is not None:
            others = self.batches(held_out)
            self.meta.update(batches, views, others, self.draw_views(others, self.meta.names))
        not_finite = {f"{SKIPPED}/{name}": (~torch.isfinite(r.loss.detach())).float() for name, r in results.items()}
        return {**named_values(total, results), SKIPPED: skipped, **not_finite}

    def measure(self, loaded: Mapping[str, Any]) -> dict[str, Tensor]:
        """The same values without a step."""
        return self._measure(self.batches(loaded))[0]

    def look(
        self, batches: Mapping[str, PretrainingBatch]
    ) -> tuple[dict[str, Tensor], dict[str, Views], dict[str, dict[str, Features]]]:
        """Values as of `measure`, and the views and features of each objective that they were taken on.

        Features are in single precision, so that a head can be applied to them again without mixed precision.
        """
        values, views, features = self._measure(batches)
        return (
            values,
            views,
            {name: {view: _single(one) for view, one in own.items()} for name, own in features.items()},
        )

    def _measure(
        self, batches: Mapping[str, PretrainingBatch]
    ) -> tuple[dict[str, Tensor], dict[str, Views], dict[str, dict[str, Features]]]:
        views = self.draw_views(batches)
        with self.mixed_precision():
            features = self.network.encode(views)
            values = named_values(*self.network.score(features, views, batches))
        return values, views, features

    def state(self) -> dict[str, Any]:
        """What a step needs to go on, beside the network's own weights."""
        teacher = self.network.teacher
        return {
            "heads": dict(self.network.objectives.state_dict()),
            "teacher": None if teacher is None else dict(teacher.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "meta": None if self.meta is None else self.meta.optimizer.state_dict(),
            # Elsewhere the scaler stays at 1, which would stay on a GPU too.
            "scaler": self.scaler.state_dict() if self.device.type == "cuda" else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Undo of `state`.

        Raises:
            RuntimeError, ValueError: it is that of other objectives.
        """
        self.network.objectives.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.network.teacher is not None:
            self.network.teacher.load_state_dict(state["teacher"])
        if self.meta is not None:
            self.meta.optimizer.load_state_dict(state["meta"])
        if state["scaler"] and self.device.type == "cuda":
            self.scaler.load_state_dict(state["scaler"])


def named_values(total: Tensor, results: Mapping[str, ObjectiveResult]) -> dict[str, Tensor]:
    """Total loss, and every part and metric as `objective/name`; detached."""
    values = {"loss": total.detach()}
    for name, result in results.items():
        for key, value in {**result.parts, **result.metrics}.items():
            values[f"{name}/{key}"] = value.detach()
    return values


def _single(features: Features) -> Features:
    return Features(
        [stage.float() for stage in features.encoder], {key: stage.float() for key, stage in features.decoder.items()}
    )
