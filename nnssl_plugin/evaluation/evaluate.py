"""A folder of predictions scored against their references."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.metrics import Measure
from nnssl_plugin.evaluation.metrics_version import METRICS_VERSION
from nnssl_plugin.evaluation.regions import LabelConvention
from nnssl_plugin.images.image_file import (
    FILE_ENDINGS,
    ending_of,
    geometry_differences,
    read_array,
    read_checked_header,
    read_header,
)
from nnssl_plugin.images.parallel import in_parallel
from nnssl_plugin.images.picture import ENDINGS as PICTURES
from nnssl_plugin.images.picture import is_picture, read_picture

# Region → metric → score of one case; `empty`: regions that neither mask has.
Scores = dict[str, dict[str, float]]


def evaluate_folder(
    predictions: Path,
    references: Path,
    convention: LabelConvention,
    measure: Measure,
    cases: Collection[str] | None = None,
    file_ending: str = ".nii.gz",
    progress: str = "evaluating cases",
) -> dict[str, Any]:
    """Scores of every region, per case and mean.

    What cannot be scored is not left out silently: it is named in `problems`, and the means are over the `scored` of the
    `expected` cases. What is undefined for a case is None there, left out of the mean and counted in `undefined`.

    Args:
        predictions: folder with `CASE{file_ending}`.
        references: folder with files of the same names.
        convention: label values of the regions, in predictions and references alike.
        measure: see `metrics`.
        cases: which cases must be there; by default all that have a reference.
        file_ending: of label files.
        progress: title of the progress bar; empty: none.

    Returns:
        JSON-ready: `mean`, and `mean_nnunet` of Dice (regions empty in both masks left out), None where there is nothing
        to average; `cases`; `undefined`; `problems`; `expected` and `scored`, numbers of cases; `metrics_version`;
        `convention`; `regions`; `predictions` and `references`.
        ```
        {"mean": {"WT": {"Dice": 0.9}, …}, "cases": {CASE: {"WT": {"Dice": 0.9}, …}}, "problems": ["CASE: …"], …}
        ```

    Raises:
        InputError: a folder does not exist or has no label file.
    """
    predicted, referenced = _cases_in(predictions, file_ending), _cases_in(references, file_ending)
    expected = sorted(referenced if cases is None else cases)
    problems = [f"{case}: no prediction in {predictions}" for case in expected if case not in predicted]
    problems += [f"{case}: no reference in {references}" for case in sorted(predicted - referenced)]
    problems += [
        f"{case}: predicted and has a reference, but is not among the {len(expected)} expected cases"
        for case in sorted((predicted & referenced) - set(expected))
    ]

    problems += [
        f"{path.name}: another ending than {file_ending}, so it is not scored ({path.parent})"
        for folder in dict.fromkeys((predictions, references))
        for path in sorted(folder.iterdir())
        # Pictures beside volumes are no label files.
        if (other := _ending(path, PICTURES if file_ending in PICTURES else FILE_ENDINGS)) and other != file_ending
    ]

    complete = [case for case in expected if case in predicted & referenced]
    files = [(predictions / f"{case}{file_ending}", references / f"{case}{file_ending}") for case in complete]
    outcomes = in_parallel(partial(_score, convention=convention, measure=measure), files, progress)
    scored = {case: outcome for case, outcome in zip(complete, outcomes, strict=True) if not isinstance(outcome, str)}
    problems += [
        f"{case}: {outcome}" for case, outcome in zip(complete, outcomes, strict=True) if isinstance(outcome, str)
    ]
    scores = {case: outcome[0] for case, outcome in scored.items()}
    metrics = next(iter(scores.values()), {}).get(next(iter(convention.regions)), {"Dice": 0.0})
    return {
        "mean": {
            region: {metric: _mean([one[region][metric] for one in scores.values()]) for metric in metrics}
            for region in convention.regions
        },
        "mean_nnunet": {
            region: {"Dice": _mean([one[region]["Dice"] for one, empty in scored.values() if region not in empty])}
            for region in convention.regions
        },
        "cases": {case: _without_nan(one) for case, one in scores.items()},
        "undefined": _undefined(scores),
        "problems": problems,
        "expected": len(expected),
        "scored": len(scored),
        "metrics_version": METRICS_VERSION,
        "convention": convention.source,
        "regions": {region: list(values) for region, values in convention.regions.items()},
        "predictions": str(predictions),
        "references": str(references),
    }


def file_ending_of(folder: Path) -> str:
    """The ending that most label files of a folder have; that of pictures where there are no others."""
    for endings in (FILE_ENDINGS, PICTURES):
        found = Counter(ending for path in folder.iterdir() if (ending := _ending(path, endings)))
        if found:
            return max(found, key=lambda ending: found[ending])
    return ".nii.gz"


def _ending(path: Path, endings: Sequence[str]) -> str | None:
    return None if path.name.startswith(".") else ending_of(path.name, endings)


def _cases_in(folder: Path, file_ending: str) -> set[str]:
    files = folder.iterdir() if folder.is_dir() else ()
    cases = {
        path.name.removesuffix(file_ending)
        for path in files
        if _ending(path, (*FILE_ENDINGS, *PICTURES)) == file_ending
    }
    if not cases:
        raise InputError(f"{folder} {'has no ' + file_ending + ' file' if folder.is_dir() else 'is not a folder'}")
    return cases


def _score(pair: tuple[Path, Path], convention: LabelConvention, measure: Measure) -> tuple[Scores, set[str]] | str:
    """Scores of every region, and the regions that are empty in both masks; or what is wrong with the case.

    An image of two dimensions is scored as one slice; a picture states no spacing: its distances are in pixels.
    """
    files = dict(zip(("prediction", "reference"), pair, strict=True))
    try:
        headers = {
            role: read_picture(path) if is_picture(path) else read_checked_header(path, _dimensions(path))
            for role, path in files.items()
        }
    except InputError as error:
        return str(error)
    if moved := geometry_differences(headers["reference"], headers["prediction"]):
        return f"geometry of the prediction is not that of the reference: {'; '.join(moved)}"
    voxels = {
        role: sitk.GetArrayFromImage(header) if isinstance(header, sitk.Image) else read_array(files[role])
        for role, header in headers.items()
    }
    for role, values in voxels.items():
        present = np.unique(values)
        outside = [value for value in present if value not in convention.labels]
        if outside:
            found = ", ".join(f"{value:.9g}" for value in outside[:10])
            known = ", ".join(map(str, sorted(convention.labels)))
            return f"{files[role]} has labels outside the convention {convention.source} ({known}): {found}"
    spacing = headers["reference"].GetSpacing()[::-1]
    if len(spacing) == 2:
        spacing, voxels = (1.0, *spacing), {role: values[np.newaxis] for role, values in voxels.items()}
    scores, empty = {}, set()
    for region, members in convention.regions.items():
        prediction, reference = (np.isin(voxels[role], members) for role in ("prediction", "reference"))
        scores[region] = {name: float(score) for name, score in measure(prediction, reference, spacing).items()}
        if not prediction.any() and not reference.any():
            empty.add(region)
    return scores, empty


def _dimensions(path: Path) -> int:
    try:
        read_header(path, dimensions=2)
    except InputError:
        return 3
    return 2


def _mean(scores: list[float]) -> float | None:
    defined = [score for score in scores if not math.isnan(score)]
    return float(np.mean(defined)) if defined else None


def _without_nan(scores: Scores) -> dict[str, dict[str, float | None]]:
    return {
        region: {metric: None if math.isnan(score) else score for metric, score in metrics.items()}
        for region, metrics in scores.items()
    }


def _undefined(scores: Mapping[str, Scores]) -> dict[str, dict[str, int]]:
    """Region → metric → number of cases for which it is undefined, where there are any."""
    counts: dict[str, dict[str, int]] = {}
    for case in scores.values():
        for region, metrics in case.items():
            for metric, score in metrics.items():
                if math.isnan(score):
                    counts.setdefault(region, {})[metric] = counts.get(region, {}).get(metric, 0) + 1
    return counts
