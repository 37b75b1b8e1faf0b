import json
from pathlib import Path

import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.metrics_version import METRICS_VERSION, refuse_mixed_versions
from nnssl_plugin.study.render import render

OLD, NEW = Path("old.json"), Path("new.json")


def test_results_of_one_version_are_comparable() -> None:
    refuse_mixed_versions({})
    refuse_mixed_versions({OLD: {}, NEW: {}})
    refuse_mixed_versions({OLD: {"metrics_version": METRICS_VERSION}, NEW: {"metrics_version": METRICS_VERSION}})


@pytest.mark.parametrize("old", [{}, {"metrics_version": 1}, {"metrics_version": METRICS_VERSION + 1}])
def test_what_is_not_of_this_version_is_named(old: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"evaluate` again on the predictions of old\.json$"):
        refuse_mixed_versions({NEW: {"metrics_version": METRICS_VERSION}, OLD: old})


def test_a_study_that_went_on_with_a_newer_version_is_refused(tmp_path: Path) -> None:
    names = ("first", "second")
    for name, version in zip(names, ({}, {"metrics_version": METRICS_VERSION}), strict=True):
        for folder, content in (("runs", {"state": "finished"}), ("evaluation", {"cases": {}, **version})):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.json").write_text(json.dumps(content))
    study = {"name": "s", "scored": "", "runs": [{"name": name, "labels": "3"} for name in names], "controls": {}}
    (tmp_path / "study.json").write_text(json.dumps(study))
    with pytest.raises(InputError, match=r"predictions of \S*evaluation/first\.json$"):
        render(tmp_path)
    assert not (tmp_path / "report.html").exists()
