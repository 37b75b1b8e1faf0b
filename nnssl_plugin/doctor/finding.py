from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it is, in a word or two.
        state: `wrong` where nnU-Net or the plugin cannot work as it is.
        text: what was found.
        mend: the command or step that mends it.
    """

    subject: str
    state: State
    text: str
    mend: str = ""
