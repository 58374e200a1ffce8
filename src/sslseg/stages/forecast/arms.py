"""One pipeline that a forecast counts: how it starts, and what its runs cost."""

from __future__ import annotations

import dataclasses

from sslseg.config import names


@dataclasses.dataclass(frozen=True)
class Arm:
    """A pipeline of the trial: its row or lineage, what its fine-tunings start from, and its network."""

    name: str
    encoder: str
    architecture: str

    @property
    def texts(self) -> dict[str, str]:
        """Knobs of a fine-tuning of this arm, as texts."""
        own = {"architecture": self.architecture} if self.encoder == names.SCRATCH else {}
        return {"encoder": self.encoder} | own
