import pytest
import torch

from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.schedules import Rates, StepSchedule, sawtooth, sawtooth_lengths, warmup, warmup_length


def test_warmup_is_linear_then_nnunets_polynomial() -> None:
    rates = [warmup(epoch, 10, 2) for epoch in range(10)]
    assert [rate.decoder for rate in rates] == pytest.approx(
        [0.5, 1.0, 1.0, *((1 - done / 8) ** 0.9 for done in range(1, 8))]
    )
    assert all(rate.encoder == rate.decoder for rate in rates)
    assert [rate.stage for rate in rates] == ["warm-up"] * 2 + ["whole network"] * 8


def test_sawtooth_of_the_published_length() -> None:
    """25 epochs up, 25 down, 50 of warm-up, then poly, of 1000 (methods.md 6)."""
    lengths = sawtooth_lengths(1000, 0.025, 0.025, 0.05)
    assert lengths == (25, 25, 50)
    rates = [sawtooth(epoch, 1000, *lengths) for epoch in range(1000)]
    assert [rate.encoder for rate in rates[:50]] == [0] * 50, "the encoder is frozen"
    assert rates[0].decoder == pytest.approx(1 / 25)
    assert rates[24].decoder == rates[25].decoder == 1
    assert rates[49].decoder == pytest.approx((1 / 25) ** 0.9)
    assert (rates[50].encoder, rates[50].decoder) == (pytest.approx(1 / 50), pytest.approx(1 / 50))
    assert rates[99] == Rates(1, 1, "warm-up")
    assert rates[100] == Rates(1, 1, "whole network")
    assert rates[999].encoder == pytest.approx((1 / 900) ** 0.9)


def test_short_sawtooth_keeps_every_stage_or_says_that_it_cannot() -> None:
    assert sawtooth_lengths(4, 0.025, 0.025, 0.05) == (1, 1, 1)
    with pytest.raises(InputError, match=r"= 3 steps leave nothing .*\(1\) and down \(1\)"):
        sawtooth_lengths(3, 0.025, 0.025, 0.05)
    with pytest.raises(InputError, match=r"smaller finetuning\.decoder_up_fraction"):
        sawtooth_lengths(100, 0.5, 0.3, 0.2)


def test_warmup_leaves_a_step_at_the_peak() -> None:
    """12 epochs of 50 steps warm up over 30 steps, less than an epoch."""
    assert warmup_length(600, 0.05) == 30
    assert warmup_length(10, 1.0) == 9
    assert warmup_length(1, 0.5) == 0
    assert warmup(9, 10, 9).encoder == 1


def test_schedule_is_a_function_of_the_step_alone() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "name": name} for name in ("encoder", "decoder")]
    optimizer = torch.optim.SGD(groups, lr=1.0)

    def rates_at(step: int) -> dict[str, float]:
        return {"encoder": 0.5 * step, "decoder": 2.0 + step}

    schedule = StepSchedule(optimizer, rates_at, steps_per_epoch=10)
    assert [group["lr"] for group in optimizer.param_groups] == [0, 2]
    for step in (0, 1, 2, 7, 3):
        schedule.set_rates(step)
        assert [group["lr"] for group in optimizer.param_groups] == [0.5 * step, 2.0 + step]
    schedule.step(4)
    assert [group["lr"] for group in optimizer.param_groups] == [20, 42], "the first step of the fifth epoch"
