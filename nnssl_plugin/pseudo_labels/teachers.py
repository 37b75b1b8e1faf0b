"""The trained folds whose predictions become labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.provenance import file_sha256
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.nnunet.plans_file import preprocessed_folder

FINAL = "checkpoint_final.pth"
# What must be alike for predictions to be averaged, and for labels to mean the same.
ALIKE = ("channel_names", "labels", "regions_class_order", "file_ending")


@dataclass(frozen=True)
class Teacher:
    """One trained fold.

    Attributes:
        model: its `TRAINER__PLANS__CONFIGURATION` folder.
        fold: number or `all`.
        training: cases it was trained on (of few labels: taken from).
        validation: cases that were kept from it to measure on.
    """

    model: Path
    fold: str
    training: tuple[str, ...]
    validation: tuple[str, ...]

    @property
    def dataset(self) -> str:
        """Full name of the data set it was trained on."""
        return self.model.parent.name

    def record(self) -> dict[str, Any]:
        """What is kept of it with the labels that it makes."""
        return {
            "dataset": self.dataset,
            "model": self.model.name,
            "fold": self.fold,
            "sha256": file_sha256(self.model / f"fold_{self.fold}" / FINAL),
            "training_cases": list(self.training),
        }


def find_teachers(folders: Sequence[Path]) -> tuple[list[Teacher], dict[str, Any]]:
    """The teachers in these `fold_X` folders, and the `dataset.json` that they have in common.

    Raises:
        InputError: one of them is no finished fold of nnU-Net's, is damaged, is named twice, or was trained on other channels, labels
            or another data set than the first.
    """
    teachers: list[Teacher] = []
    first: dict[str, Any] = {}
    for folder in map(Path.resolve, folders):
        model, fold = folder.parent, folder.name.removeprefix("fold_")
        if not folder.name.startswith("fold_") or model.name.count("__") != 2 or not (folder / FINAL).is_file():
            raise InputError(
                f"{folder} is no finished fold of nnU-Net's: a folder "
                f"nnUNet_results/DATASET/TRAINER__PLANS__CONFIGURATION/fold_X that holds {FINAL} is needed"
            )
        read_checkpoint(folder / FINAL, mmap=True)
        teacher = Teacher(model, fold, *_split(model.parent.name, fold))
        dataset_json = read_json(model / "dataset.json")
        first = first or dataset_json
        differing = [key for key in ALIKE if dataset_json.get(key) != first.get(key)]
        if teachers and teacher.dataset != teachers[0].dataset:
            differing.insert(0, "data set")
        if differing:
            raise InputError(f"{folder} was trained with another {', '.join(differing)} than {folders[0]}")
        if teacher in teachers:
            raise InputError(f"{folder} is named twice: it would agree with itself")
        teachers.append(teacher)
    return teachers, first


def _split(dataset: str, fold: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and validation cases of a fold."""
    if fold == "all":
        return tuple(sorted(get_filenames_of_train_images_and_targets(str(folder_of("nnUNet_raw") / dataset)))), ()
    file = preprocessed_folder(dataset) / "splits_final.json"
    splits = read_json(file)
    if not fold.isdigit() or int(fold) >= len(splits):
        raise InputError(f"{file} has no fold {fold}: which cases it was trained on is not known")
    return tuple(splits[int(fold)]["train"]), tuple(splits[int(fold)]["val"])
