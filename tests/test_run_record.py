from dataclasses import asdict
from typing import Any

import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.settings import PretrainingSettings
from nnssl_plugin.training.run_record import RECORD, refuse_other_settings


def record(**changes: Any) -> dict[str, Any]:
    return {RECORD: {**asdict(PretrainingSettings()), "training cases": "hash", **changes}}


def test_a_run_is_resumed_with_its_own_settings_only() -> None:
    refuse_other_settings("latest.pth", record(), PretrainingSettings())
    with pytest.raises(InputError, match=r"latest\.pth was made with other settings \(epochs\)"):
        refuse_other_settings("latest.pth", record(epochs=7), PretrainingSettings())


def test_a_setting_that_came_with_a_later_version_has_its_default() -> None:
    older = record()
    del older[RECORD]["denormalization"]["statistics"], older[RECORD]["objectives"]["local_contrastive"]
    refuse_other_settings("latest.pth", older, PretrainingSettings())
    older[RECORD]["denormalization"]["mode"] = "moments"
    with pytest.raises(InputError, match=r"\(denormalization\.mode\)"):
        refuse_other_settings("latest.pth", older, PretrainingSettings())
