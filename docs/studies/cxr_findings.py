"""Findings of the notes as classes 0 and 1: python cxr_findings.py CASES_CSV OUT_CSV.

The published keyword labels are 1 or empty; no mention counts as absent, as in the table of docs/reports.md.
"""

import csv
import sys


def main(source: str, target: str) -> None:
    """Write the table with a 0 where a finding is not mentioned."""
    with open(source, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row.update({name: value or "0" for name, value in row.items() if name.startswith("text_")})
    with open(target, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
