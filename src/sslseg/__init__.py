"""Self-supervised pretraining and fine-tuning for 2D medical image segmentation, as MLflow projects.

For notebooks; nothing of torch or mlflow is loaded before a function is called:

    sslseg.encoders()                  every registered encoder, as a data frame
    sslseg.load_encoder(reference)     a timm network by run ID, runs:/… or models:/…
    sslseg.read_runs(), sslseg.read_curves(run_ids, keys)   FINISHED runs, and their metrics step by step
    sslseg.lineage_of(reference)       the stages that an encoder went through, root first
"""

from typing import Any

__all__ = ["encoders", "lineage_of", "load_encoder", "read_curves", "read_runs"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sslseg import api

        return getattr(api, name)
    raise AttributeError(f"module 'sslseg' has no attribute {name!r}; its functions are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
