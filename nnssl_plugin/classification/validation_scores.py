from pathlib import Path
from typing import Any

import numpy as np

from nnssl_plugin.evaluation.class_scores import class_scores, positive_class
from nnssl_plugin.evaluation.predictions import read_predictions
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import table_row_of
from nnssl_plugin.nnunet.plans_file import preprocessed_folder


def validation_scores(file: Path, dataset: str) -> dict[str, Any]:
    """Scores of a fold's validation predictions against the data set's own table.

    Args:
        file: as `write_predictions` writes it.
        dataset: full name.

    Returns:
        `classes`: column → names; `mean`: column → metric → score; `cases`: case → column → index of the class and
        probabilities.
    """
    predictions = read_predictions(file)
    dataset_json = read_json(preprocessed_folder(dataset) / "dataset.json")
    cases: dict[str, dict[str, Any]] = {case: {} for case in predictions.probabilities}
    mean = {}
    for column, names in predictions.columns.items():
        truth, probabilities = [], []
        for case, by_column in predictions.probabilities.items():
            name = table_row_of(dataset_json, case).get(column)
            if name:
                # Of the classes that were trained on; the table may hold more, of cases that are not preprocessed.
                index = names.index(name)
                cases[case][column] = {"class": index, "probabilities": by_column[column].tolist()}
                truth.append(index)
                probabilities.append(by_column[column])
        if truth:
            indices = np.array(truth)
            positive = positive_class(indices, names)
            mean[column] = class_scores(indices, np.array(probabilities), positive)
    return {
        "classes": {column: list(names) for column, names in predictions.columns.items()},
        "mean": {column: {name: None if np.isnan(v) else v for name, v in one.items()} for column, one in mean.items()},
        "cases": cases,
    }
