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
    decoder_from: str = ""  # "upstream": its fine-tunings take the decoder over, too

    @property
    def texts(self) -> dict[str, str]:
        """Knobs of a fine-tuning of this arm, as texts."""
        own = {"architecture": self.architecture} if self.encoder == names.SCRATCH else {}
        own |= {"decoder_from": self.decoder_from} if self.decoder_from else {}
        return {"encoder": self.encoder} | own
