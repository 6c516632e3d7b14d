"""`kinto-notify schema`: the JSON Schema of the stream's events, or of subscriptions.

In: which of the two. Out: JSON on standard output. Nothing is read, so nothing fails.
"""

import argparse
import json


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("schema", help="print the JSON Schema of events or subscriptions", description=__doc__)
    parser.add_argument("--subscriptions", action="store_true", help="of the subscriptions file, not of the events")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the schema."""
    # pydantic takes its time to load, and the other commands need not wait for it. The subscriptions' schema needs the
    # [daemon] extra, the events' does not.
    if arguments.subscriptions:
        from kinto_notify.subscription_table import file_schema as schema
    else:
        from kinto_notify.event_schema import event_schema as schema

    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return 0
