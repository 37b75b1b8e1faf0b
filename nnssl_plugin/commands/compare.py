import argparse
from pathlib import Path

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin compare`."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="[NAME=]RESULT[,RESULT…], results of `nnssl_plugin evaluate` or folders that hold one; several: seeds of one "
        "run. Each run is compared with the first",
    )
    parser.add_argument("--intersect", action="store_true", help="compare the cases that all runs have, if they differ")
    parser.add_argument(
        "-o",
        type=Path,
        metavar="JSON",
        help="also write the comparison as JSON, and as .csv, .md, .tex and .html with the same name",
    )


def run(args: argparse.Namespace) -> int:
    """Compare, print and, if asked, save."""
    from nnssl_plugin.files import write_json, write_text
    from nnssl_plugin.report.class_comparison import is_of_classes
    from nnssl_plugin.report.comparison_page import comparison_page
    from nnssl_plugin.report.comparison_table import compare_runs, comparison_rows, comparison_table
    from nnssl_plugin.report.run_scores import common_cases, read_runs

    if len(args.runs) < 2:
        raise InputError(f"{args.runs[0]} alone cannot be compared; name two runs or more")
    if args.o and (args.o.suffix != ".json" or not args.o.absolute().parent.is_dir()):
        raise InputError(f"-o {args.o}: the name of a .json file in an existing folder is needed")
    if is_of_classes(args.runs[0]):
        return _classes(args)
    runs = read_runs(args.runs)
    names = [one.name for one in runs]
    if len(set(names)) < len(names):
        raise InputError(f"two runs have the same name: {', '.join(names)}")
    cases = common_cases(runs, args.intersect)
    compared = compare_runs(runs, cases)
    whole = comparison_table(compared)
    left_out = set().union(*(one.cases for one in runs)) - set(cases)
    if left_out:
        print(f"{len(left_out)} cases that not all runs have are left out: {', '.join(sorted(left_out))}")
    print(f"{len(cases)} cases; differences to {names[0]}, paired by case\n\n{whole.text()}")
    if args.o:
        content = {
            "baseline": names[0],
            "cases": cases,
            "left out": sorted(left_out),
            "runs": {one.name: list(map(str, one.seeds)) for one in runs},
            "rows": comparison_rows(compared),
        }
        write_json(content, args.o)
        for ending, text in (("csv", whole.csv()), ("md", whole.markdown()), ("tex", whole.latex())):
            write_text(args.o.with_suffix(f".{ending}"), text)
        write_text(args.o.with_suffix(".html"), comparison_page(compared, cases))
        print(f"\nwritten: {args.o}, also as .csv, .md, .tex and .html")
    return 0


def _classes(args: argparse.Namespace) -> int:
    from nnssl_plugin.files import write_json, write_text
    from nnssl_plugin.report.class_comparison import class_comparison_page, compare_classes

    compared = compare_classes(args.runs, args.intersect)
    print(f"{compared.cases} cases; differences to {compared.first}, paired by case\n\n{compared.table.text()}")
    if args.o:
        header = compared.table.header
        rows = [dict(zip(header, row, strict=True)) for row in compared.table.rows]
        write_json({"baseline": compared.first, "cases": compared.cases, "rows": rows}, args.o)
        texts = {"csv": compared.table.csv(), "md": compared.table.markdown(), "tex": compared.table.latex()}
        for ending, text in texts.items():
            write_text(args.o.with_suffix(f".{ending}"), text)
        write_text(args.o.with_suffix(".html"), class_comparison_page(compared))
        print(f"\nwritten: {args.o}, also as .csv, .md, .tex and .html")
    return 0
