from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.export.target_network import TargetNetwork
from nnssl_plugin.nnunet.plans_file import preprocessed_folder
from nnssl_plugin.probing.checkpoint_network import checkpoint_network
from nnssl_plugin.probing.class_probe import FOLDS
from nnssl_plugin.probing.probe import DRAWS, INTENSITIES, LABELS, UNTRAINED, Probe
from nnssl_plugin.probing.seen_cases import seen_cases


def compare_networks(files: Mapping[str, Path], target: TargetNetwork, make: Callable[[], Probe]) -> dict[str, Any]:
    """Evaluate checkpoints, untrained networks and plain intensities with the same probes.

    Args:
        files: name → checkpoint. All of them are checked before any case is looked at.
        target: whose plans describe the network.
        make: the probe.

    Returns:
        For JSON: `rows` of `Probe.judge`, and what they are of.

    Raises:
        InputError: as `checkpoint_network` and `make_probe`.
    """
    started = monotonic()
    for file in files.values():
        checkpoint_network(file, target)
    probe = make()
    rows = probe.floor() + probe.judge(INTENSITIES, [probe.intensities()]) + probe.judge(UNTRAINED, probe.untrained())
    for name, file in files.items():
        rows += probe.judge(name, [probe.network(checkpoint_network(file, target), name)])
    return {
        "dataset": target.dataset,
        "plans": target.plans["plans_name"],
        "configuration": target.configuration,
        "cases": len(probe.records),
        "patients": len(set(probe.patients)),
        "about": about(probe),
        "seen": {name: _seen(file, probe) for name, file in files.items()},
        "rows": rows,
        "seconds": monotonic() - started,
    }


def about(probe: Probe) -> dict[str, str]:
    """Task → what its scores are, in a sentence."""
    found = {}
    for name, column in probe.columns.items():
        counts = ", ".join(f"{text} {(column.classes == i).sum()}" for i, text in enumerate(column.names))
        found[name] = (
            f"classes {counts}; {FOLDS} folds by patients, {len(DRAWS)} draws of the folds, mean ± sd over draws"
        )
    if probe.voxels:
        scored = sum(int(one.scored.sum()) for one in probe.voxels)
        found[LABELS] = (
            f"{', '.join(probe.regions)}; learned from sampled voxels of {probe.labelled} patients, scored on those of all others "
            f"(of {scored} in the foreground), {len(DRAWS)} draws of the patients, mean ± sd over draws"
        )
    return found


def _seen(file: Path, probe: Probe) -> str:
    checkpoint = read_checkpoint(file, mmap=True)
    cases = [record.case for record in probe.records]
    folder = preprocessed_folder(probe.target.dataset)
    count, labels = seen_cases(checkpoint, probe.target.dataset, folder, cases)
    if count is None:
        return "the file does not say which of the probed cases"
    of = f"{count} of the {len(cases)} probed cases"
    return (
        f"{of}, with labels: its scores are too high to compare with others'"
        if labels and count
        else f"{of}, without labels"
    )
