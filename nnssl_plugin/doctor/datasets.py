import os
from pathlib import Path

from nnssl_plugin.doctor.finding import Finding
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import channel_names, is_pseudo_labelled, is_unlabelled


def datasets() -> list[Finding]:
    """Every data set that is there: raw, planned, preprocessed, and the command that comes next."""
    places = [Path(os.environ.get(variable) or "/nowhere") for variable in ("nnUNet_raw", "nnUNet_preprocessed")]
    names = sorted({path.name for place in places if place.is_dir() for path in place.glob("Dataset[0-9][0-9][0-9]_*")})
    return [_dataset(name, *places) for name in names]


def _dataset(name: str, raw: Path, preprocessed: Path) -> Finding:
    number = int(name[7:10])
    described = next(
        (file for place in (preprocessed, raw) if (file := place / name / "dataset.json").is_file()),
        None,
    )
    if described is None:
        return Finding(
            name, "wrong", "no dataset.json", "convert it again, or write one as nnU-Net's documentation says"
        )
    try:
        content = read_json(described)
    except (InputError, ValueError) as error:
        return Finding(name, "wrong", str(error), "convert it again")
    kind = "unlabelled" if is_unlabelled(content) else "pseudo-labelled" if is_pseudo_labelled(content) else "labelled"
    text = f"{content.get('numTraining', '?')} cases, {kind}, {' '.join(channel_names(content))}"
    plan = f"nnUNetv2_plan_and_preprocess -d {number}"
    plans = sorted(path.stem for path in (preprocessed / name).glob("*.json") if "plans_name" in read_json(path))
    if not plans:
        return Finding(name, "warning", f"{text}; not planned", plan)
    done = {
        folder.name: len([file for file in folder.glob("*.b2nd") if not file.stem.endswith("_seg")])
        for folder in sorted((preprocessed / name).glob("*_*"))
        if folder.is_dir() and any(folder.glob("*.b2nd"))
    }
    text += f"; plans {', '.join(plans)}"
    if not done:
        return Finding(
            name, "warning", f"{text}; not preprocessed", f"nnUNetv2_preprocess -d {number} -plans_name {plans[0]}"
        )
    text += "; preprocessed " + ", ".join(f"{folder} ({cases})" for folder, cases in done.items())
    short = [folder for folder, cases in done.items() if cases < int(content.get("numTraining", 0))]
    if short:
        return Finding(name, "wrong", f"{text}; cases are missing in {', '.join(short)}", plan)
    return Finding(name, "ok", text)
