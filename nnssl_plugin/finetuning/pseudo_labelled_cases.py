"""The pseudo-labelled cases that a fold may be trained on, checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class, nnUNetBaseDataset

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import KEY, PSEUDO_LABELLED, channel_names, is_pseudo_labelled, patient_of
from nnssl_plugin.nnunet.environment import dataset_name
from nnssl_plugin.nnunet.patients import DatasetCases, maybe_in_common
from nnssl_plugin.nnunet.plans_file import plans_of, preprocessed_folder, preprocessing_by_identifier


@dataclass(frozen=True)
class PseudoLabelled:
    """Pseudo-labelled cases.

    Attributes:
        dataset: full name.
        folder: of their preprocessed images.
        cases: that may be trained on.
        labels_sha256: hash over all labels of the data set.
    """

    dataset: str
    folder: Path
    cases: tuple[str, ...]
    labels_sha256: str

    def load(self) -> nnUNetBaseDataset:
        """The cases as nnU-Net's loader wants them."""
        return infer_dataset_class(str(self.folder))(str(self.folder), list(self.cases))


def find_pseudo_labelled(
    name_or_id: int | str,
    plans: dict[str, Any],
    data_identifier: str,
    dataset_json: Mapping[str, Any],
    training: Sequence[str],
    validation: Sequence[str],
    log: Callable[[str], None],
) -> PseudoLabelled:
    """The cases of a pseudo-labelled data set, but for those of patients of the fold.

    Args:
        name_or_id: of the pseudo-labelled data set.
        plans: of the run.
        data_identifier: name of the folder of preprocessed images.
        dataset_json: of the labelled data set.
        training: cases of the fold, that are trained on with their own labels.
        validation: cases of the fold.
        log: where what is left out is said.

    Raises:
        InputError: the data set is not pseudo-labelled, has other channels or labels, is not preprocessed under the same
            plans, was labelled by a model that was trained on a validation case, or no case is left.
    """
    dataset = dataset_name(name_or_id)
    base = preprocessed_folder(dataset)
    advice = f"nnssl_plugin align --pretrain {dataset[7:10]} --target {plans['dataset_name'][7:10]}, with the plans you train with"
    if not (base / data_identifier).is_dir():
        raise InputError(f"{dataset} is not preprocessed in {base / data_identifier}: run {advice}")
    pseudo_json = read_json(base / "dataset.json")
    if not is_pseudo_labelled(pseudo_json):
        raise InputError(
            f"finetuning.pseudo_labels names {dataset}, which is not pseudo-labelled: only data sets that nnssl_plugin "
            "pseudo-label wrote are taken"
        )
    _check_alike(dataset, pseudo_json, plans, dataset_json)
    wanted = preprocessing_by_identifier(plans)[data_identifier]
    found = [preprocessing_by_identifier(other).get(data_identifier) for other in plans_of(dataset).values()]
    prepared = set(infer_dataset_class(str(base / data_identifier)).get_identifiers(str(base / data_identifier)))
    listed = set(pseudo_json[KEY]["cases"])
    if wanted not in found or prepared != listed:
        raise InputError(f"{dataset} was not preprocessed as it is now, under these plans: run {advice} --overwrite")
    _refuse_taught_on_validation(dataset, pseudo_json, plans["dataset_name"], dataset_json, training, validation)
    of_the_fold = DatasetCases(plans["dataset_name"], dataset_json, (*training, *validation))
    common = maybe_in_common(DatasetCases(dataset, pseudo_json, tuple(listed)), of_the_fold)
    cases = tuple(sorted(listed - common))
    if not cases:
        raise InputError(f"{dataset} has no case that is not of a patient of this fold: there is nothing to add")
    if len(cases) < len(listed):
        log(f"{dataset}: {len(listed) - len(cases)} cases of patients of this fold are left out")
    return PseudoLabelled(dataset, base / data_identifier, cases, pseudo_json[KEY][PSEUDO_LABELLED]["labels_sha256"])


def _check_alike(
    dataset: str, pseudo_json: Mapping[str, Any], plans: Mapping[str, Any], dataset_json: Mapping[str, Any]
) -> None:
    for what, found, expected in (
        ("channels", channel_names(pseudo_json), channel_names(dataset_json)),
        ("labels", pseudo_json["labels"], dataset_json["labels"]),
        ("regions_class_order", pseudo_json.get("regions_class_order"), dataset_json.get("regions_class_order")),
    ):
        if found != expected:
            raise InputError(f"{dataset} has the {what} {found}, {plans['dataset_name']} has {expected}")


def _refuse_taught_on_validation(
    dataset: str,
    pseudo_json: Mapping[str, Any],
    labelled: str,
    dataset_json: Mapping[str, Any],
    training: Sequence[str],
    validation: Sequence[str],
) -> None:
    measured = {patient_of(dataset_json, case) for case in set(validation) - set(training)}
    for teacher in pseudo_json[KEY][PSEUDO_LABELLED]["teachers"]:
        seen = [case for case in teacher["training_cases"] if patient_of(dataset_json, case) in measured]
        if teacher["dataset"] == labelled and seen:
            raise InputError(
                f"{dataset} was labelled by {teacher['model']}, fold {teacher['fold']}, which was trained on {len(seen)} "
                f"validation cases of this fold ({', '.join(seen[:3])}): its labels contain information about these cases. Make pseudo-labels "
                "with models of this fold"
            )
