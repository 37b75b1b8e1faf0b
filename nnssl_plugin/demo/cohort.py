"""The demo's patients: phantoms, and which of them are tested on."""

import json
from pathlib import Path

from nnssl_plugin.demo.layout import DATASET, PHANTOMS, RAW
from nnssl_plugin.demo.phantom import write_phantom_cohort
from nnssl_plugin.demo.size import DemoSize


def write_phantoms(folder: Path, size: DemoSize) -> None:
    """Write the labelled and the unlabelled cohort: different cases of one seed."""
    labelled = range(size.training + size.test)
    unlabelled = range(labelled.stop, labelled.stop + size.unlabelled)
    for name, indices in (("labelled", labelled), ("unlabelled", unlabelled)):
        write_phantom_cohort(
            folder / PHANTOMS / name, indices, name == "labelled", size.shape, size.spacing_mm, size.seed
        )


def write_split(folder: Path, size: DemoSize) -> None:
    """Write fold 0, the first cases to train on and the others to test on; planning takes it along."""
    raw = folder / RAW / DATASET
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (raw / "labelsTr").glob("*.nii.gz"))
    split = [{"train": cases[: size.training], "val": cases[size.training :]}]
    (raw / "splits_final.json").write_text(json.dumps(split, indent=2), encoding="utf-8")
