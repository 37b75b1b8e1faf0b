"""What processes send each other in a step, estimated from the sizes of the network and of what is gathered."""

from typing import Any

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from benchmarks.problem import CONFIGURATION, Problem, plans_of
from benchmarks.table import Row

PROCESSES = (8, 16, 32, 64, 128, 256, 512)
SINGLE = 4
# Bytes a second that a GPU sends over its network card; 400 Gbit/s, of which collectives see about half.
RATE = 25e9


def estimate_communication(problem: Problem, residual: bool) -> list[Row]:
    """A row for each number of processes, of one patch each."""
    from nnssl_plugin.objectives.contrastive import CrossModalContrast
    from nnssl_plugin.objectives.local_contrastive import LocalContrast
    from nnssl_plugin.objectives.local_info_nce import places_of_each

    kind = "residual encoder" if residual else "plain"
    network = _network(problem, residual)
    gradients = SINGLE * sum(parameter.numel() for parameter in network.parameters())
    contrast, local = CrossModalContrast.Settings(), LocalContrast.Settings()
    widths = network.encoder.output_channels
    # Two views: embeddings with gradients, which come back once more, and representations.
    embeddings = 2 * SINGLE * (2 * contrast.embedding_size + widths[-1])
    places = sum(2 * SINGLE * local.locations * (2 * local.embedding_size + widths[-1 - d]) for d in local.depths)
    rows = []
    for count in PROCESSES:
        ring = 2 * (count - 1) / count * gradients
        others = count * places_of_each(count, local.locations, local.negatives)
        similarities = 2 * SINGLE * count * local.locations * (local.locations + others)
        value = (
            f"gradients {ring / 1e6:.0f} MB sent by each, {1e3 * ring / RATE:.0f} ms at {RATE / 1e9:.0f} GB/s; contrast "
            f"{count * embeddings / 1e6:.2f} MB; local contrast {count * places / 1e6:.0f} MB, similarities of "
            f"{similarities / 1e9:.2f} GB"
        )
        rows.append(Row(f"communication, {kind}, estimated", f"{count} GPUs", value))
    return rows


def _network(problem: Problem, residual: bool) -> Any:
    architecture = plans_of(problem, "size", residual, {})["configurations"][CONFIGURATION]["architecture"]
    return get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        problem.modalities,
        2,
        deep_supervision=False,
    )
