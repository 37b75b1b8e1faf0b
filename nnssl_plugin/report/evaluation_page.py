from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nnssl_plugin.nnunet.results_folder import raw_images_of
from nnssl_plugin.report.case_pictures import case_section, worst_and_best
from nnssl_plugin.report.evaluation_table import dice_table, mean_table, metrics_of, titled, undefined_lines
from nnssl_plugin.report.figures import strips
from nnssl_plugin.report.page import page, paragraph, picture, section, table

EXPLANATIONS = {
    "HD95": "95 % of the area of one surface is no farther from the other than this, the larger of both ways; as BraTS 2023 "
    "and DeepMind's surface-distance count it",
    "HD95 of voxel centres": "every voxel with a face neighbour outside counts the same, whatever its share of the surface; "
    "as MONAI counts it",
    "Lesion-wise Dice": "mean over lesions, as in BraTS 2023; missed and false ones count 0 (HD95: 374 mm), reference "
    "lesions of at most 50 mm³ are left out",
    "RAVD": "difference of the volumes, relative to the reference",
    "ASSD": "mean of all distances between surface voxels, both ways; the edge of the image is no surface",
    "MSSD": "the largest of these distances",
}
EMPTY = {
    "brats": "A region empty in both counts Dice 1, HD95 0; in one of them Dice 0, HD95 374 mm.",
    "regions": "A region empty in both counts Dice 1, HD95 0; in one of them Dice 0, HD95 the diagonal of the image.",
    "chaos": "An organ empty in both counts Dice 1 and distance 0; in one of them Dice 0 and the diagonal of the image.",
}


def evaluation_page(
    results: Mapping[str, Any], predictions: Path, references: Path, dataset_json: Mapping[str, Any]
) -> Markup:
    """One evaluation as a page: means, every case, worst and best cases."""
    metrics = metrics_of(results)
    worst, best = worst_and_best(results)
    images = raw_images_of(predictions)
    folders = {"reference": references, "prediction": predictions}
    means, cases = mean_table(results), dice_table(results)
    stated = [f"{titled(metric)}: {text}." for metric, text in EXPLANATIONS.items() if metric in metrics]
    parts = [
        section(
            "Means over cases",
            table(means.header, means.rows, means.numbers),
            *(paragraph(line, "soft") for line in [EMPTY[results["evaluation"]], *stated]),
            *(paragraph(f"{line}.") for line in undefined_lines(results)),
        ),
        section("Every case", _strips(results, metrics)),
    ]
    if results["problems"]:
        problems = f"{len(results['problems'])} problems; cases with a problem are left out of all means: "
        parts.insert(0, paragraph(problems + "; ".join(results["problems"]), "note"))
    for shown, title in ((worst, "Worst cases by mean Dice"), (best, "Best cases by mean Dice")):
        if shown:
            parts.append(case_section(shown, title, results["regions"], folders, images, dataset_json))
    parts.append(section("Dice of every case", table(cases.header, cases.rows, cases.numbers)))
    subtitle = f"{results['scored']} of {results['expected']} expected cases scored; labels by {results['convention']}"
    return page(f"Evaluation: {results['evaluation']}", subtitle, *parts)


def _strips(results: Mapping[str, Any], metrics: Sequence[str]) -> Markup:
    panels = {
        titled(metric): {
            region: [case[region][metric] for case in results["cases"].values() if case[region][metric] is not None]
            for region in results["regions"]
        }
        for metric in metrics
    }
    return picture(
        strips(panels), "One dot per case; boxes from quartile to quartile, whiskers to 1.5 times their height."
    )
