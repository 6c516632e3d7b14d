"""`kinto-notify` as it is installed, looked at as it works: where is its processor time going?

    python benchmarks/mails/sampled.py OUT run

In: what `kinto-notify` takes. Out: when it ends, OUT is a JSON object: how often each place was met, and the seconds of
the garbage collector. Each few milliseconds of its own processor time (SIGPROF) the place is noted: the innermost
module of ours on the stack, and the library that it had called. What compiled code takes falls to its caller.
"""

import atexit
import gc
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from kinto_notify.cli import main

EVERY_S = 0.001
OURS = "/kinto_notify/"

_met: Counter[tuple[str, str]] = Counter()
_collected = 0.0
_began = 0.0


def module(frame: FrameType) -> str:
    """Return ours by its path, others by the name of the library."""
    file = frame.f_code.co_filename
    if OURS in file:
        return file.rpartition(OURS)[2].removesuffix(".py")
    for above in ("/site-packages/", f"/python3.{sys.version_info.minor}/"):
        if above in file:
            return file.rpartition(above)[2].partition("/")[0].removesuffix(".py")
    return "generated"


def note(_number: int, frame: FrameType | None) -> None:
    """Note where we are: which module of ours, and in what."""
    innermost = module(frame) if frame is not None else "generated"
    while frame is not None and OURS not in frame.f_code.co_filename:
        frame = frame.f_back
    ours = module(frame) if frame is not None else "generated"
    _met[ours, "" if innermost == ours else innermost] += 1


def collecting(phase: str, _info: dict[str, int]) -> None:
    global _collected, _began
    if phase == "start":
        _began = time.thread_time()
    else:
        _collected += time.thread_time() - _began


def tell(out: Path) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    met = [[*place, number] for place, number in _met.items()]
    out.write_text(json.dumps({"met": met, "collected": _collected}))


if __name__ == "__main__":
    atexit.register(tell, Path(sys.argv.pop(1)))
    gc.callbacks.append(collecting)
    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    sys.exit(main())
