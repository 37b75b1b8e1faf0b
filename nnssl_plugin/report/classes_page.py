from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from nnssl_plugin.evaluation.class_scores import BINS
from nnssl_plugin.report.class_tables import scores_table
from nnssl_plugin.report.page import page, paragraph, picture, section, table

SHOWN = 10


def classes_page(results: Mapping[str, Any]) -> Markup:
    """One evaluation of classes as a page: scores, confusion, ROC, reliability, confident mistakes."""
    scores = scores_table(results)
    parts = [
        section(
            "Scores",
            table(scores.header, scores.rows, scores.numbers),
            paragraph(
                "Intervals by a bootstrap over patients. AUC: one class against the others, averaged over classes. Calibration "
                "error: mean distance between probability and accuracy over ten bins. Balanced accuracy of a guess is 1 divided "
                "by the number of classes, its AUC 0.5.",
                "soft",
            ),
        )
    ]
    if results["not_predicted"]:
        names = results["not_predicted"]
        parts.insert(
            0, paragraph(f"{len(names)} cases of the table have no prediction: {', '.join(names[:SHOWN])}", "note")
        )
    for column, one in results["columns"].items():
        cases = {case: entry[column] for case, entry in results["cases"].items() if column in entry}
        parts.append(
            section(
                f"{column}: {one['cases']} cases",
                picture(
                    _figures(one, cases),
                    "Left: cases by true and predicted class. Middle: ROC, one class against "
                    "the others. Right: accuracy at each probability; on the line a network is calibrated; the area of a dot is its number of cases.",
                ),
                _mistakes(cases),
            )
        )
    subtitle = f"{len(results['cases'])} cases, {len(results['files'])} files of predictions"
    return page("Evaluation: classes", subtitle, *parts)


def _figures(one: Mapping[str, Any], cases: Mapping[str, Mapping[str, Any]]) -> Figure:
    from sklearn.metrics import roc_curve

    names = one["classes"]
    truth = np.array([names.index(entry["class"]) for entry in cases.values()])
    probabilities = np.array([[entry["probabilities"][name] for name in names] for entry in cases.values()])
    figure = Figure(figsize=(13, 4), layout="constrained")
    confusion, roc, reliability = figure.subplots(1, 3)
    counts = np.array(one["confusion"])
    confusion.imshow(counts, cmap="Blues", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        dark = count > counts.max() / 2
        confusion.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
    confusion.set(xticks=range(len(names)), yticks=range(len(names)), xlabel="predicted", ylabel="true")
    confusion.set_xticklabels(names)
    confusion.set_yticklabels(names)
    for index in [names.index(one["positive"])] if len(names) == 2 else range(len(names)):
        if 0 < (truth == index).sum() < len(truth):
            false, true, _ = roc_curve(truth == index, probabilities[:, index])
            roc.plot(false, true, label=names[index])
    roc.plot([0, 1], [0, 1], ":", color="grey", label="chance")
    roc.set(xlabel="false positive rate", ylabel="true positive rate")
    roc.legend()
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    used = np.unique(bins)
    reliability.plot([0, 1], [0, 1], ":", color="grey")
    reliability.scatter(
        [confidence[bins == b].mean() for b in used],
        [right[bins == b].mean() for b in used],
        [2000 * (bins == b).mean() for b in used],
        alpha=0.6,
    )
    reliability.set(xlabel="probability of the predicted class", ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.05, 1.05))
    return figure


def _mistakes(cases: Mapping[str, Mapping[str, Any]]) -> Markup:
    wrong = []
    for case, entry in cases.items():
        predicted = max(entry["probabilities"], key=lambda name: entry["probabilities"][name])
        if predicted != entry["class"]:
            wrong.append((entry["probabilities"][predicted], case, entry["class"], predicted))
    rows = [[case, true, predicted, f"{p:.3f}"] for p, case, true, predicted in sorted(wrong, reverse=True)[:SHOWN]]
    if not rows:
        return paragraph("Every case is right.")
    return Markup("").join(
        [
            paragraph("Mistakes with the highest probability:"),
            table(["case", "true", "predicted", "probability"], rows, [3]),
        ]
    )
