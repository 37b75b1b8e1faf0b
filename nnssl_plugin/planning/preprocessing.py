import shutil

from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset
from nnunetv2.experiment_planning.plans_for_pretraining.move_plans_between_datasets import move_plans_between_datasets
from nnunetv2.utilities.dataset_name_id_conversion import convert_dataset_name_to_id

from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.nnunet.plans_file import configuration_of
from nnssl_plugin.planning.alignment import Alignment
from nnssl_plugin.planning.preprocessed_data import conflicts, extra_cases, missing_cases


def preprocess_aligned(alignment: Alignment, identifiers: list[str], processes: int) -> None:
    """Preprocess the folders named `identifiers`, if any, and write the plans file.

    All work is done under another name and moved into place when it is whole, so that a run that dies leaves nothing
    a second run, or nnU-Net, would take for finished.

    Raises:
        RuntimeError: the preprocessed cases are not those of the raw data set.
    """
    name, folder = alignment.plans["plans_name"], alignment.folder
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder_of("nnUNet_raw") / alignment.pretrain
    write_json(read_json(raw / "dataset.json"), folder / "dataset.json")
    if (raw / "splits_final.json").is_file() and not (folder / "splits_final.json").is_file():
        shutil.copy(raw / "splits_final.json", folder / "splits_final.json")

    unfinished = f"{name}_unfinished_alignment"
    try:
        move_plans_between_datasets(alignment.target, alignment.pretrain, name, unfinished)
        temporary = read_json(folder / f"{unfinished}.json")
        plans = {**alignment.plans, "dataset_name": alignment.pretrain}
        plans["image_reader_writer"] = temporary["image_reader_writer"]
        made = {}
        for identifier in identifiers:
            configuration = alignment.configurations[identifier]
            made[identifier] = folder / configuration_of(temporary, configuration)["data_identifier"]
        if made:
            preprocess_dataset(
                convert_dataset_name_to_id(alignment.pretrain),
                unfinished,
                [alignment.configurations[identifier] for identifier in identifiers],
                [processes],
            )
        for path in made.values():
            wrong = missing_cases(alignment, path) + extra_cases(alignment, path)
            if wrong:
                raise RuntimeError(f"nnU-Net did not preprocess the cases of {raw} as they are: {', '.join(wrong)}")

        # First what the new plans would wrongly claim, then the plans, then what they describe.
        for stale in {*conflicts(alignment), *made}:
            if (folder / stale).is_dir():
                shutil.rmtree(folder / stale)
        write_json(plans, folder / f"{name}.json")
        for identifier, path in made.items():
            path.rename(folder / identifier)
    finally:
        for path in folder.glob(f"{unfinished}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
