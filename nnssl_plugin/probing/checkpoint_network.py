from collections.abc import Sequence
from pathlib import Path

from torch import nn

from nnssl_plugin.errors import InputError
from nnssl_plugin.export.channels import canonical_name
from nnssl_plugin.export.source import read_source
from nnssl_plugin.export.target_network import TargetNetwork
from nnssl_plugin.export.topology import transfer


def checkpoint_network(file: Path, target: TargetNetwork) -> nn.Module:
    """The network of the plans with the encoder of a checkpoint, whole, or not at all.

    Args:
        file: checkpoint of this plugin or of nnU-Net, or an export.
        target: whose plans describe the network.

    Raises:
        InputError: it cannot be read, or its channels or its encoder are not those of the plans.
    """
    source = read_source(file)
    if [canonical_name(name) for name in source.channels] != [canonical_name(name) for name in target.channels]:
        raise InputError(
            f"{file} was trained on the channels {', '.join(source.channels)}, {target.dataset} has "
            f"{', '.join(target.channels)}: {_advice(file, target)}"
        )
    network = target.fresh_network()
    try:
        layers = transfer(source.weights, network, list(range(len(target.channels))))
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    new = [layer for layer in layers if not layer.transferred and layer.name.startswith(("encoder.", "fusion"))]
    if new:
        raise InputError(
            f"{file} lacks {len(new)} layers of the encoder that {target.plans['plans_name']} describes, first "
            f"{new[0].name} ({new[0].note}): give the plans it was trained with (-p), or {_advice(file, target)}"
        )
    return network


def _advice(file: Path, target: TargetNetwork) -> str:
    return (
        f"adapt it first with nnssl_plugin export {file} --to-dataset {target.dataset[7:10]} "
        f"-p {target.plans['plans_name']} -c {target.configuration} -o FILE, and probe that FILE"
    )


def titles(files: Sequence[Path]) -> dict[str, Path]:
    """A short name for each checkpoint: the parts of its path that differ from the others'.

    Raises:
        InputError: a file is given twice.
    """
    parts = [file.absolute().with_suffix("").parts for file in files]
    if len(set(parts)) < len(parts):
        raise InputError("the same checkpoint is given twice")
    if len(parts) == 1:
        return {files[0].stem: files[0]}
    length = min(map(len, parts))
    differing = [i for i in range(-length, 0) if len({one[i] for one in parts}) > 1]
    return {"/".join(one[i] for i in differing): file for one, file in zip(parts, files, strict=True)}
