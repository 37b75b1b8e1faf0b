from collections.abc import Sequence

from nnssl_plugin.report.case_pictures import losses_and_gains, run_pictures
from nnssl_plugin.report.comparison_table import Compared, comparison_table
from nnssl_plugin.report.evaluation_table import titled
from nnssl_plugin.report.figures import strips
from nnssl_plugin.report.page import page, paragraph, picture, section, table


def comparison_page(compared: Sequence[Compared], cases: Sequence[str]) -> str:
    """A comparison (see `compare_runs`) of `cases` as a page."""
    first = compared[0].run
    whole = comparison_table(compared)
    names = list(dict.fromkeys(one.run.name for one in compared))
    parts = [
        section(
            "Differences to the first run, paired by case",
            table(whole.header, whole.rows, whole.numbers),
            paragraph(
                "A case's score is the mean of its seeds. The interval is a 95 % bootstrap of the mean difference over "
                "cases; Wilcoxon's signed-rank test is two-sided and not corrected for the number of comparisons; win, tie "
                "and loss count cases, by what is better in the metric.",
                "soft",
            ),
        )
    ]
    metrics, regions = (list(dict.fromkeys(key(one) for one in compared)) for key in (_metric, _region))
    for metric in metrics:
        panels = {
            region: {
                one.run.name: one.pair.first.tolist()
                for one in compared
                if (one.metric, one.pair.region) == (metric, region)
            }
            for region in regions
        }
        parts.append(section(titled(metric), picture(strips(panels), "One dot per case, the mean of its seeds.")))
    dice = [one for one in compared if one.metric == "Dice" and one.pair.region == regions[0] and one.run is not first]
    for one in dice[:1]:
        shown = losses_and_gains(one.run.result(cases)["cases"], first.result(cases)["cases"], regions[0])
        title = f"Where {one.run.name} loses and gains most against {first.name} (Dice of {regions[0]}; first seeds)"
        results = {name: next(iter(run.seeds.values())) for name, run in ((first.name, first), (one.run.name, one.run))}
        parts.append(run_pictures(shown, title, results))
    return page(f"Comparison of {len(names)} runs", f"{', '.join(names)}; {len(cases)} cases", *parts)


def _metric(one: Compared) -> str:
    return one.metric


def _region(one: Compared) -> str:
    return one.pair.region
