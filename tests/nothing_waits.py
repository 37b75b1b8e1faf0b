"""What shows on a CPU that a GPU would be waited for."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# What brings a value of the device to the host, or makes a shape depend on one.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "item", "unique", "_unique2"}


class NothingWaits(TorchDispatchMode):
    """Fails on what would make the host wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.seen.add(name)
        assert name not in WAITING, f"{func} waits for the device"
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"{func} with a mask waits for the device"
        # A tensor made of a list is copied to the device, which waits for the copy.
        assert name not in ("lift_fresh", "lift_fresh_copy"), f"{func} waits for the device"
        # Checks its weights on the host, inside the operation, where this does not see it.
        assert name != "multinomial", f"{func} waits for the device"
        return func(*args, **(kwargs or {}))
