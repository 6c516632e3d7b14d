"""`python -m kinto_notify` is `kinto-notify`: nothing comes in here, the exit code goes out."""

import sys

from kinto_notify.cli import main

if __name__ == "__main__":
    sys.exit(main())
