"""What one temperature does to the calibration of a classifier: python calibration.py TRAINER__PLANS__CONFIGURATION [MORE …].

For each folder of nnU-Net's results: the temperature is fitted on the validation cases of all folds but one and applied to those of that one, so
that no case calibrates itself. Prints mean scores over folds (and over the folders, if these are seeds), before and after.
"""

import sys
from pathlib import Path

import numpy as np

from nnssl_plugin.classification.temperature import fitted_temperature, with_temperature
from nnssl_plugin.evaluation.class_scores import class_scores, positive_class
from nnssl_plugin.files import read_json

SHOWN = ("calibration error", "Brier score", "log loss")


def scores_of(folder: Path, column: str) -> tuple[list[list[float]], list[list[float]], list[float]]:
    """Before, after and temperature of each fold."""
    folds = [
        [case[column] for case in read_json(file)["cases"].values() if column in case]
        for file in sorted(folder.glob("fold_*/validation/summary.json"))
    ]
    before, after, temperatures = [], [], []
    for left_out, fold in enumerate(folds):
        others = [case for index, one in enumerate(folds) if index != left_out for case in one]
        truth, probabilities = (np.array([case[key] for case in others]) for key in ("class", "probabilities"))
        temperature = fitted_temperature(truth, probabilities)
        truth, probabilities = (np.array([case[key] for case in fold]) for key in ("class", "probabilities"))
        positive = positive_class(truth, [""] * probabilities.shape[1])
        for scores, values in ((before, probabilities), (after, with_temperature(probabilities, temperature))):
            found = class_scores(truth, values, positive)
            scores.append([found[name] for name in SHOWN])
        temperatures.append(temperature)
    return before, after, temperatures


def main(folders: list[Path]) -> None:
    """Print the scores."""
    first = read_json(next(folders[0].glob("fold_*/validation/summary.json")))
    for column in first["classes"]:
        each = [scores_of(folder, column) for folder in folders]
        before, after = (np.mean([row for one in each for row in one[part]], axis=0) for part in (0, 1))
        temperatures = [value for one in each for value in one[2]]
        print(f"{column}, temperature {np.mean(temperatures):.2f} ({min(temperatures):.2f} to {max(temperatures):.2f})")
        for name, old, new in zip(SHOWN, before, after, strict=True):
            print(f"  {name}: {old:.3f} before, {new:.3f} after")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main([Path(argument) for argument in sys.argv[1:]])
