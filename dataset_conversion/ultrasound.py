"""Ultrasound clips: a clip is a volume of one channel whose slices are its frames.

`python dataset_conversion/ultrasound.py …` is `nnssl_plugin convert ultrasound …`.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

from nnssl_plugin.conversion.case import Case, Findings, Problems, duplicate_id
from nnssl_plugin.conversion.convert import convert_cases
from nnssl_plugin.conversion.folder_listing import files_below
from nnssl_plugin.conversion.options import ConversionOptions
from nnssl_plugin.conversion.scan import ClipScan
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.clip import ENDINGS, frames_per_second, is_clip
from nnssl_plugin.images.picture import is_picture

COMMAND = "nnssl_plugin convert ultrasound"
MODALITY = "US"
# Fewer pictures in a folder are no clip.
FEWEST_PICTURES = 2
# Seconds from one kept frame to the next, in the table of the cases.
FRAME_SECONDS = "frame_seconds"


def convert(folder: Path, options: ConversionOptions, per_second: float | None) -> int:
    """Convert the clips below a folder; a case is called as its file, or as its folder of frames.

    Args:
        folder: searched with everything below it.
        options: where to and how; its table must name groups.
        per_second: about how many frames of each clip are kept; None for all.

    Returns:
        Exit code: 0, or 1 where clips were left out.

    Raises:
        InputError: there is no clip, or nobody says whose the clips are, or as `convert_cases`.
    """
    if options.table is None or options.table.group is None:
        raise InputError(
            "clips need --table FILE --group COLUMN: frames of one patient must never be compared as if they were of two, and "
            "must not be divided over a split"
        )
    if per_second is not None and per_second <= 0:
        raise InputError(f"--frames-per-second {per_second:g}: a number above 0 is expected")
    found: dict[str, list[Path]] = defaultdict(list)
    files = files_below(folder)
    for file in files:
        if is_clip(file):
            found[file.stem].append(file)
    for place in sorted({file.parent for file in files}):
        if sum(is_picture(file) for file in files if file.parent == place) >= FEWEST_PICTURES:
            found[place.name].append(place)
    if not found:
        raise InputError(f"{folder} holds no clip ({', '.join(ENDINGS)}) and no folder of frames")
    problems: Problems = {}
    cases = []
    for name, places in sorted(found.items()):
        if len(places) > 1:
            problems[name] = [duplicate_id(sorted(map(str, places)))]
            continue
        try:
            cases.append(_case(name, places[0], per_second))
        except InputError as error:
            problems[name] = [str(error)]
    statements = ["clips become volumes whose slices are their frames; they state no spacing: 1 a pixel and frame"]
    name = re.sub(r"[^A-Za-z0-9_-]", "", folder.resolve().name)
    return convert_cases(Findings(cases, problems, [MODALITY], None, name, COMMAND, statements), options)


def _case(name: str, place: Path, per_second: float | None) -> Case:
    rate = frames_per_second(place)
    stride = max(1, round(rate / per_second)) if rate and per_second else 1
    about = {FRAME_SECONDS: f"{stride / rate:.4g}"} if rate else {}
    return Case(name, name, {MODALITY: ClipScan(place, stride)}, about=about)


if __name__ == "__main__":
    from nnssl_plugin.cli import main

    sys.exit(main(["convert", "ultrasound", *sys.argv[1:]]))
