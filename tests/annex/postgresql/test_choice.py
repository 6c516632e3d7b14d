"""Which outbox a Kinto on PostgreSQL takes, what it says of it, and where the table comes from."""

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2.extensions
import pytest
import webtest
from pyramid.exceptions import ConfigurationError

from kinto_notify.demo.servers import RedisServer, free_port
from support.daemon import command
from support.postgres import PostgresKinto, PostgresServer
from support.stream import StreamReader

MakeApp = Callable[..., webtest.TestApp]
Cursor = psycopg2.extensions.cursor
REDIS = "redis://127.0.0.1:1/0"
PREFIX = "kinto.event_listeners.notify"


@pytest.fixture
def no_table(sql: Cursor) -> Iterator[None]:
    """The database of a Kinto that was migrated before we came."""
    sql.execute("ALTER TABLE kinto_notify_outbox RENAME TO elsewhere")
    yield
    sql.execute("DROP TABLE IF EXISTS kinto_notify_outbox")
    sql.execute("ALTER TABLE elsewhere RENAME TO kinto_notify_outbox")


@pytest.fixture
def empty_database(postgres: PostgresServer, sql: Cursor) -> Iterator[str]:
    """The URL of a database without any table."""
    sql.execute("CREATE DATABASE fresh")
    yield postgres.url.replace("/postgres", "/fresh")
    sql.execute("DROP DATABASE fresh WITH (FORCE)")


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kinto_notify")


def test_auto_takes_the_table_where_it_is(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_pg_app(outbox="auto")
    assert "outbox = postgresql (the table kinto_notify_outbox is there)" in caplog.text
    app.put_json("/v1/buckets/b")
    stream.wait(1)
    assert not spool.exists()


def test_auto_takes_the_spool_where_there_is_no_table(
    make_pg_app: MakeApp, stream: StreamReader, no_table: None, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_pg_app(outbox="auto")
    assert (
        f"outbox = spool in {spool} (the database has no table kinto_notify_outbox; run `kinto migrate`" in caplog.text
    )
    app.put_json("/v1/buckets/b")
    stream.wait(1)
    assert list(spool.glob("*.spool"))


def test_the_spool_if_it_is_asked_for(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On PostgreSQL the spool's rows are prepared before its commit and finished after."""
    app = make_pg_app(outbox="spool")
    assert f"outbox = spool in {spool} (as it is set)" in caplog.text
    app.put_json("/v1/buckets/b")
    stream.wait(1)
    sql.execute("SELECT count(*) FROM kinto_notify_outbox")
    assert sql.fetchone() == (0,)


def test_auto_is_the_spool_on_other_storage(make_app: MakeApp, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_app()
    assert f"outbox = spool in {spool} (Kinto's storage is not PostgreSQL)" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"outbox": "postgresql"}, "outbox: postgresql is not possible: Kinto's storage is not PostgreSQL"),
        ({"strict": "true"}, "strict: true is not possible: Kinto's storage is not PostgreSQL"),
        ({"outbox": "spool", "strict": "true"}, "strict: is for the outbox in PostgreSQL only"),
    ],
)
def test_k21_without_postgresql_kinto_does_not_start(make_app: MakeApp, wrong: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"event_listeners.notify.{named}"):
        make_app(**wrong)


@pytest.mark.parametrize("wrong", [{"outbox": "postgresql"}, {"outbox": "auto", "strict": "true"}])
def test_k21_without_the_table_kinto_does_not_start(
    make_pg_app: MakeApp, no_table: None, wrong: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError, match="no table kinto_notify_outbox; run `kinto migrate` or"):
        make_pg_app(**wrong)


