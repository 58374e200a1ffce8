"""Whether the weights of a lineage are still those that were used, read afresh from the store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlflow.exceptions import MlflowException

from sslseg.config.names import EncoderError
from sslseg.tracking import store
from sslseg.tracking.lineage import Hop
from sslseg.tracking.registry import files


@dataclass(frozen=True)
class Check:
    """Whether the weights that a hop handed on are still those that the next run read."""

    hop: Hop
    actual: str  # '' = there is no such file any more

    @property
    def ok(self) -> bool:
        """Whether the weights are those that were recorded."""
        return self.hop.sha == self.actual


def verify(
    hops: Sequence[Hop], uri: str | None = None, sha_of: Callable[..., str] = files.stored_sha
) -> list[Check]:
    """Hash every weights file of the lineage, as the store has it now. Hops without a model are left out."""
    return [Check(hop, _sha(hop, sha_of, uri)) for hop in hops if hop.model_id]


def check(hops: Sequence[Hop], cache: str | Path = "", uri: str | None = None) -> list[Hop]:
    """Stop at weights that are no longer those that the next run read; the hops whose weights are gone.

    What a server keeps is downloaded once into `cache`, and the copy is hashed at every call.

    Raises:
        EncoderError: the run, the digest that was read and the one that is there now.
    """
    found = verify(hops, uri, partial(files.weights_sha, cache=cache))
    for one in found:
        if one.actual and not one.ok:
            raise EncoderError(
                f"run {one.hop.run_id}: its weights, from which this lineage comes, were changed after they were "
                f"used: expected sha256 {one.hop.sha or '(no tag)'}, actual {one.actual}"
            )
    return [one.hop for one in found if not one.actual]


def _sha(hop: Hop, sha_of: Callable[..., str], uri: str | None) -> str:
    try:
        return sha_of(store.client(uri).get_logged_model(hop.model_id), uri=uri)
    except (MlflowException, EncoderError):  # deleted since, its files or all of it
        return ""
