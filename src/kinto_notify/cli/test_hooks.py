"""`kinto-notify test-hooks`: what the hooks of a bucket or collection make of an event, offline; nothing is sent."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from kinto_notify.cli.event_file import read_event, read_json
from kinto_notify.errors import BadInput, UsageError

if TYPE_CHECKING:
    from kinto_notify.cli.hook_trial import Trial

#: Of one hook; a plural event may make hundreds. `--json` has them all.
_SHOWN_MAILS = 3


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("test-hooks", help="try hooks of metadata on an event, offline", description=__doc__)
    parser.add_argument("hooks", metavar="HOOKS.json", help="metadata with the hooks, or a list of hooks; - for stdin")
    parser.add_argument("event", metavar="EVENT.json", help="an event as in the stream; - for standard input")
    parser.add_argument("--home", metavar="URI", help="whose metadata it is [the collection of the event, or bucket]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what each hook makes of the event; 65 if anything is wrong with one of them."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.cli.hook_trial import home_of, metadata_of, try_hooks
    from kinto_notify.settings import load_settings
    from kinto_notify.stationery import composer_of

    if arguments.hooks == arguments.event == "-":
        raise UsageError("test-hooks: only one of the two can come from standard input")
    settings = load_settings()
    document, event = read_json(arguments.hooks), read_event(arguments.event)
    home = arguments.home or home_of(event)
    metadata, faults = metadata_of(document, home)
    trials = try_hooks(metadata, home, event, load_catalogue(settings), composer_of(settings))
    told_already = {problem for one in trials for problem in one.problems}
    faults = [fault for fault in faults if fault not in told_already]
    if arguments.json:
        told = {"event": event.id, "problems": faults, "hooks": [asdict(one) for one in trials]}
        print(json.dumps(told, ensure_ascii=False))
    else:
        for line in _lines(trials, faults):
            # A hook is a text of strangers.
            print("".join(char if char.isprintable() else "�" for char in line))
    return BadInput.exit_code if faults or any(one.problems for one in trials) else 0


def _lines(trials: "Sequence[Trial]", faults: Sequence[str]) -> Iterator[str]:
    yield from (f"FAIL  {fault}" for fault in faults)
    for one in trials:
        yield from _trial(one)
    problems = len(faults) + sum(len(one.problems) for one in trials)
    yield f"{len(trials)} hooks: {sum(one.matches for one in trials)} match, {problems} problems"


def _trial(one: "Trial") -> Iterator[str]:
    from kinto_notify.refusal import told_refusal

    yield f"{one.hook}: {'matches' if one.matches else 'does not match'}"
    yield from (f"  FAIL  {problem}" for problem in one.problems)
    yield from (f"  {told_refusal(refusal)}" for refusal in one.refused)
    if one.matches and not one.mails:
        yield "  no mail: nobody may hear of it"
    for mail in one.mails[:_SHOWN_MAILS]:
        yield f"  To: {', '.join(mail.to)}"
        yield f"  Subject: {mail.subject}"
        yield from (f"  | {line}" for line in mail.text.splitlines())
    if len(one.mails) > _SHOWN_MAILS:
        yield f"  and {len(one.mails) - _SHOWN_MAILS} more mails"
