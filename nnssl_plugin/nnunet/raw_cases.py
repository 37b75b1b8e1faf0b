"""Cases of a folder of raw images, preprocessed in memory as nnU-Net does."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import (
    create_lists_from_splitted_dataset_folder,
    get_filenames_of_train_images_and_targets,
    get_identifiers_from_splitted_dataset_folder,
)
from tqdm import tqdm

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import channel_names


@dataclass(frozen=True)
class RawCase:
    """`image`: preprocessed, `[C, *S]`; `properties`: nnU-Net's, of the image; `files`: one per channel."""

    name: str
    image: npt.NDArray
    properties: dict[str, Any]
    files: tuple[Path, ...]


def preprocessed_cases(
    folder: Path,
    plans: Mapping[str, Any],
    configuration: str,
    dataset_json: Mapping[str, Any],
    progress: str,
    only: str = "",
) -> Iterator[RawCase]:
    """The cases, one after the other.

    Args:
        folder: images named as nnU-Net wants them, `CASE_0000.nii.gz`, or `imagesTr` of a data set that lists its images in place.
        plans: to preprocess by.
        configuration: of these.
        dataset_json: channels and ending.
        progress: title of the progress bar.
        only: name of one case; by default all.

    Raises:
        InputError: the folder has no such image or case, a case has another number of channels, or one cannot be preprocessed.
    """
    files = _files(folder, dataset_json, only)
    manager = PlansManager(dict(plans))
    planned = manager.get_configuration(configuration)
    preprocessor = planned.preprocessor_class(verbose=False)
    for case, channels in tqdm(files.items(), progress):
        try:
            image, _, properties = preprocessor.run_case(channels, None, manager, planned, dict(dataset_json))
        except (RuntimeError, OSError, ValueError, AssertionError) as error:
            raise InputError(f"case {case} cannot be read or preprocessed: {error}") from error
        yield RawCase(case, np.asarray(image), properties, tuple(map(Path, channels)))


def _files(folder: Path, dataset_json: Mapping[str, Any], only: str) -> dict[str, list[str]]:
    ending = dataset_json["file_ending"]
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    files = _listed(folder) or _named(folder, ending)
    if not files:
        raise InputError(f"{folder} holds no image named CASE_0000{ending}, as nnU-Net wants them")
    if only and only not in files:
        raise InputError(
            f"{folder} holds no case {only}: expected {only}_0000{ending}. It holds {', '.join(list(files)[:3])}, …"
        )
    files = {only: files[only]} if only else files
    expected = channel_names(dataset_json)
    wrong = {case: len(channels) for case, channels in files.items() if len(channels) != len(expected)}
    if wrong:
        case, count = next(iter(wrong.items()))
        raise InputError(
            f"{len(wrong)} cases of {folder} have another number of channels, {case} has {count}; expected {len(expected)} "
            f"({', '.join(expected)}). Found in all: {dict(Counter(wrong.values()))}"
        )
    return files


def _named(folder: Path, ending: str) -> dict[str, list[str]]:
    if not any(folder.glob(f"*_0000{ending}")):
        return {}
    cases = sorted(get_identifiers_from_splitted_dataset_folder(str(folder), ending))
    return dict(zip(cases, create_lists_from_splitted_dataset_folder(str(folder), ending, cases), strict=True))


def _listed(folder: Path) -> dict[str, list[str]]:
    description = folder.parent / "dataset.json"
    if folder.name != "imagesTr" or not description.is_file():
        return {}
    listing = read_json(description)
    if "dataset" not in listing:
        return {}
    listed = get_filenames_of_train_images_and_targets(str(folder.parent), listing)
    return {case: listed[case]["images"] for case in sorted(listed)}
