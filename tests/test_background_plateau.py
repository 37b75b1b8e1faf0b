import numpy as np
import pytest

from nnssl_plugin.finetuning.background_plateau import plateau, predicted_foreground


def step(tp: list[int], fp: list[int], fn: list[int]) -> dict[str, np.ndarray]:
    return {"tp_hard": np.array(tp), "fp_hard": np.array(fp), "fn_hard": np.array(fn)}


def test_share_counts_classes_and_steps_together() -> None:
    outputs = [step([3, 1], [2, 0], [1, 9]), step([0, 0], [4, 0], [6, 0])]
    # predicted: 3 + 1 + 2 + 0 + 4; reference: 3 + 1 + 1 + 9 + 6
    assert predicted_foreground(outputs, is_ddp=False) == pytest.approx(10 / 20)
    assert predicted_foreground([step([0], [0], [50])], is_ddp=False) == 0
    assert np.isnan(predicted_foreground([step([0], [7], [0])], is_ddp=False)), "nothing to compare with"


def test_plateau_is_the_epochs_without_foreground() -> None:
    assert plateau([2.0, 0.0, 0.009, 0.5, float("nan"), 0.0, 0.01]) == [1, 2, 5]
