"""Phantom x-rays with a disc in one of nine fields, which the report names: does stage two select that field?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from sklearn.metrics import roc_auc_score
from torch import nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.objectives.objective import Features, NetworkShape
from nnssl_plugin.objectives.region_contrast import RegionContrast, RegionContrastSettings
from nnssl_plugin.objectives.report_contrast import ReportContrast, ReportContrastSettings
from nnssl_plugin.objectives.stage_one import take_heads
from nnssl_plugin.text.text_encoder import TextSettings
from tests.batches import side_data

SIZE, POSITIONS = 48, 12
ROWS, COLUMNS = ("upper", "middle", "lower"), ("right", "central", "left")
FEATURES = (8, 16, 32)
WORDS = TextSettings(context=32)


def finding(field: int) -> str:
    return f"round opacity in the {ROWS[field // 3]} {COLUMNS[field % 3]} field"


def report(field: int) -> str:
    return f"Frontal view. There is a {finding(field)}. No effusion."


def phantom(field: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An x-ray `[SIZE, SIZE]` and its foreground: a body with ribs, two dark lungs and noise, and the disc."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    body = ((x - 0.5) / 0.5) ** 2 + ((y - 0.5) / 0.5) ** 2 < 1.25
    image = 1.0 + 0.3 * np.sin(y * 40 + generator.uniform(0, 6)) * (np.abs(x - 0.5) > 0.1)
    for side in (0.28, 0.72):
        image -= 1.2 * (((x - side) / 0.16) ** 2 + ((y - 0.5) / generator.uniform(0.32, 0.42)) ** 2 < 1)
    centre = [(place + 0.5) / 3 + generator.uniform(-0.06, 0.06) for place in divmod(field, 3)]
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < generator.uniform(0.06, 0.08) ** 2
    image += generator.uniform(1.5, 2.2) * inside
    image = (image + generator.normal(0, 0.3, image.shape)) * body
    return (image - image.mean()) / image.std(), body


def batch_of(fields: list[int], generator: np.random.Generator) -> PretrainingBatch:
    pairs = [phantom(field, generator) for field in fields]
    said = side_data([report(field) for field in fields])
    return PretrainingBatch(
        images={"augmented": torch.from_numpy(np.stack([image for image, _ in pairs]))[:, None].float()},
        foreground=torch.from_numpy(np.stack([body for _, body in pairs]))[:, None],
        present=torch.ones(len(fields), 1, dtype=torch.bool),
        patient=torch.arange(len(fields)),
        side_data={"report_contrast": said, "region_contrast": said},
    )


@dataclass
class Trained:
    network: Any
    objective: Any


def train(objective: Any, steps: int, rate: float, start: Trained | None = None, seed: int = 0) -> Trained:
    """Train on phantoms that never come back, 16 a step; with the network and heads of `start`."""
    torch.manual_seed(seed)
    # A small receptive field: a position knows what is near it.
    network = PlainConvUNet(
        1, 3, FEATURES, nn.Conv2d, 3, [1, 2, 2], 1, 2, [1, 1], True, nn.InstanceNorm2d, {"eps": 1e-5, "affine": True},
        None, None, nn.LeakyReLU, {"inplace": True},
    )  # fmt: skip
    objective.text.learn([report(field) for field in range(9)])
    if start is not None:
        network.load_state_dict(start.network.state_dict())
        take_heads(objective, start.objective.state_dict(), "stage one")
    optimizer = torch.optim.AdamW([*network.encoder.parameters(), *objective.parameters()], rate)
    generator, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 20) * (1 - step / steps) ** 0.9
        batch = batch_of(generator.integers(0, 9, 16).tolist(), generator)
        views = objective.draw_views(batch, draws)
        features = Features(encoder_features(network, views.images["image"]))
        optimizer.zero_grad()
        objective({"image": features}, views, batch).loss.backward()
        optimizer.step()
    return Trained(network.eval(), objective.eval())


@torch.no_grad()
def judged(trained: Trained) -> tuple[float, float]:
    """On new phantoms: share of the selected regions that lie in the named field; mean AUC of the nine findings by prompts."""
    fields = np.repeat(np.arange(9), 20)
    batch = batch_of(fields.tolist(), np.random.default_rng(1000))
    objective = trained.objective
    views = objective.draw_views(batch, torch.Generator().manual_seed(1))
    features = Features(encoder_features(trained.network, views.images["image"]))
    images, selection = objective.look(features, batch.foreground, views.targets.get("noise of image"))
    row, column = np.divmod(np.arange(POSITIONS**2), POSITIONS)
    of_position = torch.from_numpy(row * 3 // POSITIONS * 3 + column * 3 // POSITIONS)
    right = selection.chosen & (of_position[None] == torch.from_numpy(fields)[:, None])
    texts = objective.read(*objective.text.tokenize([finding(field) for field in range(9)]))
    logits = objective.logits(images, texts)
    # A finding against the same in the other fields.
    evidence = (logits - (logits.sum(dim=1, keepdim=True) - logits) / 8).numpy()
    auc = np.mean([roc_auc_score(fields == field, evidence[:, field]) for field in range(9)])
    return float(right.sum() / selection.chosen.sum()), float(auc)


@pytest.mark.slow
def test_the_named_field_is_selected_and_recognised() -> None:
    shape = NetworkShape(("xray",), (SIZE, SIZE), (POSITIONS, POSITIONS), FEATURES)
    torch.manual_seed(0)
    first = train(ReportContrast(ReportContrastSettings(1.0, text=WORDS), shape), 300, 2e-3)
    found = {}
    for selection in ("learned", "random"):
        settings = RegionContrastSettings(1.0, selection=selection, regions=3, text=WORDS)
        found[selection] = judged(train(RegionContrast(settings, shape), 300, 1e-3, first))
    print(found)
    hit, auc = found["learned"]
    assert hit >= 0.9, found
    assert auc >= 0.95, found
    # The control: one field of nine is hit by chance, and what the regions do not show is not recognised.
    hit, auc = found["random"]
    assert hit < 0.2, found
    assert auc < 0.9, found
