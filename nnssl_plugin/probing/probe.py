"""Frozen features of networks, judged on the classes and labels of one data set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from torch import nn
from tqdm import tqdm

from nnssl_plugin.data.case_index import build_case_index
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.target_network import TargetNetwork
from nnssl_plugin.nnunet.dataset_json import patient_of, table_row_of
from nnssl_plugin.nnunet.plans_file import configuration_of, preprocessed_folder
from nnssl_plugin.probing.class_probe import Scores, majority, probe_classes
from nnssl_plugin.probing.estimators import PROBES
from nnssl_plugin.probing.features import ProbeFeatures, intensity_features, network_features
from nnssl_plugin.probing.labelled_voxels import LabelledVoxels, probed_regions, sample_voxels
from nnssl_plugin.probing.probed_classes import ProbedClasses, probed_classes
from nnssl_plugin.probing.voxel_probe import chance, labelled_patients, probe_voxels

DRAWS = range(10)
UNTRAINED_SEEDS = range(3)
# Name of the dense task, beside the names of columns.
LABELS = "segmentation labels"
BASELINE = "majority class"
CHANCE = "chance"
INTENSITIES = "intensities"
UNTRAINED = f"untrained ({len(UNTRAINED_SEEDS)} seeds)"


@dataclass(frozen=True)
class Probe:
    """What networks are judged on.

    Attributes:
        target: data set, plans and configuration.
        records: the cases.
        columns: name → classes.
        voxels: with their labels; without labels no voxels. regions: of the labels.
        labelled: number of patients whose voxels are learned from.
        device: for the networks.
    """

    target: TargetNetwork
    records: list[CaseRecord]
    columns: dict[str, ProbedClasses]
    voxels: list[LabelledVoxels]
    regions: list[str]
    labelled: int
    device: torch.device

    @property
    def patients(self) -> list[str]:
        """Of the cases."""
        return [record.patient for record in self.records]

    def network(self, network: nn.Module, name: str) -> ProbeFeatures:
        """Frozen features of a network of the plans."""
        places = self._places()
        return network_features(
            network.to(self.device), self.records, places, self.target.patch_size, self.device, name
        )

    def intensities(self) -> ProbeFeatures:
        """What needs no network."""
        return intensity_features(self.records, self._places())

    def untrained(self) -> list[ProbeFeatures]:
        """Features of freshly initialised networks of the plans."""
        return [self.network(self.target.fresh_network(seed), f"untrained, seed {seed}") for seed in UNTRAINED_SEEDS]

    def judge(self, name: str, features: Sequence[ProbeFeatures]) -> list[dict[str, Any]]:
        """A row for each task and judge; several features (of seeds) count as further draws."""
        rows = []
        tasks = [*self.columns, *([LABELS] if self.voxels else [])]
        for task, (judge, fit) in tqdm(
            [(t, p) for t in tasks for p in PROBES.items()], f"evaluating {name}", leave=False
        ):
            found: list[Scores] = []
            for one in features:
                if task in self.columns:
                    found.append(probe_classes(fit, one.pooled, self.columns[task], self.patients, DRAWS))
                else:
                    found.append(probe_voxels(fit, one.voxels, self.voxels, self.patients, self.labelled, DRAWS))
            rows.append(_row(task, name, judge, {key: [v for s in found for v in s[key]] for key in found[0]}))
        return rows

    def floor(self) -> list[dict[str, Any]]:
        """The baseline that uses no features: a row for each task."""
        rows = [_row(name, BASELINE, "", majority(column)) for name, column in self.columns.items()]
        return [*rows, _row(LABELS, CHANCE, "", chance(self.voxels))] if self.voxels else rows

    def _places(self) -> list[np.ndarray]:
        return [one.places for one in self.voxels] or [np.zeros((0, 3), int)] * len(self.records)


def make_probe(
    target: TargetNetwork,
    columns: Sequence[str],
    segmentation: bool,
    labelled: int,
    device: torch.device,
    only: Sequence[str] | None = None,
    say: Callable[[str], Any] = print,
) -> Probe:
    """Look at the cases, read classes and, if asked for, labels.

    Args:
        target: data set, plans and configuration.
        columns: of the data set's table.
        segmentation: whether segmentation labels are probed.
        labelled: number of patients whose voxels are learned from.
        device: for the networks.
        only: these of the data set's cases; all of them by default.
        say: prints a line.

    Raises:
        InputError: nothing was asked for; a column or the labels cannot be probed; a case has no preprocessed image.
    """
    described = target.dataset_json
    if not columns and not segmentation:
        raise InputError("say what to probe: --columns of the data set's table, --segmentation for its labels, or both")
    regions = probed_regions(described, target.dataset) if segmentation else {}
    images = (
        preprocessed_folder(target.dataset) / configuration_of(target.plans, target.configuration)["data_identifier"]
    )
    if not images.is_dir():
        raise InputError(f"{target.dataset} is not preprocessed for {target.configuration}: there is no {images}")
    cases = sorted(only if only is not None else nnUNetDatasetBlosc2.get_identifiers(str(images)))
    rows = {case: table_row_of(described, case) for case in cases}
    patients = {case: patient_of(described, case) for case in cases}
    found = {name: probed_classes(rows, patients, name, target.dataset) for name in dict.fromkeys(columns)}
    for name, column in found.items():
        for why, count in column.left_out.items():
            say(f"column {name}: {count} cases are left out, {why}")
    records = build_case_index(images, cases, target.channels, patients)
    voxels = sample_voxels(records, regions) if regions else []
    if voxels:
        labelled_patients(voxels, [record.patient for record in records], labelled, DRAWS[0])
    return Probe(target, records, found, voxels, list(regions), labelled, device)


def _row(task: str, network: str, judge: str, scores: Scores) -> dict[str, Any]:
    return {
        "task": task,
        "network": network,
        "judge": judge,
        "scores": {
            name: {"mean": float(np.mean(v)), "sd": float(np.std(v, ddof=1)) if len(v) > 1 else None, "draws": v}
            for name, v in scores.items()
        },
    }
