"""Which version of the metrics' definitions a result was scored by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError

# Results that do not say it are of nnssl_plugin 0.2.0 or older: HD95 between voxel centres, 373.13 mm where one mask is
# empty; surfaces of CHAOS's organs with the edge of the image.
UNSTATED_VERSION = 1
METRICS_VERSION = 2


def refuse_mixed_versions(results: Mapping[Path, Mapping[str, Any]]) -> None:
    """Refuse results whose metrics are not all defined alike.

    Args:
        results: file → content, as `nnssl_plugin evaluate` writes it.

    Raises:
        InputError: with what to do.
    """
    files: dict[int, list[str]] = {}
    for file, result in results.items():
        files.setdefault(result.get("metrics_version", UNSTATED_VERSION), []).append(str(file))
    if len(files) > 1:
        others = [file for version, named in files.items() if version != METRICS_VERSION for file in named]
        raise InputError(
            "the results were scored by versions of nnssl_plugin that define HD95, ASSD and MSSD differently; run "
            f"`nnssl_plugin evaluate` again on the predictions of {', '.join(others)}"
        )
