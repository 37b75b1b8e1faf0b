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
    get_identifiers_from_splitted_dataset_folder,
)
from tqdm import tqdm

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import channel_names


@dataclass(frozen=True)
class RawCase:
    """`image`: preprocessed, `[C, *S]`; `properties`: nnU-Net's, of the image; `file`: its first channel."""

    name: str
    image: npt.NDArray
    properties: dict[str, Any]
    file: Path


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
        folder: images named as nnU-Net wants them, `CASE_0000.nii.gz`.
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
        yield RawCase(case, np.asarray(image), properties, Path(channels[0]))


def _files(folder: Path, dataset_json: Mapping[str, Any], only: str) -> dict[str, list[str]]:
    ending = dataset_json["file_ending"]
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    if not any(folder.glob(f"*_0000{ending}")):
        raise InputError(f"{folder} holds no image named CASE_0000{ending}, as nnU-Net wants them")
    cases = sorted(get_identifiers_from_splitted_dataset_folder(str(folder), ending))
    if only and only not in cases:
        raise InputError(
            f"{folder} holds no case {only}: expected {only}_0000{ending}. It holds {', '.join(cases[:3])}, …"
        )
    cases = [only] if only else cases
    lists = create_lists_from_splitted_dataset_folder(str(folder), ending, cases)
    expected = channel_names(dataset_json)
    wrong = {case: len(files) for case, files in zip(cases, lists, strict=True) if len(files) != len(expected)}
    if wrong:
        case, count = next(iter(wrong.items()))
        raise InputError(
            f"{len(wrong)} cases of {folder} have another number of channels, {case} has {count}; expected {len(expected)} "
            f"({', '.join(expected)}). Found in all: {dict(Counter(wrong.values()))}"
        )
    return dict(zip(cases, lists, strict=True))
