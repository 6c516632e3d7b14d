-- The outbox of kinto-notify: committed events that wait for Redis, and those kept for a while after.
-- Run by `kinto migrate` and by `kinto-notify init-db`; may be run again.

CREATE TABLE IF NOT EXISTS kinto_notify_outbox (
    id BIGSERIAL PRIMARY KEY,
    namespace TEXT NOT NULL,
    event_id UUID NOT NULL UNIQUE,
    -- As in the stream: JSON, but opaque here, and JSONB would cost each write a parse.
    entry TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    published_at TIMESTAMPTZ
);

CREATE INDEX IF NOT EXISTS kinto_notify_outbox_waiting
    ON kinto_notify_outbox (namespace, id) WHERE published_at IS NULL;

-- Where Kinto keeps the version of each schema.
INSERT INTO metadata (name, value)
    SELECT 'kinto_notify_schema_version', '2'
    WHERE NOT EXISTS (SELECT 1 FROM metadata WHERE name = 'kinto_notify_schema_version');
