"""What nnU-Net's folders tell about predictions in them: label names, references, expected cases."""

import json
from pathlib import Path

from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw


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


def raw_images_of(predictions: Path) -> Path | None:
    """The raw data set's `imagesTr` for predictions in a results folder."""
    model, root = model_folder(predictions), nnUNet_raw.get()
    images = Path(root) / model.parent.name / "imagesTr" if model and root else None
    return images if images and images.is_dir() else None


def validation_cases(predictions: Path) -> list[str] | None:
    """Validation cases of the fold for predictions in a `fold_X/validation` folder, where its split is on file."""
    folder = _preprocessed(predictions)
    fold = predictions.parent.name.removeprefix("fold_")
    if predictions.name != "validation" or folder is None or not fold.isdigit():
        return None
    splits_file = folder / "splits_final.json"
    splits = json.loads(splits_file.read_text(encoding="utf-8")) if splits_file.is_file() else []
    return list(splits[int(fold)]["val"]) if int(fold) < len(splits) else None


def _preprocessed(predictions: Path) -> Path | None:
    model, root = model_folder(predictions), nnUNet_preprocessed.get()
    return Path(root) / model.parent.name if model and root else None
