"""Phantom x-rays with a disc in one of nine fields, which the report names."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.objectives.objective import Features, NetworkShape
from nnssl_plugin.objectives.region_contrast import NAME, RegionContrast
from nnssl_plugin.objectives.stage_one import take_heads
from tests.batches import side_data

SIZE = 48
ROWS, COLUMNS = ("upper", "middle", "lower"), ("right", "central", "left")
FIELDS = [(row, column) for row in range(3) for column in range(3)]


def finding(field: int) -> str:
    row, column = FIELDS[field]
    return f"round opacity in the {ROWS[row]} {COLUMNS[column]} field"


def report(field: int) -> str:
    return f"Frontal view. There is a {finding(field)}. No effusion."


def phantom(field: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An x-ray `[SIZE, SIZE]` and its foreground: a body with two dark lungs, ribs and noise, and the disc."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    body = ((x - 0.5) / 0.5) ** 2 + ((y - 0.5) / 0.5) ** 2 < 1.25
    image = 1.0 + 0.3 * np.sin(y * 40 + generator.uniform(0, 6)) * (np.abs(x - 0.5) > 0.1)
    for side in (0.28, 0.72):
        image -= 1.2 * (((x - side) / 0.16) ** 2 + ((y - 0.5) / generator.uniform(0.32, 0.42)) ** 2 < 1)
    row, column = FIELDS[field]
    centre = [(place + 0.5) / 3 + generator.uniform(-0.06, 0.06) for place in (row, column)]
    image += generator.uniform(1.5, 2.2) * (
        (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < generator.uniform(0.06, 0.08) ** 2
    )
    image = (image + generator.normal(0, 0.3, image.shape)) * body
    return (image - image.mean()) / image.std(), body


def batch_of(fields: list[int], generator: np.random.Generator) -> PretrainingBatch:
    pairs = [phantom(field, generator) for field in fields]
    count = len(fields)
    return PretrainingBatch(
        images={"augmented": torch.from_numpy(np.stack([image for image, _ in pairs]))[:, None].float()},
        foreground=torch.from_numpy(np.stack([body for _, body in pairs]))[:, None],
        present=torch.ones(count, 1, dtype=torch.bool),
        patient=torch.arange(count),
        side_data={name: side_data([report(field) for field in fields]) for name in ("report_contrast", NAME)},
    )


@dataclass
class Trained:
    network: nn.Module
    objective: RegionContrast

    def look(self, batch: PretrainingBatch, seed: int = 0) -> Any:
        views = self.objective.draw_views(batch, torch.Generator().manual_seed(seed))
        features = Features(encoder_features(self.network, views.images["image"]))
        return self.objective.look(features, batch.foreground, views.targets.get("noise"))


def train(
    task, settings: Any, steps: int, seed: int = 0, patients: int = 16, rate: float = 2e-3, start=None
) -> Trained:
    torch.manual_seed(seed)
    features = (8, 16, 32)
    network = PlainConvUNet(
        1, 3, features, nn.Conv2d, 3, [1, 2, 2], 1, 2, [1, 1], True, nn.InstanceNorm2d, {"eps": 1e-5, "affine": True},
        None, None, nn.LeakyReLU, {"inplace": True},
    )  # fmt: skip
    objective = task(settings, NetworkShape(("xray",), (SIZE, SIZE), (12, 12), features))
    if start:
        network.load_state_dict(start.network.state_dict())
        take_heads(objective, start.objective.state_dict(), "")
    objective.text.learn([report(field) for field in range(9)])
    optimizer = torch.optim.AdamW([*network.encoder.parameters(), *objective.parameters()], rate)
    generator, views_generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 20) * (1 - step / steps) ** 0.9
        batch = batch_of(generator.integers(0, 9, patients).tolist(), generator)
        views = objective.draw_views(batch, views_generator)
        encoded = {"image": Features(encoder_features(network, views.images["image"]))}
        result = objective(encoded, views, batch)
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        if step % 25 == 24:
            print(
                step + 1,
                float(result.loss.detach()),
                {k: round(float(v), 3) for k, v in {**result.parts, **result.metrics}.items()},
                flush=True,
            )
    return Trained(network.eval(), objective.eval())


@torch.no_grad()
def judged(trained: Trained, each: int = 20) -> tuple[float, float]:
    """Share of selected regions that lie in the named field; mean AUC of the nine findings by prompts."""
    from sklearn.metrics import roc_auc_score

    fields = np.repeat(np.arange(9), each)
    batch = batch_of(fields.tolist(), np.random.default_rng(1000))
    images, selection = trained.look(batch)
    edge = round(selection.chosen.shape[1] ** 0.5)
    row, column = (np.arange(edge**2) // edge * 3 // edge, np.arange(edge**2) % edge * 3 // edge)
    of_position = torch.from_numpy(row * 3 + column)
    right = (of_position[None] == torch.from_numpy(fields)[:, None]) & selection.chosen
    hit = float(right.sum() / selection.chosen.sum())
    logits = trained.objective.logits(
        images, trained.objective.read(*trained.objective.text.tokenize([finding(f) for f in range(9)]))
    )
    aucs = []
    for field in range(9):
        others = logits[:, [other for other in range(9) if other != field]].mean(dim=1)
        aucs.append(roc_auc_score(fields == field, (logits[:, field] - others).numpy()))
    return hit, float(np.mean(aucs))
