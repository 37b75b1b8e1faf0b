from pydantic import ConfigDict

# Of every section of the settings: no unknown names, no silent conversion, finite numbers.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)
