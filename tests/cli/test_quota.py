"""A quota of hooks through the installed daemon: one log line, dead letters, a metric's worth of totals (X05)."""

import json

from support.desk import Desk
from support.events import change, event
from support.smtp_server import SmtpServerThread

HOME = "/buckets/b/collections/c"


def test_x05_a_hook_in_a_loop_is_stopped(desk: Desk, smtp: SmtpServerThread) -> None:
    hook = {"template": "x", "recipients": ["ann@example.org"]}
    carried = [{"home": HOME, "key": "kinto-emailer", "index": 0, "hook": hook}]
    desk.publish(*(event(change(f"r{number}"), hooks=carried) for number in range(9)))
    done = desk("run", "--once", recipients="", recipient_rate="4/h")
    assert done.returncode == 0
    assert len(smtp.mails) == 4
    said = [json.loads(line) for line in done.stdout.splitlines() if '"over quota"' in line]
    assert [(one["subscription"], one["level"]) for one in said] == [(f"{HOME}#emailer-0", "warning")]
    letters = [json.loads(line) for line in desk("dead-letters", "list", "--json").stdout.splitlines()]
    assert [one["reason"] for one in letters] == ["over the RECIPIENT_RATE of hooks"] * 5
    assert desk("dead-letters", "retry", "--reason", "RATE").returncode == 0
    assert desk("run", "--once", recipients="", recipient_rate="4/h").returncode == 0
    assert len(smtp.mails) == 9
