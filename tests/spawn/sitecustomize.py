"""Python starts with this where its folder is in PYTHONPATH: processes start as on macOS and Windows (`make test-spawn`)."""

import multiprocessing

multiprocessing.set_start_method("spawn")
