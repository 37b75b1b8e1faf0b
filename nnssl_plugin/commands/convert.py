import argparse
from pathlib import Path

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet import check_nnunet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per layout; what they share comes first."""
    converters = parser.add_subparsers(dest="converter", required=True, metavar="LAYOUT")
    brats = converters.add_parser(
        "brats", help="BraTS 2023 names: CASE-t1n.nii.gz, -t1c, -t2w, -t2f and, if labelled, -seg"
    )
    _add_target(brats)

    folder = converters.add_parser("folder", help="any folder, with a file-name pattern per modality")
    _add_target(folder)
    folder.add_argument(
        "--modality",
        action="extend",
        nargs="+",
        required=True,
        metavar="NAME=PATTERN",
        help='in channel order, like "T1=*_t1.nii.gz"; the * stands for the case name',
    )
    folder.add_argument(
        "--label", metavar="PATTERN", help='of the segmentations, like "*_seg.nii.gz"; none: unlabelled'
    )
    meaning = folder.add_mutually_exclusive_group()
    meaning.add_argument(
        "--label-name",
        action="extend",
        nargs="+",
        metavar="NAME=VALUE[,VALUE...]",
        help="what the values mean: classes like tumour=1, or regions, the largest first, like whole=1,2,3 core=1,3 "
        "enhancing=3 (default: each value found is a class)",
    )
    meaning.add_argument(
        "--regions", choices=("brats2023",), help="regions of a challenge, over its label values as published"
    )
    folder.add_argument("--patient", metavar="REGEX", help="its first group, searched in the case name, is the patient")


def run(args: argparse.Namespace) -> int:
    """Convert; the exit code is 1 where cases were left out."""
    from nnssl_plugin.conversion.convert import Target
    from nnssl_plugin.conversion.label_scheme import BRATS2023, scheme_from_names
    from nnssl_plugin.dataset_conversion import brats, folder

    check_nnunet("nnUNet_raw")
    target = Target(args.dataset_id, args.name, args.unlabelled_id, args.overwrite, args.copy, args.strict)
    if args.converter == "brats":
        return brats.convert(args.input, target)
    if (args.regions or args.label_name) and not args.label:
        raise InputError("--regions and --label-name say what segmentations mean, but --label names none")
    labels = scheme_from_names(args.label_name) if args.label_name else BRATS2023 if args.regions else None
    modalities = folder.modality_patterns(args.modality)
    return folder.convert(args.input, modalities, args.label, labels, args.patient, target)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="FOLDER", help="searched with all below it")
    parser.add_argument("-d", "--dataset-id", type=int, required=True, metavar="ID", help="of the new data set")
    parser.add_argument("--name", help="of the new data set")
    parser.add_argument(
        "--unlabelled-id", type=int, metavar="ID", help="data set for cases without a segmentation in a labelled folder"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the data set of this id and name")
    parser.add_argument("--copy", action="store_true", help="copy the images instead of linking to them")
    parser.add_argument("--strict", action="store_true", help="write nothing if any case would have to be left out")
