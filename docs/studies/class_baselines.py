"""What the classes of a data set can be told without its images: python class_baselines.py DATASET COLUMN [FEATURE …].

For the folds of `SSLClassifyTrainer`: always the majority class, and a logistic regression on numeric columns of the data set's table
(such as age), fitted on each fold's training cases. Needs nnUNet_preprocessed.
"""

import sys

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnssl_plugin.classification.labels import case_classes
from nnssl_plugin.evaluation.weighted_class_measures import MEASURES
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import table_cases, table_row_of
from nnssl_plugin.nnunet.environment import dataset_name
from nnssl_plugin.nnunet.plans_file import preprocessed_folder
from nnssl_plugin.study.class_score import class_score_of

RESAMPLINGS = 5000


def main(dataset: str, column: str, features: list[str]) -> None:
    """Print the scores: means over folds, as a study's."""
    folder = preprocessed_folder(dataset_name(dataset))
    content = read_json(folder / "dataset.json")
    (file,) = [file for file in folder.glob("classification_splits_*.json") if column in file.stem]
    known = case_classes(content, [column], table_cases(content))
    truth = {case: index for case, (index,) in known.of_case.items()}
    values = {case: [float(table_row_of(content, case).get(name) or "nan") for name in features] for case in truth}
    results: dict[str, dict[int, dict]] = {}
    for number, fold in enumerate(read_json(file)):
        train, val = ([case for case in fold[part] if case in truth] for part in ("train", "val"))
        shares = np.bincount([truth[case] for case in train], minlength=len(known.columns[column])) / len(train)
        predicted = {"majority class": [shares] * len(val)}
        if features:
            model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(class_weight="balanced"))
            model.fit([values[case] for case in train], [truth[case] for case in train])
            predicted[f"{', '.join(features)} alone"] = model.predict_proba([values[case] for case in val])
        for title, rows in predicted.items():
            entries = {
                case: {column: {"class": truth[case], "probabilities": list(row)}}
                for case, row in zip(val, rows, strict=True)
            }
            results.setdefault(title, {})[number] = {"cases": entries}
    for title, folds in results.items():
        print(f"{column}, {title}, {len(truth)} cases")
        for metric in MEASURES:
            score = class_score_of(folds, column, metric)
            count = len(score.cases)
            weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLINGS).astype(float)
            low, high = np.nanpercentile(score.over(score.cases, weights), [2.5, 97.5])
            print(f"  {metric}: {score.over(score.cases, np.ones((1, count)))[0]:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
