import os
import shutil
from pathlib import Path

from nnssl_plugin.doctor.finding import Finding
from nnssl_plugin.nnunet.trainers_folder import trainers_folder

TRAINERS = "nnUNet_extTrainer"
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
# Less free space than this is worth a word: a preprocessed cohort of some hundred MR cases takes more.
LITTLE_SPACE = 20e9


def folders() -> list[Finding]:
    """nnU-Net's three folders: named, there, writable, with space; and whether nnU-Net finds the plugin's trainers."""
    return [*(_folder(variable) for variable in FOLDERS), _trainers()]


def _folder(variable: str) -> Finding:
    named = os.environ.get(variable)
    if not named:
        return Finding(variable, "wrong", "not set", f"export {variable}=FOLDER")
    folder = Path(named)
    if not folder.is_dir():
        return Finding(variable, "wrong", f"{folder} is no folder", f'mkdir -p "{folder}"')
    free = shutil.disk_usage(folder).free
    space = f"{folder}, {free / 1e9:.0f} GB free"
    if not os.access(folder, os.W_OK):
        # Raw data may well be read-only.
        state = Finding(variable, "warning", f"{space}, not writable: converters cannot write there")
        return (
            state if variable == "nnUNet_raw" else Finding(variable, "wrong", f"{space}, not writable", "name another")
        )
    if free < LITTLE_SPACE:
        return Finding(variable, "warning", space, "make room or name a folder on another disk")
    return Finding(variable, "ok", space)


def _trainers() -> Finding:
    folder = trainers_folder()
    named = [Path(one) for one in os.environ.get(TRAINERS, "").split(os.pathsep) if one]
    if any(one.is_dir() and one.samefile(folder) for one in named):
        return Finding("trainers", "ok", ", ".join(sorted(path.stem for path in folder.glob("ssl_*.py"))))
    found = f"{TRAINERS} is {os.environ[TRAINERS]}" if named else f"{TRAINERS} is not set"
    mend = f"set {TRAINERS}={folder}" if os.name == "nt" else f'export {TRAINERS}="$(nnssl_plugin trainers)"'
    return Finding("trainers", "wrong", f"{found}: nnUNetv2_train does not find them", mend)
