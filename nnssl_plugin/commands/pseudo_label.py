import argparse
import os
import sys
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin pseudo-label`."""
    parser.add_argument(
        "-m",
        nargs="+",
        required=True,
        type=Path,
        metavar="FOLD",
        help="trained folds: nnUNet_results/DATASET/TRAINER__PLANS__CONFIGURATION/fold_X, several folds or seeds",
    )
    parser.add_argument(
        "--cases-of",
        required=True,
        metavar="DATASET",
        help="id or name of the data set whose images are labelled: an unlabelled one, or the models' own, of which those "
        "are taken that no model was trained on or is validated on",
    )
    parser.add_argument("-d", required=True, type=int, metavar="ID", help="id of the data set to write")
    parser.add_argument("-device", default="cuda", choices=["cuda", "cpu", "mps"], help="default: %(default)s")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the data set of that id and its preprocessed files"
    )


def run(args: argparse.Namespace) -> int:
    """Label the cases, record how far each can be trusted, write the data set; 1 if a case could not be labelled."""
    from tqdm import tqdm

    from nnssl_plugin.nnunet.environment import check_nnunet, dataset_name, folder_of
    from nnssl_plugin.nnunet.torch_device import torch_device
    from nnssl_plugin.pseudo_labels.dataset_folder import TABLE, PseudoLabelFolder, is_made_already
    from nnssl_plugin.pseudo_labels.ensemble import Ensemble
    from nnssl_plugin.pseudo_labels.teachers import find_teachers
    from nnssl_plugin.pseudo_labels.unlabelled_cases import find_unlabelled
    from nnssl_plugin.runs.device import TRAINERS, Device

    check_nnunet()
    device = torch_device(args.device)
    # Networks of the plugin are found through it.
    os.environ[TRAINERS] = Device().environment()[TRAINERS]
    teachers, taught = find_teachers(args.m)
    cases = find_unlabelled(dataset_name(args.cases_of), teachers, taught)
    final = folder_of("nnUNet_raw") / _name(args.d, teachers[0].dataset)
    made_from = {
        "cases_of": cases.dataset,
        "cases": sorted(cases.images),
        "teachers": [teacher.record() for teacher in teachers],
    }
    for reason, count in cases.left_out.items():
        print(f"{count} cases {reason} are left out")
    if is_made_already(final, made_from, args.overwrite):
        print(f"{final} is already made from these models and cases: nothing to do")
        return 0
    if len(teachers) == 1:
        print("one model: there is no agreement to record")
    folder = PseudoLabelFolder(final, made_from, taught["file_ending"])
    ensemble = Ensemble(teachers, device)
    rows: list[dict[str, Any]] = []
    problems = []
    for case, images in tqdm(sorted(cases.images.items()), desc="pseudo-labels"):
        row = folder.row(case)
        if row is None:
            try:
                prediction = ensemble.predict(images)
            except Exception as error:
                # One odd file costs one case.
                problems.append(f"case {case} is left out: {type(error).__name__}: {error}")
                continue
            row = folder.add(case, cases.patients[case], prediction, ensemble.files)
        rows.append(row)
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    if not rows:
        raise InputError(f"no case of {cases.dataset} could be labelled")
    folder.finish(cases, taught, rows)
    print(f"{final}: pseudo-labels of {len(rows)} cases; {TABLE} says how far each can be trusted")
    print(
        f"next: nnssl_plugin align --pretrain {args.d} --target {teachers[0].dataset[7:10]} -p PLANS, then "
        f"-tr SSLSelfTrainTrainer with plans of finetuning.pseudo_labels={args.d}"
    )
    return 1 if problems else 0


def _name(number: int, labelled: str) -> str:
    if not 1 <= number <= 999:
        raise InputError(f"-d {number}: an id from 1 to 999 is needed")
    from nnssl_plugin.nnunet.environment import folder_of

    name = f"Dataset{number:03d}_{labelled[11:]}PseudoLabels"
    for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        others = [path.name for path in folder_of(variable).glob(f"Dataset{number:03d}_*") if path.name != name]
        if others:
            raise InputError(f"-d {number}: the id is taken by {', '.join(sorted(others))}")
    return name
