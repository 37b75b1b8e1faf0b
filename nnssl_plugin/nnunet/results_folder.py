"""What nnU-Net's folders tell about predictions in them: label names, references, expected cases."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnssl_plugin.files import read_json


def model_folder(predictions: Path) -> Path | None:
    """The `DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION` folder that holds `predictions`."""
    for folder in (predictions, *predictions.parents):
        if folder.name.count("__") == 2 and folder.parent.name.startswith("Dataset"):
            return folder
    return None


def dataset_json_of(predictions: Path) -> Path | None:
    """`dataset.json` beside the predictions (`nnUNetv2_predict` copies it) or in their model's folder."""
    model = model_folder(predictions)
    candidates = [predictions / "dataset.json", *([model / "dataset.json"] if model else [])]
    return next((path for path in candidates if path.is_file()), None)


def references_of(predictions: Path) -> Path | None:
    """The preprocessed data set's `gt_segmentations` for predictions in a results folder."""
    folder = _preprocessed(predictions)
    references = folder / "gt_segmentations" if folder else None
    return references if references and references.is_dir() else None


def raw_images_of(predictions: Path) -> Mapping[str, Sequence[Path]]:
    """Case → images of the raw data set, in channel order, for predictions in a results folder; empty if it is gone."""
    model, root = model_folder(predictions), nnUNet_raw.get()
    folder = Path(root) / model.parent.name if model and root else None
    if folder is None or not (folder / "dataset.json").is_file():
        return {}
    listed = get_filenames_of_train_images_and_targets(str(folder), read_json(folder / "dataset.json"))
    return {case: [Path(image) for image in files["images"]] for case, files in listed.items()}


def validation_cases(predictions: Path) -> list[str] | None:
    """Validation cases of the fold for predictions in a `fold_X/validation` folder, where its split is on file."""
    folder = _preprocessed(predictions)
    fold = predictions.parent.name.removeprefix("fold_")
    if predictions.name != "validation" or folder is None or not fold.isdigit():
        return None
    splits_file = folder / "splits_final.json"
    splits = read_json(splits_file) if splits_file.is_file() else []
    return list(splits[int(fold)]["val"]) if int(fold) < len(splits) else None


def _preprocessed(predictions: Path) -> Path | None:
    model, root = model_folder(predictions), nnUNet_preprocessed.get()
    return Path(root) / model.parent.name if model and root else None
