"""G01 to G07 as an operator meets them: by the installed command, one line for each problem, 78, nothing else."""

from pathlib import Path

import pytest

from support.desk import Desk

TABLE = '[[subscription]]\nname = "one"\nrecipients = ["a@example.org"]\n'


def refused(desk: Desk, *arguments: str, **variables: str) -> list[str]:
    """Run it, see it refused as a configuration, return its lines."""
    done = desk(*arguments, **variables)
    assert (done.returncode, done.stdout) == (78, "")
    lines = done.stderr.splitlines()
    assert lines
    assert all(line.startswith("kinto-notify: KINTO_NOTIFY_") for line in lines), lines
    assert "hunter2" not in done.stderr
    return [line.removeprefix("kinto-notify: KINTO_NOTIFY_") for line in lines]


@pytest.fixture(params=[("run",), ("check",)], ids=" ".join)
def arguments(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def test_g01_g02_missing_misspelt_and_bad_all_at_once(nowhere: Desk, arguments: tuple[str, ...]) -> None:
    lines = refused(
        nowhere,
        *arguments,
        sender="",
        smpt_host="hunter2",
        web_bind="localhost:0",
        smtp_sessions="-1",
        smtp_url="smtp://kinto:hunter2@mail.example.org:abc",
        retry_min="0s",
        digest_wait="-5s",
        stream_keep="a week",
    )
    told = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}
    assert sorted(told) == [
        "DIGEST_WAIT",
        "RETRY_MIN",
        "SENDER",
        "SMPT_HOST",
        "SMTP_SESSIONS",
        "SMTP_URL",
        "STREAM_KEEP",
        "WEB_BIND",
    ]
    assert len(lines) == len(told)
    assert told["SENDER"].startswith("is required")
    assert told["SMPT_HOST"] == "there is no such setting; did you mean KINTO_NOTIFY_SMTP_URL?"


def test_g03_both_ways_of_one_secret_and_a_file_that_is_not_there(nowhere: Desk, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    file.chmod(0o600)
    lines = refused(
        nowhere,
        "check",
        smtp_username="kinto",
        smtp_password="hunter2",
        smtp_password_file=str(file),
        secret_file=str(tmp_path / "nowhere"),
    )
    assert lines == [
        f"SECRET_FILE: cannot read {tmp_path}/nowhere: No such file or directory",
        "SMTP_PASSWORD_FILE: KINTO_NOTIFY_SMTP_PASSWORD is given too; keep one of them",
    ]


def test_g03_a_file_for_everybody_is_a_warning_and_its_newline_no_part_of_it(nowhere: Desk, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\r\n")
    file.chmod(0o644)
    done = nowhere("check", "--offline", smtp_username="kinto", smtp_password_file=str(file))
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if "SMTP_PASSWORD_FILE" in line]
    assert line == f"warn  KINTO_NOTIFY_SMTP_PASSWORD_FILE: {file} can be read by everybody; chmod 600 it"
    assert "hunter2" not in done.stdout


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (TABLE + "subject = [\n\n\n", 4, "is not TOML: Invalid value (at end of document): a bracket"),
        (TABLE + "name = 'two'\n", 4, "is not TOML: Cannot overwrite a value"),
        (TABLE + "\n\n[[subscription]\n", 6, "is not TOML"),
        (TABLE + 'subject = "caf\udce9"\n', 4, "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(
    nowhere: Desk, tmp_path: Path, text: str, line: int, told: str
) -> None:
    file = tmp_path / "subscriptions.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    (only,) = refused(nowhere, "check", subscriptions=str(file))
    assert only.startswith(f"SUBSCRIPTIONS: {file}:{line}: {told}"), only


def test_every_fault_of_every_subscription_at_once(nowhere: Desk, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "subscriptions.toml"
    file.write_text(
        TABLE
        + 'bucket = "blog"\n'
        + '[[subscription]]\nname = "two"\nrecipients = ["nobody"]\ndigest = { wait = "soon" }\n'
        + '[[subscription]]\nrecipients = ["a@example.org"]\nid = "^(unclosed"\n'
    )
    lines = refused(nowhere, *arguments, subscriptions=str(file))
    where = f"SUBSCRIPTIONS: {file}: subscription "
    assert [line.removeprefix(where).split(": ")[:2] for line in lines] == [
        ['"one"', "bucket"],
        ['"two"', "digest.wait"],
        ['"two"', "recipients[0]"],
        ["3", "id"],
    ]
    assert "did you mean bucket_id?" in lines[0]


def test_g06_a_directory_of_templates_that_is_not_there(nowhere: Desk) -> None:
    assert refused(nowhere, "check", templates="/nowhere/templates") == [
        "TEMPLATES: there is no directory /nowhere/templates"
    ]


def test_g06_broken_templates_are_told_with_file_and_line(
    nowhere: Desk, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "news.txt").write_text("fine\n{% if %}\n")
    (tmp_path / "news.html").write_text("fine\nfine\n{{ oops \n")
    done = nowhere(*arguments, templates=str(tmp_path))
    assert (done.returncode, done.stdout) == (78, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert any(f"{tmp_path}/news.txt:2: " in line for line in lines), lines
    # Jinja notices where the line ends without what it waits for.
    assert any(f"{tmp_path}/news.html:3: " in line or f"{tmp_path}/news.html:4: " in line for line in lines), lines


def test_g07_a_time_zone_that_is_not_there(nowhere: Desk) -> None:
    (line,) = refused(nowhere, "check", timezone="Europe/Pari")
    assert line == "TIMEZONE: 'Europe/Pari' is not a time zone; did you mean Europe/Paris?"
