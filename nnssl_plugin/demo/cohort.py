"""The demo's patients: phantoms, and which of them are tested on."""

from pathlib import Path

from nnssl_plugin.demo.layout import DATASET, PHANTOMS, RAW
from nnssl_plugin.demo.phantom import write_phantom_cohort
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import KEY, patient_of


def write_phantoms(folder: Path, size: DemoSize) -> None:
    """Write the labelled and the unlabelled cohort: different cases of one seed."""
    labelled = range(size.training + size.test)
    unlabelled = range(labelled.stop, labelled.stop + size.unlabelled)
    for name, indices in (("labelled", labelled), ("unlabelled", unlabelled)):
        write_phantom_cohort(
            folder / PHANTOMS / name, indices, name == "labelled", size.shape, size.spacing_mm, size.seed
        )


def scored_patients(folder: Path, size: DemoSize) -> list[str]:
    """Of the converted data set: all patients but the first ones, which are trained on."""
    dataset_json = read_json(folder / RAW / DATASET / "dataset.json")
    patients = sorted({patient_of(dataset_json, case) for case in dataset_json[KEY]["cases"]})
    return patients[size.training :]
