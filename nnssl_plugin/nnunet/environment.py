"""What the plugin asks of the installed nnU-Net before any work starts."""

import os
import warnings
from importlib.metadata import version
from pathlib import Path

from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name
from packaging.version import Version

from nnssl_plugin.errors import InputError

OLDEST = "2.8"
FIRST_UNTESTED = "2.9"


def check_nnunet(*variables: str) -> None:
    """Check nnU-Net's version and that the environment `variables` (all three `nnUNet_*` by default) are set.

    Raises:
        InputError: nnU-Net is older than the tested range, or a variable is not set.

    Warns:
        UserWarning: nnU-Net is newer than the tested range.
    """
    installed = version("nnunetv2")
    tested = f"the plugin is tested with nnU-Net >= {OLDEST}, < {FIRST_UNTESTED}; installed is {installed}"
    if Version(installed) < Version(OLDEST):
        raise InputError(f"{tested}. Install a newer one: pip install 'nnunetv2>={OLDEST},<{FIRST_UNTESTED}'")
    if Version(installed) >= Version(FIRST_UNTESTED):
        warnings.warn(f"{tested}. It may work; the plugin's tests (`make test`) tell.", stacklevel=2)
    for variable in variables or ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        if not os.environ.get(variable):
            raise InputError(
                f"the environment variable {variable} is not set; nnU-Net keeps its data there, set it to a folder"
            )


def folder_of(variable: str) -> Path:
    """The folder an `nnUNet_*` variable names."""
    check_nnunet(variable)
    return Path(os.environ[variable])


def dataset_name(name_or_id: int | str) -> str:
    """Full name (`Dataset501_BraTS`) of a data set given by id or name, as nnU-Net resolves it.

    Raises:
        InputError: no data set, or more than one, has this id.
    """
    try:
        text = str(name_or_id)
        return str(maybe_convert_to_dataset_name(int(text) if text.isdigit() else text))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"data set {name_or_id}: {error}") from None
