from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnssl_plugin.checkpoints.recorded import recorded_provenance, recorded_section
from nnssl_plugin.files import read_json

OURS = "SSLPretrainTrainer"


def seen_cases(
    checkpoint: Mapping[str, Any], dataset: str, folder: Path, cases: Sequence[str]
) -> tuple[int | None, bool]:
    """How many of the probed cases a checkpoint was trained on, by its data set and fold, and whether with labels.

    Without labels that is no fault of a probe. A network that was trained on the labels of the probed cases is not judged
    fairly beside one that was not.

    Args:
        checkpoint: or an export of it.
        dataset: that is probed.
        folder: where it is preprocessed.
        cases: of it.

    Returns:
        None where the file does not say, or was made on another data set.
    """
    record = recorded_provenance(checkpoint)
    while isinstance(record.get("parent"), Mapping):
        record = dict(record["parent"])
    arguments = recorded_section(checkpoint, "init_args")
    origin = record.get("dataset") or recorded_section(arguments, "plans").get("dataset_name")
    fold = record.get("fold", arguments.get("fold"))
    trainer = record.get("made_by") or checkpoint.get("trainer_name")
    labels = trainer != OURS
    if origin != dataset or dataset in map(str, record.get("further_datasets", [])):
        return None, labels
    if fold == "all":
        return len(cases), labels
    file = folder / "splits_final.json"
    splits = read_json(file) if file.is_file() else []
    if not isinstance(fold, int) or not 0 <= fold < len(splits):
        return None, labels
    return len(set(splits[fold]["train"]) & set(cases)), labels
