"""What a run was started with, kept in its checkpoints: a finished run is not overwritten, a begun one not changed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.recorded import recorded_section
from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.earlier_version import finetuning_of_today
from nnssl_plugin.settings.settings import ClassificationSettings, FinetuningSettings, PretrainingSettings

# Where nnU-Net's `init_args` of a checkpoint hold the record of the run.
RECORD = "nnssl_plugin"


def record_of_new_run(
    output_folder: Path,
    settings: Mapping[str, Any],
    configuration: Mapping[str, Any],
    training_cases: Sequence[str],
    **more: str,
) -> dict[str, Any]:
    """What makes a run this run and no other; refuses to train over a finished one made otherwise, as nnU-Net would.

    Args:
        output_folder: of the fold.
        settings: resolved.
        configuration: of the plans.
        training_cases: kept as a hash, so that the record can be shared.
        more: further entries.

    Raises:
        InputError: the folder holds a finished run with another record.
    """
    cases = hashlib.sha256("\n".join(sorted(training_cases)).encode()).hexdigest()
    record = {**settings, "configuration": dict(configuration), "training cases": cases, **more}
    final = output_folder / "checkpoint_final.pth"
    finished = recorded_section(read_checkpoint(final, mmap=True), "init_args", RECORD) if final.is_file() else record
    if changed := changed_entries(finished, record):
        raise InputError(
            f"{output_folder} holds a finished run that differs in {', '.join(changed)} and would be overwritten. Make a "
            "plans copy of its own for each run (nnssl_plugin plan -o NAME) or remove the folder"
        )
    return record


def refuse_other_settings(
    checkpoint: str,
    init_args: Mapping[str, Any],
    settings: PretrainingSettings | FinetuningSettings | ClassificationSettings,
) -> None:
    """Refuse to resume a run with other settings than it was started with.

    A setting that the record lacks came with a later version of the plugin, whose default is what was done before.

    Raises:
        InputError: they differ; the message names in what.
    """
    now = asdict(settings)
    recorded = recorded_section(init_args, RECORD)
    if isinstance(settings, FinetuningSettings):
        recorded = finetuning_of_today(recorded)
    before = {key: value for key, value in recorded.items() if key in now}
    changed = changed_entries(_filled(before, asdict(type(settings)())), now)
    if before and changed:
        raise InputError(
            f"{checkpoint} was made with other settings ({', '.join(changed)}) than the plans hold now; resume with the "
            "plans it was started with"
        )


def _filled(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, and the defaults of what is missing, in every section."""
    return {
        **values,
        **{
            key: _filled(values.get(key, {}), default) if isinstance(default, Mapping) else values.get(key, default)
            for key, default in defaults.items()
        },
    }


def changed_entries(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the entries of `now` that are not so in `before`."""
    found = []
    for key, value in now.items():
        if isinstance(value, Mapping) and isinstance(before.get(key), Mapping):
            found += changed_entries(before[key], value, f"{prefix}{key}.")
        elif before.get(key) != value:
            found.append(prefix + key)
    return found
