from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.cohort import gather_cohort
from nnssl_plugin.data.supervoxels import with_supervoxels
from nnssl_plugin.pretraining.active_objectives import check_cohort
from nnssl_plugin.pretraining.run import PretrainingRun


def cohort_of_run(
    run: PretrainingRun,
    dataset_json: Mapping[str, Any],
    split: tuple[Sequence[str], Sequence[str]],
    say: Callable[[str], None],
    rank: int,
    world: int,
) -> list[CaseRecord]:
    """The cases of a run, with what its objectives need of them.

    Args:
        run: that draws from them.
        dataset_json: of the data set of its plans.
        split: training and validation cases of the fold.
        say: prints a line.
        rank: of this process.
        world: number of processes.

    Raises:
        InputError: as `gather_cohort` and `check_cohort`.
    """
    data, datasets = run.configuration.data_identifier, run.settings.datasets
    records = gather_cohort(dict(run.plans), data, dataset_json, *split, datasets, say, rank, world)
    check_cohort(run.active, records)
    edge = max(need.supervoxels for need in run.needs.values())
    return with_supervoxels(records, edge, run.configuration.spacing, rank, world) if edge else records
