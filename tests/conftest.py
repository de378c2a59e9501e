"""What holds for all tests: how signals are dealt with, however the run was started."""

import signal

# `make test &` of a script has SIGINT ignored (POSIX sh, 2.11), and what is tested would have too.
signal.signal(signal.SIGINT, signal.default_int_handler)
