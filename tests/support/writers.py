"""Threads that write to a Kinto until it is gone."""

import json
import threading

from kinto_notify.demo.servers import KintoServer


class Writer(threading.Thread):
    """Creates records one after another, with names of its own; remembers those that were answered with 201."""

    def __init__(self, kinto: KintoServer, name: str, *accepted: int) -> None:
        super().__init__()
        self.kinto = kinto
        self.prefix = name
        #: Answers beside 201 after which it goes on.
        self.accepted = accepted
        self.answered: list[str] = []
        self.refused = 0
        self.ended = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            record = f"{self.prefix}-{number}"
            number += 1
            body = json.dumps({"data": {"n": number}}).encode()
            try:
                status, _ = self.kinto.request("PUT", f"/buckets/b/collections/c/records/{record}", body)
            except Exception:
                # Cut off, in the middle of an answer too, for which http.client has a class for each place.
                return
            if status == 201:
                self.answered.append(record)
            else:
                self.refused += 1
                assert status in self.accepted, f"{record}: {status}"
