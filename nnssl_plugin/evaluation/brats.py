"""WT, TC and ET of BraTS, scored over a folder of predictions."""

import math
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.dice import dice
from nnssl_plugin.evaluation.regions import LabelConvention
from nnssl_plugin.images.image_file import geometry_differences, read_array, read_checked_header
from nnssl_plugin.images.parallel import in_parallel


def evaluate_brats(
    predictions: Path,
    references: Path,
    convention: LabelConvention,
    cases: Collection[str] | None = None,
    file_ending: str = ".nii.gz",
) -> dict[str, Any]:
    """Dice of BraTS's regions, per case and mean.

    A region empty in both masks scores 1, in exactly one of them 0 (BraTS). What cannot be scored is not left out
    silently: it is named in `problems`, and the means are over the `scored` of the `expected` cases.

    Args:
        predictions: folder with `CASE{file_ending}`.
        references: folder with files of the same names.
        convention: label values of the regions, in predictions and references alike.
        cases: which cases must be there; by default all that have a reference.
        file_ending: of label files.

    Returns:
        JSON-ready: `mean` and `mean_nnunet` (regions empty in both masks left out) of every region, None where there
        is nothing to average; `cases`; `problems`; `expected` and `scored`, numbers of cases; `convention`; `regions`.
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

    complete = [case for case in expected if case in predicted & referenced]
    files = [(predictions / f"{case}{file_ending}", references / f"{case}{file_ending}") for case in complete]
    outcomes = in_parallel(partial(_score, convention=convention), files, "evaluating cases")
    scored = {case: outcome for case, outcome in zip(complete, outcomes, strict=True) if not isinstance(outcome, str)}
    problems += [
        f"{case}: {outcome}" for case, outcome in zip(complete, outcomes, strict=True) if isinstance(outcome, str)
    ]
    by_region = {region: [scores[region] for scores in scored.values()] for region in convention.regions}
    return {
        "mean": {region: {"Dice": _mean([_brats(score) for score in scores])} for region, scores in by_region.items()},
        "mean_nnunet": {
            region: {"Dice": _mean([score for score in scores if not math.isnan(score)])}
            for region, scores in by_region.items()
        },
        "cases": {
            case: {region: {"Dice": _brats(score)} for region, score in scores.items()}
            for case, scores in scored.items()
        },
        "problems": problems,
        "expected": len(expected),
        "scored": len(scored),
        "convention": convention.source,
        "regions": {region: list(values) for region, values in convention.regions.items()},
    }


def _cases_in(folder: Path, file_ending: str) -> set[str]:
    cases = {path.name.removesuffix(file_ending) for path in folder.glob(f"[!.]*{file_ending}")}
    if not cases:
        raise InputError(f"{folder} {'has no ' + file_ending + ' file' if folder.is_dir() else 'is not a folder'}")
    return cases


def _score(pair: tuple[Path, Path], convention: LabelConvention) -> dict[str, float] | str:
    """Dice of every region, NaN where both masks are empty; or what is wrong with the case."""
    files = dict(zip(("prediction", "reference"), pair, strict=True))
    try:
        headers = {role: read_checked_header(path) for role, path in files.items()}
    except InputError as error:
        return str(error)
    differences = geometry_differences(headers["reference"], headers["prediction"])
    if differences:
        return f"geometry of the prediction is not that of the reference: {'; '.join(differences)}"
    voxels = {role: read_array(path) for role, path in files.items()}
    for role, values in voxels.items():
        outside = ~np.isin(values, list(convention.labels))
        if outside.any():
            found = ", ".join(f"{value:g}" for value in np.unique(values[outside])[:10])
            known = ", ".join(map(str, sorted(convention.labels)))
            return f"{files[role]} has labels outside the convention {convention.source} ({known}): {found}"
    return {
        region: dice(np.isin(voxels["prediction"], members), np.isin(voxels["reference"], members), both_empty=math.nan)
        for region, members in convention.regions.items()
    }


def _brats(score: float) -> float:
    return 1.0 if math.isnan(score) else score


def _mean(scores: list[float]) -> float | None:
    return float(np.mean(scores)) if scores else None
