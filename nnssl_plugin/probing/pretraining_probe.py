from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nnssl_plugin.errors import InputError
from nnssl_plugin.export.target_network import TargetNetwork
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.nnunet.dataset_json import channel_names, is_unlabelled
from nnssl_plugin.probing.compare_networks import about
from nnssl_plugin.probing.probe import INTENSITIES, UNTRAINED, make_probe
from nnssl_plugin.settings.settings import settings_from_plans

FILE = "probe.json"
NAME = "this run"
LABELLED_PATIENTS = 3


class PretrainingProbe:
    """Judges a pre-training at stated epochs and keeps what it finds in `probe.json` of the run's folder.

    Classes of the columns that `classification.columns` names, and segmentation labels unless they are placeholders. They are
    read here and nowhere else: the run gets neither labels nor scores, and no checkpoint is chosen by them. Judged on the
    run's own training cases, so that validation cases stay unseen.

    Args:
        plans: of the run.
        configuration: that is trained.
        dataset_json: of its data set.
        cases: of this data set that the run trains on.
        device: of the network.
        folder: of the run.
        say: prints a line.

    Raises:
        InputError: as `make_probe`, or there is nothing to judge by.
    """

    def __init__(
        self,
        plans: Mapping[str, Any],
        configuration: str,
        dataset_json: Mapping[str, Any],
        cases: Sequence[str],
        device: torch.device,
        folder: Path,
        say: Callable[[str], Any],
    ) -> None:
        target = TargetNetwork(
            plans["dataset_name"], dict(plans), configuration, channel_names(dataset_json), dict(dataset_json)
        )
        columns = settings_from_plans(plans).classification.columns
        segmentation = not is_unlabelled(dataset_json)
        if not columns and not segmentation:
            raise InputError(
                f"pretraining.probe: {plans['dataset_name']} has no labels, so name columns of its table in classification.columns"
            )
        self.probe = make_probe(target, columns, segmentation, LABELLED_PATIENTS, device, cases, say)
        self.file, self.say = folder / FILE, say

    def start(self) -> None:
        """Begin `probe.json` with what a judge reaches without this run: of chance, intensities and untrained networks."""
        probe = self.probe
        rows = probe.floor() + probe.judge(INTENSITIES, [probe.intensities()])
        rows += probe.judge(UNTRAINED, probe.untrained())
        write_json({"about": about(probe), "cases": len(probe.records), "beside": rows, "epochs": {}}, self.file)

    def epoch(self, network: nn.Module, number: int) -> None:
        """Judge the network as it is after this many epochs; its mode becomes evaluation."""
        rows = self.probe.judge(NAME, [self.probe.network(network, f"probe after epoch {number}")])
        content = read_json(self.file)
        content["epochs"][str(number)] = rows
        write_json(content, self.file)
        for row in rows:
            scores = ", ".join(f"{name} {score['mean']:.3f}" for name, score in row["scores"].items())
            self.say(f"probe of {row['task']}, {row['judge']}: {scores}")
