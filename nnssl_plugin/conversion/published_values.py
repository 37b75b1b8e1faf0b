"""Predictions in the label values that the challenge published, where conversion recoded them."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from nnssl_plugin.conversion.dataset import folders_with_id
from nnssl_plugin.conversion.label_values import values_in
from nnssl_plugin.conversion.write_case import recode
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.images.file_names import printable
from nnssl_plugin.images.image_file import read_checked_header
from nnssl_plugin.images.parallel import in_parallel
from nnssl_plugin.images.write_image import write_image
from nnssl_plugin.nnunet.dataset_json import KEY

COMMAND = "nnssl_plugin convert brats"


def restore_published_values(predictions: Path, output: Path, dataset_id: int) -> int:
    """Write predictions with the label values that the challenge published, under the same names.

    Args:
        predictions: folder of what a network trained on the data set predicted.
        output: folder, made if need be; must be empty.
        dataset_id: of the converted data set, which knows what was recoded.

    Returns:
        Exit code: 0, or 1 where predictions were left out, or could not be written.

    Raises:
        InputError: the data set was not converted by this plugin, there is nothing to write, or `output` has files.
    """
    description, source = _description_of(dataset_id)
    ours = description.get(KEY, {})
    if description.get("converted_by") != COMMAND:
        raise InputError(
            f"{source} does not say what its label values were published as: it was not made by convert brats"
        )
    published = {int(written): value for written, value in ours["published_values"].items()}
    known = {0}.union(*(entry if isinstance(entry, list) else [entry] for entry in description["labels"].values()))
    files = sorted(path for path in predictions.glob(f"[!.]*{description['file_ending']}") if path.is_file())
    if not files:
        raise InputError(f"no {description['file_ending']} file in {predictions}")
    if output.is_dir() and os.listdir(output):
        raise InputError(f"{output} is not empty; choose another folder")
    output.mkdir(parents=True, exist_ok=True)
    restore = partial(_restore, output=output, published=published, known=known)
    problems = [problem for problem in in_parallel(restore, files, "restoring values") if problem]
    change = ", ".join(f"{new} to {old}" for new, old in published.items()) or "values are as published: none changed"
    print(f"{output}: {len(files) - len(problems)} predictions by {ours['convention']} ({change})")
    if problems:
        print(printable("\n".join([f"left out: {len(problems)}", *(f"  {problem}" for problem in problems)])))
    return 1 if problems else 0


def _restore(path: Path, output: Path, published: dict[int, int], known: set[int]) -> str | None:
    try:
        read_checked_header(path)
        segmentation = sitk.ReadImage(str(path))
        unknown = values_in(sitk.GetArrayViewFromImage(segmentation)) - known
        if unknown:
            return f"{path.name}: it has the values {sorted(unknown)}, which the data set does not have"
        write_image(recode(segmentation, published), output / path.name)
    # The other predictions are worth having, whatever is wrong with this one, a full disk included.
    except Exception as error:
        return f"{path.name}: {error}"
    return None


def _description_of(dataset_id: int) -> tuple[dict[str, Any], Path]:
    for folder in folders_with_id(dataset_id):
        path = folder / "dataset.json"
        if path.is_file():
            return dict(read_json(path)), path
    raise InputError(f"no data set {dataset_id} with a dataset.json in nnUNet_raw or nnUNet_preprocessed")
