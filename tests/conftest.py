"""For all rooms: what runs in the background ignores Ctrl-C, and so would the servers and daemons that tests start."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
