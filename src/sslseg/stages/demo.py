"""The whole job on the built-in phantom, and a check that it learned something."""

from pathlib import Path

from analysis.comparison.cells import Study
from sslseg.config import names, params
from sslseg.config.params import Demo
from sslseg.plans import studies
from sslseg.stages import analyse, sweep
from sslseg.stages.outcome import endings
from sslseg.tracking import session

WANTED_IOU = 0.5  # mean foreground IoU on test that the demo must reach


def run(p: Demo, run: session.Run) -> None:
    """Sweep, analyse, and fail when nothing was learned.

    Raises:
        SslsegError: the U-Nets or the last BYOL encoder are worse than a working pipeline gives.
    """
    grid = params.Sweep(study="demo", workers=p.workers, cache=p.cache, seed=p.seed, device=p.device)
    sweep.run(studies.fill(grid), run)
    wanted = params.Analyse(dataset="demo", out=str(Path(p.out).resolve()), sweep=run.id)
    study = analyse.draw(wanted, run)
    _check_learned(study, run)
    endings.drawn(wanted, run, study)


def _check_learned(study: Study, run: session.Run) -> None:
    best = study.runs[names.TEST_IOU].max()
    run.log({"demo/best_test_iou": float(best)})
    if not best >= WANTED_IOU:
        raise names.SslsegError(f"the demo's best mean foreground IoU is {best:.3f}, wanted {WANTED_IOU}")
    pretrained = study.others[study.others["stage"] == names.PRETRAIN]
    if pretrained["collapsed"].any():
        raise names.SslsegError(
            f"collapsed encoders: {', '.join(pretrained.loc[pretrained['collapsed'], 'run_id'])}"
        )
