"""`check` and `status` list the hooks that were refused, as a daemon met them (D11)."""

import json

from kinto_notify.cli.remark_lines import remark_lines
from kinto_notify.store.remarks import Noted
from support.desk import Desk
from support.events import change, event

HOME = "/buckets/b/collections/c"


def test_d11_hooks_that_were_refused_are_listed(desk: Desk) -> None:
    hooks = [{"template": "{"}, {"template": "x", "recipients": ["eve@evil.example", "ann@example.org"]}]
    carried = [{"home": HOME, "key": "kinto-emailer", "index": n, "hook": one} for n, one in enumerate(hooks)]
    desk.publish(event(change("r1"), hooks=carried))
    assert desk("run", "--once").returncode == 0
    told = json.loads(desk("status", "--json").stdout)["hooks"]
    assert {(one["hook"], one["kind"]) for one in told} == {
        (f"{HOME}#0", "unreadable"),
        (f"{HOME}#emailer-1", "recipient"),
    }
    passed_over = f"hook {HOME}#emailer-1: recipient passed over, outside the policy: eve@evil.example (noted "
    assert any(line.startswith(f"  {passed_over}") for line in desk("status").stdout.splitlines())
    checked = desk("check")
    assert checked.returncode == 0
    assert any(line.startswith(f"warn  {passed_over}") for line in checked.stdout.splitlines())
    assert desk("recipients", "erase", "eve@evil.example").returncode == 0
    assert "eve@" not in desk("status").stdout


def test_many_are_cut_and_no_line_is_broken() -> None:
    lines = list(remark_lines([Noted("/buckets/b#0", "slow", f"a\n\x1b[31m{number}", 0) for number in range(25)]))
    assert len(lines) == 21
    assert lines[-1] == "and 5 more remarks of hooks: kinto-notify status --json"
    assert all(line.isprintable() for line in lines)
