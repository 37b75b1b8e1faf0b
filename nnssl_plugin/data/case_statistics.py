"""What is known of all cases of a folder, in one file: a start reads it and compares dates, however many cases there are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnssl_plugin.files import whole_file

KEYS = ("present", "background", "foreground_voxels", "mean", "std", "quantiles")


def read_statistics(file: Path, states: Mapping[str, Sequence[int]], channels: int) -> dict[str, dict[str, Any]]:
    """Case → its arrays, of the cases that are in the file and whose images have not changed.

    Args:
        file: written by `write_statistics`, or not there yet.
        states: case → what its image is recognised by, as now.
        channels: of the images.
    """
    content = _read(file)
    if content is None or content["present"].shape[1] != channels:
        return {}
    written = zip(content["case"].tolist(), content["image_state"].tolist(), strict=True)
    rows = {case: row for row, (case, state) in enumerate(written) if case in states and state == list(states[case])}
    return {case: {key: content[key][row] for key in KEYS} for case, row in rows.items()}


def write_statistics(
    file: Path, states: Mapping[str, Sequence[int]], statistics: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the file anew with these cases; others that it holds stay, such as those of another fold."""
    columns: dict[str, list[Any]] = {
        "case": list(statistics),
        "image_state": [np.array(states[case], dtype=np.int64) for case in statistics],
        **{key: [one[key] for one in statistics.values()] for key in KEYS},
    }
    before = _read(file)
    if before is not None and before["present"].shape[1:] == columns["present"][0].shape:
        kept = [row for row, case in enumerate(before["case"].tolist()) if case not in statistics]
        columns = {key: [*values, *before[key][kept]] for key, values in columns.items()}
    with whole_file(file) as unfinished:
        np.savez(unfinished, **{key: np.stack(values) for key, values in columns.items()})  # type: ignore[arg-type]


def _read(file: Path) -> dict[str, np.ndarray] | None:
    if not file.is_file():
        return None
    with np.load(file) as arrays:
        return {key: arrays[key] for key in arrays.files}
