"""Predictions scored by what nnU-Net's folders tell of them: label names, references, expected cases."""

from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation import regions
from nnssl_plugin.evaluation.evaluate import evaluate_folder, file_ending_of
from nnssl_plugin.evaluation.metrics import brats_metrics, chaos_metrics, region_metrics
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import is_unlabelled
from nnssl_plugin.nnunet.results_folder import dataset_json_of, references_of, validation_cases

MEASURES = {"brats": brats_metrics, "chaos": chaos_metrics, "regions": region_metrics}


def evaluate_predictions(
    evaluation: str,
    predictions: Path,
    references: Path | None = None,
    convention: str | None = None,
    described: Path | None = None,
    progress: str = "evaluating cases",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score a folder of predictions.

    Args:
        evaluation: `brats`, `chaos` or `regions`.
        predictions: the folder, absolute.
        references: folder; by default that of the data set, for predictions in a results folder.
        convention: name of the label values; by default what the `dataset.json` says.
        described: `dataset.json` that names the labels; by default that of the model.
        progress: title of the progress bar; empty: none.

    Returns:
        See `evaluate_folder`, with the name of the `evaluation`; and the content of the `dataset.json`.

    Raises:
        InputError: labels or references are not known, or see `evaluate_folder`.
    """
    found = described or dataset_json_of(predictions)
    dataset_json = _read(found) if found else {}
    labels = _convention(evaluation, convention, found, dataset_json)
    results = evaluate_folder(
        predictions,
        references.resolve() if references else _references(predictions, dataset_json),
        labels,
        MEASURES[evaluation],
        validation_cases(predictions),
        dataset_json.get("file_ending") or file_ending_of(predictions),
        progress,
    )
    return {**results, "evaluation": evaluation}, dataset_json


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict) or not all(isinstance(value, int | list) for value in labels.values()):
        raise InputError(f"{path} is not a dataset.json of nnU-Net v2: it has no 'labels' of the kind name: value")
    return dict(content)


def _convention(
    evaluation: str, name: str | None, path: Path | None, dataset_json: dict[str, Any]
) -> regions.LabelConvention:
    named = {
        "brats": regions.BRATS_CONVENTIONS,
        "chaos": {"chaos": regions.CHAOS_CONVENTION},
        "regions": {},
    }[evaluation]
    if name:
        return named[name]
    if path is None:
        names = "|".join(named)
        raise InputError(
            "no dataset.json with the predictions or in their model's folder says what the labels mean; name "
            f"{f'the convention with --convention {names} or ' if names else 'it with '}--dataset-json FILE"
        )
    return regions.READERS[evaluation](dataset_json, str(path))


def _references(predictions: Path, dataset_json: dict[str, Any]) -> Path:
    if is_unlabelled(dataset_json):
        raise InputError(f"the data set of {predictions} is unlabelled; name references with -g")
    references = references_of(predictions)
    if references is None:
        raise InputError(f"no references are known for {predictions}; name their folder with -g")
    return references
