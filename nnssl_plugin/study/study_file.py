"""A study file, read and checked; every mistake is named with its line."""

import difflib
from pathlib import Path

from pydantic import ValidationError

from nnssl_plugin.errors import InputError
from nnssl_plugin.study.consistency import Location, inconsistencies
from nnssl_plugin.study.declaration import SECTIONS, Study
from nnssl_plugin.study.yaml_lines import Document


class StudyFile:
    """A study file. `study`: what it declares.

    Raises:
        InputError: it cannot be read, an entry is unknown (the message names the nearest), of another type, contradicts
            another or makes the comparison invalid.
    """

    def __init__(self, path: Path) -> None:
        self.document = Document(path)
        if not isinstance(self.document.content, dict):
            raise InputError(f"{path} is not a study file: it holds no 'key: value' lines")
        try:
            self.study = Study.model_validate(self.document.content)
        except ValidationError as error:
            problems = [
                (problem["loc"], _explain(problem["loc"], problem["type"], problem["msg"]))
                for problem in error.errors()
            ]
            raise self.error(*problems) from None
        if problems := inconsistencies(self.study):
            raise self.error(*problems)

    def error(self, *problems: tuple[Location, str]) -> InputError:
        """Of mistakes at places of the file."""
        return InputError(
            "\n".join(
                f"{self.document.path}, line {self.document.line_of(location)}: {_place(location)}{message}"
                for location, message in problems
            )
        )


def _place(location: Location) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""


def _explain(location: Location, kind: str, message: str) -> str:
    if kind != "extra_forbidden":
        return message.removeprefix("Value error, ")
    section = SECTIONS[str(location[0])] if len(location) > 1 else Study
    known = [field.alias or name for name, field in section.model_fields.items()]
    nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.0)
    return f"unknown entry; the nearest known one is {nearest[0]!r}"
