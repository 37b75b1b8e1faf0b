import argparse
from pathlib import Path

from nnssl_plugin.conversion.brats_eras import ERAS
from nnssl_plugin.conversion.class_table import TableOptions
from nnssl_plugin.conversion.label_scheme import LabelScheme, scheme_from_names
from nnssl_plugin.conversion.options import ConversionOptions
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.environment import check_nnunet

SMALLEST_OVERLAP = 0.75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per layout; what they share comes first."""
    converters = parser.add_subparsers(dest="converter", required=True, metavar="LAYOUT")
    brats = converters.add_parser("brats", help="BraTS 2012 to 2024, and the Medical Segmentation Decathlon's Task01")
    _add_options(brats)
    brats.add_argument(
        "--era",
        choices=ERAS,
        help="release whose file names and label values are expected (default: recognised by the file names)",
    )
    brats.add_argument(
        "--labels",
        choices=("regions", "classes"),
        default="regions",
        help="WT, TC and ET over the values as published, or plain classes (default: %(default)s)",
    )
    brats.add_argument(
        "--back",
        action="store_true",
        help="convert back: give the predictions in -i, of a network trained on data set -d, the published label values, and write them to -o",
    )
    brats.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="output folder of --back")

    chaos = converters.add_parser("chaos", help="CHAOS MR: DICOM and PNG, MR/NUMBER/{T1DUAL,T2SPIR}")
    _add_options(chaos)
    t2 = chaos.add_mutually_exclusive_group()
    t2.add_argument("--t2-on-t1", action="store_true", help="add T2-SPIR as a third channel, resampled onto T1-DUAL")
    t2.add_argument("--t2-id", type=int, metavar="ID", help="convert T2-SPIR into a data set of its own, with this id")
    _add_overlap(chaos)

    folder = converters.add_parser("folder", help="any folder, with a file-name pattern per modality or a table")
    _add_options(folder)
    files = folder.add_mutually_exclusive_group(required=True)
    files.add_argument(
        "--modality",
        action="extend",
        nargs="+",
        metavar="NAME=PATTERN",
        help='file name pattern of each modality, in channel order, like "T1=*_t1.nii.gz", "T1=*/T1.nii.gz" or, for folders of DICOM slices, "T1=*/T1/"; the * '
        "stands for the case name",
    )
    files.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="table of files with the columns case,patient,modality,path; the modality of a segmentation is label; further columns are kept with the case",
    )
    folder.add_argument(
        "--label",
        metavar="PATTERN",
        help='file name pattern of the segmentations, like "*_seg.nii.gz"; without it the data set is unlabelled',
    )
    meaning = folder.add_mutually_exclusive_group()
    meaning.add_argument(
        "--label-name",
        action="extend",
        nargs="+",
        metavar="NAME=VALUE[,VALUE...]",
        help="meaning of the label values: classes like tumour=1, or regions, the largest first, like whole=1,2,3 core=1,3 "
        "enhancing=3 (default: each value found is a class)",
    )
    meaning.add_argument(
        "--regions",
        choices=[f"brats{era}" for era in ERAS],
        help="regions of a challenge, with its published label values",
    )
    folder.add_argument(
        "--patient",
        metavar="REGEX",
        help="regular expression whose first group, searched in the case name, is the patient",
    )
    folder.add_argument(
        "--resample-to", metavar="MODALITY", help="resample scans on other grids onto this one's, by their geometry"
    )
    _add_overlap(folder)

    ultrasound = converters.add_parser("ultrasound", help="clips (mp4, avi, mov, mpeg, gif) and folders of frames")
    _add_options(ultrasound)
    ultrasound.add_argument(
        "--frames-per-second",
        type=float,
        metavar="N",
        help="keep about this many frames of each second (default: all frames)",
    )

    reports = converters.add_parser("reports", help="images with a report each, listed in a table")
    _add_options(reports)
    for name in ("image", "report"):
        reports.add_argument(
            f"--{name}",
            required=True,
            metavar="COLUMN",
            help=f"column of the table with the path of the {name} below the folder of -i",
        )

    table = converters.add_parser("table", help="add columns of a table to an existing data set, without images")
    table.add_argument("-d", "--dataset-id", required=True, metavar="ID", help="id or name of the data set")
    table.add_argument(
        "--table", type=Path, required=True, metavar="FILE", help="CSV file with a column `case` and one row per case"
    )
    table.add_argument(
        "--columns", nargs="+", default=[], metavar="NAME", help="columns of the table to keep with each case"
    )
    table.add_argument("--group", metavar="COLUMN", help="column of the table with the patient of each case")


def run(args: argparse.Namespace) -> int:
    """Convert; the exit code is 1 where cases were left out."""
    from nnssl_plugin.dataset_conversion import brats, chaos, reports, ultrasound

    check_nnunet("nnUNet_raw")
    if args.converter == "table":
        return _add_table(args)
    if args.converter == "brats" and args.back:
        return _back(args)
    options = ConversionOptions(
        args.dataset_id,
        args.name,
        args.unlabelled_id,
        args.overwrite,
        args.copy,
        args.strict,
        table=_table_options(args),
    )
    if args.converter == "brats":
        if args.output:
            raise InputError("-o is for --back; data sets go to nnUNet_raw")
        return brats.convert(args.input, options, args.era, args.labels)
    if args.converter == "ultrasound":
        return ultrasound.convert(args.input, options, args.frames_per_second)
    if args.converter == "reports":
        return reports.convert(args.input, options, args.image, args.report)
    options = _with_overlap(options, args)
    if args.converter == "chaos":
        return chaos.convert(args.input, options, args.t2_id, args.t2_on_t1)
    return _folder(args, options)


def _folder(args: argparse.Namespace, options: ConversionOptions) -> int:
    from nnssl_plugin.conversion.file_patterns import modality_patterns
    from nnssl_plugin.dataset_conversion import folder

    label_scheme = _label_scheme(args)
    if args.csv:
        for option in ("label", "patient"):
            if getattr(args, option):
                raise InputError(f"--{option} goes with --modality; the table of --csv has its own column")
        return folder.convert_table(args.csv, args.input, label_scheme, options)
    if label_scheme and not args.label:
        raise InputError("--regions and --label-name say what segmentations mean, but --label names none")
    return folder.convert(args.input, modality_patterns(args.modality), args.label, label_scheme, args.patient, options)


def _add_table(args: argparse.Namespace) -> int:
    from nnssl_plugin.conversion.add_table import add_table

    options = TableOptions(args.table, tuple(args.columns), args.group)
    print("\n".join(add_table(args.dataset_id, options)))
    return 0


def _table_options(args: argparse.Namespace) -> TableOptions | None:
    if args.table:
        return TableOptions(args.table, tuple(args.columns), args.group)
    if args.columns or args.group:
        raise InputError("--columns and --group are of a table: name it with --table")
    return None


def _label_scheme(args: argparse.Namespace) -> LabelScheme | None:
    if args.label_name:
        return scheme_from_names(args.label_name)
    return ERAS[args.regions.removeprefix("brats")].scheme if args.regions else None


def _with_overlap(options: ConversionOptions, args: argparse.Namespace) -> ConversionOptions:
    from dataclasses import replace

    if not 0 < args.min_overlap <= 1:
        raise InputError(f"--min-overlap {args.min_overlap:g}: expected a share above 0 and at most 1")
    return replace(options, resample_to=getattr(args, "resample_to", None), smallest_overlap=args.min_overlap)


def _back(args: argparse.Namespace) -> int:
    from nnssl_plugin.conversion.published_values import restore_published_values

    if not args.output:
        raise InputError("--back needs -o FOLDER, where the predictions with published values go")
    return restore_published_values(args.input, args.output, args.dataset_id)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of scans; its subfolders are searched too",
    )
    parser.add_argument("-d", "--dataset-id", type=int, required=True, metavar="ID", help="id of the new data set")
    parser.add_argument("--name", help="name of the new data set")
    parser.add_argument(
        "--unlabelled-id", type=int, metavar="ID", help="id of a second data set for the cases without a segmentation"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the data set of this id and name")
    parser.add_argument("--copy", action="store_true", help="copy the images instead of listing them in place")
    parser.add_argument("--strict", action="store_true", help="write nothing if any case has to be left out")
    table = parser.add_argument_group("what else is known of the cases, like their classes")
    table.add_argument("--table", type=Path, metavar="FILE", help="CSV file with a column `case` and one row per case")
    table.add_argument(
        "--columns", nargs="+", default=[], metavar="NAME", help="columns of the table to keep with each case"
    )
    table.add_argument(
        "--group",
        metavar="COLUMN",
        help="column of the table with the patient or group of each case; cases of one group stay on one side of a split",
    )


def _add_overlap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-overlap",
        type=float,
        default=SMALLEST_OVERLAP,
        metavar="SHARE",
        help="share of the voxels that a resampled scan must cover (default: %(default)s)",
    )
