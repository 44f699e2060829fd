"""A module whose import does not end until the process is killed."""

import threading

threading.Event().wait()
