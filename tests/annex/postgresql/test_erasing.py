"""What docs/operations.md says of the table: forgetting a record, leaving it out of a dump, taking everything out."""

import subprocess

import psycopg2.extensions
import pytest

from support.daemon import command
from support.documents import page, section
from support.postgres import PostgresKinto, PostgresServer, find_postgres

Cursor = psycopg2.extensions.cursor


def statement(heading: str) -> str:
    (block,) = section("docs/operations.md", heading).split("```sql\n")[1:]
    return block.partition("```")[0]


def entries(sql: Cursor) -> list[str]:
    sql.execute("SELECT entry FROM kinto_notify_outbox ORDER BY id")
    return [entry for (entry,) in sql.fetchall()]


@pytest.fixture
def written(kinto: PostgresKinto, sql: Cursor) -> PostgresKinto:
    """Two records of the same collection, published, and a change of one that is not yet."""
    text = kinto.ini.read_text()
    prefix = "kinto.event_listeners.notify"
    kinto.ini.write_text(
        text.replace(f"{prefix}.spool", f"{prefix}.relay = external\n{prefix}.outbox = postgresql\n# {prefix}.spool")
    )
    kinto.start()
    records = "/buckets/blog/collections/articles/records"
    for path in ("/buckets/blog", "/buckets/blog/collections/articles", f"{records}/hello", f"{records}/hello-2"):
        assert kinto.request("PUT", path, b'{"data": {"title": "seen"}}')[0] == 201
    assert command("relay", "--ini", str(kinto.ini), "--once").returncode == 0
    assert kinto.request("PUT", f"{records}/hello", b'{"data": {"title": "again"}}')[0] == 200
    assert len(entries(sql)) == 5
    return kinto


@pytest.mark.usefixtures("written")
def test_forgetting_a_record_takes_its_published_rows_and_no_others(sql: Cursor) -> None:
    sql.execute(statement("Forgetting a record"))
    assert sql.rowcount == 1
    left = entries(sql)
    assert len(left) == 4
    assert sum('records/hello-2"' in entry for entry in left) == 1
    # What is not published yet is about to be.
    assert sum('records/hello"' in entry for entry in left) == 1


@pytest.mark.usefixtures("written")
def test_a_dump_can_leave_the_rows_out(postgres: PostgresServer) -> None:
    programs = find_postgres()
    assert programs is not None
    option = "--exclude-table-data=kinto_notify_outbox"
    assert f"`pg_dump {option}`" in page("docs/operations.md")
    if not (programs / "pg_dump").exists():
        pytest.skip("this PostgreSQL comes without pg_dump")
    dump = subprocess.run([programs / "pg_dump", option, postgres.url], capture_output=True, text=True, timeout=120)
    assert dump.returncode == 0, dump.stderr
    assert "CREATE TABLE public.kinto_notify_outbox" in dump.stdout
    assert "COPY public.objects" in dump.stdout
    assert "COPY public.kinto_notify_outbox" not in dump.stdout


def test_taking_everything_out_and_putting_it_back(written: PostgresKinto, sql: Cursor) -> None:
    written.stop()
    sql.execute(statement("Forgetting everything"))
    sql.execute("SELECT to_regclass('kinto_notify_outbox')")
    assert sql.fetchone() == (None,)
    written.migrate()
    assert entries(sql) == []
