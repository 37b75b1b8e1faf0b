import pytest
import torch

from nnssl_plugin.pretraining.skipped_steps import (
    SMALLEST_SCALE,
    count_skipped,
    describe_skipped,
    step_if_finite,
    stop_where_most_are_skipped,
)


def weight_and_optimizer() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    weight = torch.nn.Parameter(torch.ones(3))
    return weight, torch.optim.AdamW([weight], 0.1)


def root_at_zero(weight: torch.Tensor) -> torch.Tensor:
    """A finite loss whose gradient is not."""
    return (weight - weight.detach()).abs().sqrt().sum()


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("spoiled", ["loss", "gradient"])
def test_only_finite_steps_change_weights(scaled: bool, spoiled: str) -> None:
    weight, optimizer = weight_and_optimizer()
    scaler = torch.amp.GradScaler("cpu") if scaled else None
    bad = (weight * torch.nan).sum() if spoiled == "loss" else root_at_zero(weight)
    # A scaler meets gradients that are not finite while it looks for its scale.
    assert step_if_finite(bad, optimizer, scaler) == (spoiled == "loss" or not scaled)
    assert torch.equal(weight, torch.ones(3))
    if scaler is not None:
        assert scaler.get_scale() == (65536 if spoiled == "loss" else 32768)
    optimizer.zero_grad()
    assert not step_if_finite(weight.sum(), optimizer, scaler)
    assert (weight < 1).all()


def test_gradients_that_no_scale_makes_finite_are_counted() -> None:
    weight, optimizer = weight_and_optimizer()
    scaler = torch.amp.GradScaler("cpu")
    outputs = []
    for _ in range(20):
        optimizer.zero_grad()
        outputs.append({"skipped": step_if_finite(root_at_zero(weight), optimizer, scaler)})
    # From 65536 to 1 it is sixteen halvings.
    assert scaler.get_scale() == SMALLEST_SCALE
    assert count_skipped(outputs) == (4, {})
    assert torch.equal(weight, torch.ones(3))


def test_culprits_are_counted_and_named() -> None:
    one, zero = torch.ones(()), torch.zeros(())
    outputs = [
        {"loss": one, "skipped": skipped, "skipped/slem": skipped, "skipped/restoration": zero}
        for skipped in (one, zero, one, one)
    ]
    skipped, culprits = count_skipped(outputs)
    assert (skipped, culprits) == (3, {"slem": 3})
    assert describe_skipped(skipped, 4, culprits) == "3 of 4 steps: loss or gradient was not finite (slem in 3)"


def test_a_run_ends_where_more_than_half_is_skipped() -> None:
    stop_where_most_are_skipped(2, 4, {}, 7, None)
    with pytest.raises(RuntimeError, match=r"epoch 7, 3 of 4 .*; no checkpoint was written\. Lower .*initial_lr$"):
        stop_where_most_are_skipped(3, 4, {}, 7, None)
    with pytest.raises(
        RuntimeError, match=r"; best\.pth is from before\. .* set pretraining\.objectives\.slem\.weight=0$"
    ):
        stop_where_most_are_skipped(3, 4, {"slem": 3}, 7, "best.pth")
