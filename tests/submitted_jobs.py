"""Things for jobs to do, which leave a trace; and a Slurm of shell scripts that runs them on this machine at once."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from nnssl_plugin.errors import RunError


@dataclass
class Trace:
    """Appends `text` to a file; what else it does depends on how often it was done before."""

    file: Path
    text: str = "done"
    ends: str = ""

    def __call__(self) -> None:
        before = self.file.read_text().splitlines() if self.file.exists() else []
        with self.file.open("a") as file:
            file.write(f"{self.text}\n")
        if self.ends == "fails":
            raise RunError("the training failed")
        if self.ends == "waits":
            time.sleep(300)
        if before:
            return
        if self.ends == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.ends == "preempted":
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(300)


SBATCH = """#!/bin/bash
echo $$ >> "{here}/submitted"
id=$(wc -l < "{here}/submitted")
grep -E "^#SBATCH" "${{@: -1}}" >> "{here}/asked"
SLURM_JOB_ID=$id nohup bash "${{@: -1}}" > "{here}/out" 2>&1 &
echo $! > "{here}/pid.$id"
echo "Submitted batch job $id"
"""
SRUN = """#!/bin/bash
while [[ "$1" == -* ]]; do
    [[ "$1" == --output || "$1" == --error ]] && shift
    shift
done
exec "$@"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
for file in {here}/pid.*; do
    state=COMPLETED
    kill -0 "$(cat "$file")" 2> /dev/null && state=RUNNING
    [ -f "{here}/cancelled.${{file##*.}}" ] && state="CANCELLED by 1"
    echo "${{file##*.}}|$state|here"
done
"""
SCANCEL = """#!/bin/bash
touch "{here}/cancelled.$1"
pkill -KILL -P "$(cat "{here}/pid.$1")"
exit 0
"""


def write_slurm(folder: Path) -> Path:
    """Write the scripts; returns the folder that must be in PATH."""
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", SCANCEL)):
        (folder / name).write_text(text.format(here=folder) if "{here}" in text else text)
        (folder / name).chmod(0o755)
    return folder
