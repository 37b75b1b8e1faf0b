"""What the converters write into `dataset.json` beyond nnU-Net's own keys, and how it is read back.

```
"nnssl_plugin": {"unlabelled": false,
                 "cases": {"CASE": {"patient": "PATIENT", "patient_known": true, "missing": ["T1c"],
                                    "background": {"T1": 0.0}, "content": {"T1": "5f…"}}}}
```

`patient_known`: whether somebody said whose the case is (the user, or the challenge by its names); if not, the case counts as
a patient of its own. `background`: the value of an image's constant background before nnU-Net's z-score, which may move it
off 0; null where there is none. `content`: a hash of the voxel values of each image. `table` (column → text) and `files`
(name → path, absolute or below the raw data set), where there are any, belong to the case. Of a challenge's data there are
also `convention` and, for values that were recoded, `published_values`.
"""

from collections.abc import Mapping
from typing import Any

KEY = "nnssl_plugin"
# Holds what pseudo-labels were made from; only in data sets of pseudo-labels.
PSEUDO_LABELLED = "pseudo_labelled"
# What nnU-Net needs to use a model.
SHAREABLE = (
    "channel_names",
    "modality",
    "labels",
    "regions_class_order",
    "file_ending",
    "overwrite_image_reader_writer",
    "numTraining",
)


def channel_names(dataset_json: Mapping[str, Any]) -> list[str]:
    """Modality names in channel order (`channel_names`, or `modality` in old files)."""
    names = dataset_json.get("channel_names", dataset_json.get("modality", {}))
    return [str(names[key]) for key in sorted(names, key=int)]


def is_unlabelled(dataset_json: Mapping[str, Any]) -> bool:
    """Whether the labels of the data set are placeholders."""
    return bool(dataset_json.get(KEY, {}).get("unlabelled", False))


def is_pseudo_labelled(dataset_json: Mapping[str, Any]) -> bool:
    """Whether the labels of the data set are predictions of models (`nnssl_plugin pseudo-label`)."""
    return bool(dataset_json.get(KEY, {}).get(PSEUDO_LABELLED))


def patient_of(dataset_json: Mapping[str, Any], case: str) -> str:
    """Patient of a case; a case of a data set from elsewhere is its own patient."""
    return str(_entry(dataset_json, case).get("patient", case))


def is_patient_known(dataset_json: Mapping[str, Any], case: str) -> bool:
    """Whether somebody said whose the case is, so that the same name in another data set is the same patient.

    Version 0.2.0 did not record it: there, a patient called otherwise than the case was said, and so were those of the
    challenges' converters.
    """
    entry = _entry(dataset_json, case)
    if "patient_known" in entry:
        return bool(entry["patient_known"])
    by_names = dataset_json.get("converted_by") in ("nnssl_plugin convert brats", "nnssl_plugin convert chaos")
    return "patient" in entry and (entry["patient"] != case or by_names)


def content_of(dataset_json: Mapping[str, Any], case: str) -> dict[str, str]:
    """Modality → hash of the voxel values of the image before preprocessing; empty where none was recorded."""
    return dict(_entry(dataset_json, case).get("content", {}))


def missing_modalities(dataset_json: Mapping[str, Any], case: str) -> list[str]:
    """Names of the modalities that conversion recorded as missing."""
    return list(_entry(dataset_json, case).get("missing", []))


def table_row_of(dataset_json: Mapping[str, Any], case: str) -> dict[str, str]:
    """Column → text of what a table says of a case; empty where there is none."""
    return dict(_entry(dataset_json, case).get("table", {}))


def table_cases(dataset_json: Mapping[str, Any]) -> list[str]:
    """Cases of which something is recorded, in order of their names."""
    return sorted(dataset_json.get(KEY, {}).get("cases", {}))


def side_files_of(dataset_json: Mapping[str, Any], case: str) -> dict[str, str]:
    """Name → path of the files of a case that are no images, like its report; empty where there is none."""
    return dict(_entry(dataset_json, case).get("files", {}))


def without_cases(dataset_json: Mapping[str, Any]) -> dict[str, Any]:
    """What of it can be shared: nothing that could hold a path or the id of a case or patient."""
    shared = {key: dataset_json[key] for key in SHAREABLE if key in dataset_json}
    return {**shared, KEY: {"unlabelled": is_unlabelled(dataset_json)}}


def _entry(dataset_json: Mapping[str, Any], case: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = dataset_json.get(KEY, {}).get("cases", {}).get(case, {})
    return entry
