"""The alert rules that we ship: good YAML, of names and labels that exist, and each alarm that the faults call for."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import kinto_notify
from kinto_notify.pressure import Load
from kinto_notify.store.overview import Overview
from kinto_notify.telemetry import Telemetry

FILE = Path(__file__).parents[2] / "config" / "alerts.yml"
SOURCE = Path(kinto_notify.__file__).parent
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["groups"][0]["rules"]
_METRIC = re.compile(r"\b((?:kinto_)?kinto_notify_\w+)(?:\{([^}]*)\})?")
_OF_KINTO = "kinto_kinto_notify_"


def samples() -> dict[str, set[tuple[str, str]]]:
    """Every sample that a daemon shows from its start: name → the values of its labels."""
    told = Telemetry()
    told.waiting(dict.fromkeys(Overview(**empty()).numbers(), 0), 0)
    found: dict[str, set[tuple[str, str]]] = {}
    for family in text_string_to_metric_families(told.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels.items())
    return found


def empty() -> dict[str, Any]:
    return dict.fromkeys(Overview.__slots__, 0) | {"totals": {}, "paused": {}, "outages": (), "load": Load(0, 0, 0)}


def test_each_rule_is_whole() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert all(rule["annotations"][part] for part in ("summary", "description"))
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert re.fullmatch(r"\d+m", rule.get("for", "1m"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_metric_and_label_exists(rule: dict[str, Any]) -> None:
    shown = samples()
    named = _METRIC.findall(rule["expr"])
    assert named or 'up{job="kinto-notify"}' in rule["expr"]
    for name, labels in named:
        if name.startswith(_OF_KINTO):
            ours = re.sub(r"_(total|sum|count)\Z", "", name.removeprefix(_OF_KINTO))
            assert any(f'"{ours}"' in path.read_text() for path in SOURCE.rglob("*.py")), name
            continue
        assert name in shown, name
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            assert (label, value) in shown[name], f"{name}: {label}={value}"


def test_every_alarm_that_the_faults_call_for_is_there() -> None:
    text = " ".join(rule["expr"] for rule in RULES)
    for wanted in (
        'up{job="kinto-notify"}',
        "kinto_notify_store_up",
        "kinto_notify_relay_up",
        "kinto_notify_circuits_open",
        'outcome="refused"',
        'kind="lag"',
        'result="lost"',
        "kinto_notify_stranded_total",
        "kinto_notify_ambiguous_total",
        "outbox_age_seconds",
        "events_lost",
    ):
        assert wanted in text, wanted


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_them() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, json.dumps(done.stdout + done.stderr)
