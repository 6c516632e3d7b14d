"""Inside Kinto: committed changes on their way to the Redis stream.

`settings` reads the listener's settings, `capture` turns a Kinto event into encoded changes, `joined` binds them to
the transaction, `split` makes stream entries of them. `choice` says where those wait until `stream` has published them:
in a `spool` on disk, or in the table of `postgresql`, written in Kinto's own `session`.
"""
