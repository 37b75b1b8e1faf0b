"""What the converters write into `dataset.json` beyond nnU-Net's own keys, and how it is read back.

```
"nnssl_plugin": {"unlabelled": false,
                 "cases": {"CASE": {"patient": "PATIENT", "missing": ["T1c"], "background": {"T1": 0.0}}}}
```

`background`: the value of an image's constant background before nnU-Net's z-score, which may move it off 0; null where
there is none. Of a challenge's data there are also `convention` and, for values that were recoded, `published_values`.
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
    return str(dataset_json.get(KEY, {}).get("cases", {}).get(case, {}).get("patient", case))


def missing_modalities(dataset_json: Mapping[str, Any], case: str) -> list[str]:
    """Names of the modalities that conversion recorded as missing."""
    return list(dataset_json.get(KEY, {}).get("cases", {}).get(case, {}).get("missing", []))


def without_cases(dataset_json: Mapping[str, Any]) -> dict[str, Any]:
    """What of it can be shared: nothing that could hold a path or the id of a case or patient."""
    shared = {key: dataset_json[key] for key in SHAREABLE if key in dataset_json}
    return {**shared, KEY: {"unlabelled": is_unlabelled(dataset_json)}}
