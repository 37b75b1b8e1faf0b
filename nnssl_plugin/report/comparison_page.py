from collections.abc import Sequence

from markupsafe import Markup

from nnssl_plugin.report.case_pictures import losses_and_gains, run_pictures
from nnssl_plugin.report.comparison_table import Compared, comparison_table
from nnssl_plugin.report.evaluation_table import titled
from nnssl_plugin.report.figures import strips
from nnssl_plugin.report.page import page, paragraph, picture, section, table


def comparison_page(compared: Sequence[Compared], cases: Sequence[str]) -> Markup:
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
    panels: dict[str, dict[str, list[float]]] = {}
    for one in compared:
        panels.setdefault(f"{one.pair.region}: {titled(one.metric)}", {})[one.run.name] = one.pair.first.tolist()
    parts.append(section("Every case", picture(strips(panels), "One dot per case, the mean of its seeds.")))
    region = compared[0].pair.region
    dice = [one for one in compared if one.metric == "Dice" and one.pair.region == region and one.run is not first]
    for one in dice[:1]:
        shown = losses_and_gains(one.run.result(cases)["cases"], first.result(cases)["cases"], region)
        title = f"Where {one.run.name} loses and gains most against {first.name} (Dice of {region}; first seeds)"
        results = {name: next(iter(run.seeds.values())) for name, run in ((first.name, first), (one.run.name, one.run))}
        parts.append(run_pictures(shown, title, results))
    return page(f"Comparison of {len(names)} runs", f"{', '.join(names)}; {len(cases)} cases", *parts)
