import argparse

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin align`."""
    parser.add_argument("--pretrain", required=True, metavar="DATASET", help="id or name of the data set to preprocess")
    parser.add_argument(
        "--target", required=True, metavar="DATASET", help="id or name of the data set whose plans are used"
    )
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans of the target (default: %(default)s)")
    parser.add_argument(
        "-c",
        nargs="+",
        metavar="CONFIGURATION",
        help="configurations (default: all that the target is preprocessed for)",
    )
    parser.add_argument(
        "-np", type=int, metavar="N", help="number of processes (default: nnU-Net's, nnUNet_def_n_proc)"
    )
    parser.add_argument("--overwrite", action="store_true", help="preprocess again and replace what is there")


def run(args: argparse.Namespace) -> int:
    """Check, say what will differ, preprocess what is not preprocessed yet, write the plans."""
    from nnunetv2.configuration import default_num_processes

    from nnssl_plugin.nnunet.environment import check_nnunet, dataset_name
    from nnssl_plugin.planning.alignment import check_alignment
    from nnssl_plugin.planning.fingerprint import differences, fingerprint_of
    from nnssl_plugin.planning.preprocessed_data import conflicts, extra_cases, missing_cases
    from nnssl_plugin.planning.preprocessing import preprocess_aligned

    check_nnunet()
    processes = default_num_processes if args.np is None else args.np
    if processes < 1:
        raise InputError(f"-np {processes}: at least one process is needed")
    alignment = check_alignment(dataset_name(args.pretrain), dataset_name(args.target), args.p, args.c)
    in_the_way = conflicts(alignment)
    if in_the_way and not args.overwrite:
        reasons = "; ".join(f"{what} {why}" for what, why in in_the_way.items())
        raise InputError(f"{alignment.folder}: {reasons}. --overwrite replaces them by the plans of {alignment.target}")

    unprepared = []
    for identifier in alignment.configurations:
        folder = alignment.folder / identifier
        missing, extra = missing_cases(alignment, folder), extra_cases(alignment, folder)
        if args.overwrite or missing or extra:
            unprepared.append(identifier)
        if folder.is_dir() and (missing or extra):
            print(f"{folder}: {len(missing)} cases missing, {len(extra)} not in the raw data; preprocessing again")
    if unprepared:
        for line in differences(alignment, fingerprint_of(alignment, processes)):
            print(line)
    else:
        print(f"{alignment.pretrain} is already preprocessed by {args.p} of {alignment.target}: nothing to preprocess")
    preprocess_aligned(alignment, unprepared, processes)
    for what, why in conflicts(alignment).items():
        print(f"note: {what} {why}; delete or rename those plans")
    names = ", ".join(alignment.configurations.values())
    print(f"{alignment.folder}: {args.p} of {alignment.target}, {len(alignment.cases)} cases, {names}")
    return 0