def test_a_library_that_lacks_what_we_call_is_not_asked(
    make_pg_app: MakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Kinto 13.6 does not say which SQLAlchemy it wants, and starts with 1.3."""
    monkeypatch.setattr("sqlalchemy.__version__", "1.3.24")
    caplog.set_level(logging.INFO)
    make_pg_app(outbox="auto")
    assert "SQLAlchemy 1.3.24 is too old, 1.4 or later is needed" in caplog.text
    with pytest.raises(ConfigurationError, match=r"SQLAlchemy 1\.3\.24 is too old"):
        make_pg_app(outbox="postgresql")


def test_each_change_committed_by_itself_is_not_for_the_table(make_pg_app: MakeApp) -> None:
    with pytest.raises(ConfigurationError, match="transaction_per_request is off"):
        make_pg_app(settings={"transaction_per_request": "false"})


@pytest.mark.parametrize(
    ("own", "words", "level"),
    [
        ({"outbox": "postgresql"}, "outbox = postgresql (as it is set; whether the table is there PostgreSQL", "INFO"),
        ({"outbox": "auto", "strict": "true"}, "outbox = postgresql (as it is set; whether the table", "INFO"),
        # What to do about it is said: nobody looks at the table again before Kinto is restarted.
        ({"outbox": "auto"}, "until Kinto is restarted, since PostgreSQL does not say", "WARNING"),
    ],
)
def test_kinto_starts_without_its_database_as_it_does_without_us(
    make_pg_app: MakeApp, caplog: pytest.LogCaptureFixture, own: dict[str, str], words: str, level: str
) -> None:
    away = f"postgresql://kinto:s3cret@127.0.0.1:{free_port()}/postgres"
    make_pg_app(settings={"storage_url": away, "permission_url": away}, **own)
    (line,) = [record for record in caplog.records if "outbox = " in record.getMessage()]
    assert words in line.getMessage()
    assert "OperationalError" in line.getMessage()
    assert line.levelname == level
    assert level == "INFO" or "event_listeners.notify.outbox = postgresql" in line.getMessage()
    assert "s3cret" not in caplog.text


def test_kinto_migrate_creates_the_table_once(tmp_path: Path, empty_database: str) -> None:
    """`kinto migrate` loads the application: a demand for the table must not stop it from making the table."""
    kinto = PostgresKinto(tmp_path, REDIS, empty_database, f"{PREFIX}.outbox = postgresql")
    kinto.migrate()
    kinto.migrate()
    connection = psycopg2.connect(empty_database)
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM metadata WHERE name = 'kinto_notify_schema_version'")
        assert cursor.fetchall() == [("2",)]
        cursor.execute("SELECT count(*) FROM kinto_notify_outbox")
    connection.close()


def test_kinto_migrate_can_be_tried(tmp_path: Path, no_table: None, postgres: PostgresServer, sql: Cursor) -> None:
    kinto = PostgresKinto(tmp_path, REDIS, postgres.url)
    sql.execute("DELETE FROM metadata WHERE name = 'kinto_notify_schema_version'")
    program, environment = kinto.command()[0], {**os.environ, **kinto.environment()}
    subprocess.run(
        [program, "migrate", "--dry-run", "--ini", kinto.ini], check=True, capture_output=True, env=environment
    )
    sql.execute("SELECT to_regclass('kinto_notify_outbox')")
    assert sql.fetchone() == (None,)
    kinto.migrate()
    sql.execute("SELECT to_regclass('kinto_notify_outbox')")
    assert sql.fetchone() == ("kinto_notify_outbox",)


def test_init_db_creates_the_table_of_a_kinto_without_migrations(
    tmp_path: Path, postgres: PostgresServer, redis_server: RedisServer, stream: StreamReader, no_table: None
) -> None:
    kinto = PostgresKinto(tmp_path, redis_server.url, postgres.url, f"{PREFIX}.outbox = postgresql")
    made, again = (command("init-db", "--ini", str(kinto.ini)) for _ in range(2))
    assert (made.returncode, made.stdout) == (0, "kinto_notify_outbox created\n")
    assert (again.returncode, again.stdout) == (0, "kinto_notify_outbox is there already\n")
    with kinto:
        assert kinto.request("PUT", "/buckets/b")[0] == 201
        stream.wait(1)


def test_init_db_says_what_is_missing(tmp_path: Path, empty_database: str, postgres: PostgresServer) -> None:
    without_tables = PostgresKinto(tmp_path, REDIS, empty_database)
    told = command("init-db", "--ini", str(without_tables.ini))
    assert (told.returncode, told.stderr.count("\n")) == (78, 1)
    assert "run `kinto migrate` first" in told.stderr
    ini = without_tables.ini.read_text()
    without_tables.ini.write_text(ini.replace(str(postgres.port), str(free_port())))
    told = command("init-db", "--ini", str(without_tables.ini))
    assert (told.returncode, told.stderr.count("\n")) == (69, 1)
    without_tables.ini.write_text(ini.replace("kinto.core.storage.postgresql", "kinto.core.storage.memory"))
    told = command("init-db", "--ini", str(without_tables.ini))
    assert (told.returncode, told.stderr.count("\n")) == (78, 1)
    assert "Kinto's storage is not PostgreSQL" in told.stderr
