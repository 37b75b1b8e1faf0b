"""Cases whose files cannot be trusted to be there, found before anything is read."""

from dataclasses import replace

from nnssl_plugin.conversion.case import Case, Findings, Problems
from nnssl_plugin.conversion.case_names import problems_of_names
from nnssl_plugin.conversion.work_folder import source_state


def without_unreadable(found: Findings) -> Findings:
    """Findings whose cases have usable names and files that are there; the others are among the problems."""
    problems: Problems = problems_of_names(found.cases)
    for case in found.cases:
        if case.name not in problems and (lines := _unreadable(case)):
            problems[case.name] = lines
    cases = [case for case in found.cases if case.name not in problems]
    return replace(found, cases=cases, problems={**found.problems, **problems})


def _unreadable(case: Case) -> list[str]:
    try:
        files = ((role, file) for role, scan in case.scans.items() for file in scan.files if not file.exists())
        if lines := [f"{role}: {file} is a link to nothing; repair or remove it" for role, file in files]:
            return lines
        source_state(case)
    except OSError as error:
        return [f"cannot be read: {error}"]
    return []
