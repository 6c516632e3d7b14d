"""The commands in a Redis Cluster: they find the namespace where its slot is."""

import json
from pathlib import Path

from support.cluster import cluster_of_three
from support.desk import Desk
from support.events import change, event
from support.smtp_server import SmtpServerThread


def test_every_day_commands_in_a_cluster(tmp_path: Path, smtp: SmtpServerThread) -> None:
    with cluster_of_three(tmp_path) as cluster:
        desk = Desk(cluster.url, smtp.url)
        done = desk("check")
        assert done.returncode == 0, done.stdout + done.stderr
        owner = cluster.nodes[cluster.owner(f"{{{desk.namespace}}}:events")]
        desk.redis_url = owner.url
        desk.publish(event(change("a")), event(change("b")))
        assert desk("pause").returncode == 0
        assert desk("run", "--once").returncode == 0
        assert json.loads(desk("status", "--json").stdout)["paused_digests"] == 1
        assert desk("flush").returncode == 0
        assert desk("resume").returncode == 0
        assert desk("run", "--once").returncode == 0
        assert len(smtp.mails) == 1
        assert json.loads(desk("status", "--json").stdout)["totals"]["sent"] == 1
        for arguments in (
            ("recipients", "list"),
            ("recipients", "erase", "reader@example.org"),
            ("dead-letters", "list"),
        ):
            done = desk(*arguments)
            assert done.returncode == 0, done.stderr
