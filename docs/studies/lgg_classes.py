"""The table of docs/studies/lgg-classes.yaml: python lgg_classes.py lgg-grades.csv TABLE.

Adds `cluster2`: yes where `coc_cluster` is 2 (about IDH wild type), no where it is 1 or 3.
"""

import csv
import sys
from pathlib import Path


def main(grades: Path, table: Path) -> None:
    """Write the table."""
    with grades.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["case", "patient", "grade", "cluster2", "age"])
        writer.writeheader()
        for row in rows:
            cluster = {"": "", "2": "yes"}.get(row["coc_cluster"], "no")
            writer.writerow({**{key: row[key] for key in ("case", "patient", "grade", "age")}, "cluster2": cluster})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
