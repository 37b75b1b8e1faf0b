"""What the DICOM headers of CHAOS say in addition to its folders."""

from collections.abc import Sequence

from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.dicom import DicomFolder
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.dicom_series import ECHO_TIME_MS, FRAME_OF_REFERENCE, MACHINE, read_slices
from nnssl_plugin.images.image_file import ORIGIN_TOLERANCE_MM

IN_PHASE, OUT_OF_PHASE, T2 = "T1in", "T1out", "T2SPIR"


def contradictions(case: Case) -> list[str]:
    """What the headers say against the folders: phases of one echo, sequences of different physical spaces."""
    found = []
    try:
        if absent := [str(scan) for scan in case.images.values() if not scan.files]:
            return [f"there is no slice in {', '.join(absent)}"]
        tags = {role: read_slices(scan.files)[0].tags for role, scan in case.images.items()}
    except InputError as error:
        return [str(error)]
    # As in `check_case`: an odd file costs its case.
    except Exception as error:
        return [f"its headers cannot be read ({type(error).__name__}: {error})"]
    if others := {role: machine for role in tags if (machine := tags[role].get(MACHINE, "MR")) != "MR"}:
        return [f"{role}: its slices are {machine}, not MR" for role, machine in others.items()]
    echoes = {role: tags[role].get(ECHO_TIME_MS) for role in (IN_PHASE, OUT_OF_PHASE) if role in tags}
    if len(echoes) == 2 and len(set(echoes.values())) == 1 and None not in echoes.values():
        found.append(f"InPhase and OutPhase have the same echo time, {echoes[IN_PHASE]} ms: one series twice?")
    spaces = {role: space for role in tags if (space := tags[role].get(FRAME_OF_REFERENCE))}
    if T2 in spaces and spaces[T2] != spaces.get(IN_PHASE, spaces[T2]):
        found.append(
            "T2SPIR and T1DUAL have different frames of reference in their headers: not one physical space. Use --t2-id"
        )
    return found


def shifts_by_rounding(cases: Sequence[Case]) -> list[str]:
    """What was taken for rounding between the phases of one acquisition, whose grid is one."""
    series = {case.name: case.images.get(OUT_OF_PHASE) for case in cases}
    shifts = {
        name: shift
        for name, phase in series.items()
        if isinstance(phase, DicomFolder) and (shift := phase.shift_mm()) and shift > ORIGIN_TOLERANCE_MM
    }
    if not shifts:
        return []
    name = max(shifts, key=lambda case: shifts[case])
    return [
        f"out of phase moved onto the grid of in phase, one acquisition: {len(shifts)} cases, by up to {shifts[name]:.3g} mm "
        f"({name})"
    ]
