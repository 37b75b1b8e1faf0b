from dataclasses import dataclass

from nnssl_plugin.conversion.class_table import TableOptions


@dataclass(frozen=True)
class ConversionOptions:
    """Where a conversion goes and how.

    Attributes:
        dataset_id: of the data set.
        name: None for the converter's own.
        unlabelled_id: data set of the unlabelled cases of a folder that has labelled ones too.
        overwrite: replace data sets of the same ids and names.
        copy: copy files instead of listing them where they lie.
        strict: write nothing if any case would have to be left out.
        resample_to: modality on whose grid the others are resampled; None to leave out cases of several grids.
        table: says something of each case; None if there is none.
        smallest_overlap: share of that grid's voxels that a resampled scan must cover.
    """

    dataset_id: int
    name: str | None = None
    unlabelled_id: int | None = None
    overwrite: bool = False
    copy: bool = False
    strict: bool = False
    resample_to: str | None = None
    smallest_overlap: float = 0.0
    table: TableOptions | None = None
