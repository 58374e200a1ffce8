"""Signals of a process's first moment, before anything else can be imported: kept until somebody can end the run for them.

A process that dies in these leaves a run that nobody ends.
"""

import signal

kept: list[int] = []  # numbers of the signals that have arrived


def keep() -> None:
    """Keep SIGINT, SIGTERM and SIGHUP; a SIGHUP that is ignored already, as under nohup, stays so."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):
            signal.signal(number, lambda number, frame: kept.append(number))
