"""What a server and the processes it has started use: processor time and memory, as the kernel counts them (Linux)."""

import os
from pathlib import Path

from kinto_notify.demo.servers import Server


def group(server: Server) -> list[int]:
    """Return the ids of its processes: they share the group of the first."""
    assert server.process is not None
    wanted, found = server.process.pid, []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and os.getpgid(int(place.name)) == wanted:
                found.append(int(place.name))
        except ProcessLookupError:
            continue
    return found


def processor(server: Server) -> float:
    """Return the seconds that all its threads have taken: the scheduler counts nanoseconds, not ticks."""
    threads = [thread for pid in group(server) for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def stopped(server: Server) -> bool:
    """Tell whether all its processes are stopped, those that have ended aside."""
    states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in group(server)]
    return all(state in "TZ" for state in states)


def memory(server: Server, what: str = "VmRSS") -> int:
    """Return its resident memory in bytes; with `VmHWM` the most it ever had."""
    lines = [line for pid in group(server) for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))
