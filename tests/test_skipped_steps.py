import pytest
import torch

from nnssl_plugin.pretraining.optimizer import adamw
from nnssl_plugin.pretraining.skipped_steps import (
    SMALLEST_SCALE,
    count_skipped,
    describe_skipped,
    gradient_scaler,
    step_if_finite,
    stop_where_most_are_skipped,
)


def weight_and_optimizer() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    weight = torch.nn.Parameter(torch.ones(3))
    return weight, adamw([weight], 0.1, weight_decay=0.01)


def root_at_zero(weight: torch.Tensor) -> torch.Tensor:
    """A finite loss whose gradient is not."""
    return (weight - weight.detach()).abs().sqrt().sum()


BAD_LOSSES = {
    "loss and gradient": lambda weight: (weight * torch.nan).sum(),
    "loss alone": lambda weight: weight.sum() + torch.inf,
}


def scaler_of(scaled: bool) -> torch.amp.GradScaler:
    """As on a GPU, or as on the CPU."""
    return torch.amp.GradScaler("cpu") if scaled else gradient_scaler(torch.device("cpu"))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("spoiled", [*BAD_LOSSES, "gradient alone"])
def test_only_finite_steps_change_weights(scaled: bool, spoiled: str) -> None:
    weight, optimizer = weight_and_optimizer()
    scaler = scaler_of(scaled)
    bad_loss = spoiled in BAD_LOSSES
    bad = BAD_LOSSES[spoiled](weight) if bad_loss else root_at_zero(weight)
    # A scaler meets gradients that are not finite while it looks for its scale.
    assert step_if_finite(bad, optimizer, scaler) == float(bad_loss or not scaled)
    assert torch.equal(weight, torch.ones(3))
    # The scale has no part in a loss that is not finite.
    assert scaler.get_scale() == (1 if not scaled else 65536 if bad_loss else 32768)
    optimizer.zero_grad()
    assert step_if_finite(weight.sum(), optimizer, scaler) == 0
    # The first step of AdamW that changes anything is one of the learning rate: nothing was left in its moments.
    torch.testing.assert_close(weight, torch.full((3,), 1 - 0.1), rtol=1e-4, atol=1e-4)
    assert optimizer.state[weight]["step"] == 1


@pytest.mark.parametrize("scaled", [False, True])
def test_gradients_are_clipped_unscaled(scaled: bool) -> None:
    weight, optimizer = weight_and_optimizer()
    step_if_finite((weight * torch.tensor([300.0, 400, 0])).sum(), optimizer, scaler_of(scaled))
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.tensor([7.2, 9.6, 0]))


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
