"""`python -m gobelin` is the command `gobelin`."""

import os
import signal
import sys


def start() -> None:
    """The command line. Ctrl-C ends it quietly while it loads, too."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before and after the work
    try:
        os.getcwd()
    except OSError:  # torch would say that its own library can't be loaded
        sys.stderr.write("gobelin: the working folder was removed. Go to one that exists (cd).\n")
        sys.exit(2)
    _begin_in_utf8()
    from gobelin.core.errors import outside_cause
    from gobelin.interfaces.stopping import NOTHING_BEGUN, Stopped, signals_raise

    try:
        with signals_raise():
            from gobelin.interfaces.cli import main
            from gobelin.interfaces.terminal import progress, tell_traceback
    except Stopped as stop:
        sys.stderr.write(f"{NOTHING_BEGUN}\n")
        sys.exit(stop.code)
    except (MemoryError, ImportError, OSError) as error:
        if (line := outside_cause(error)) is None:
            raise
        sys.stderr.write(f"{line}\n")
        sys.exit(2)
    sys.excepthook = tell_traceback
    progress.alive = True
    main()


def _begin_in_utf8() -> None:
    """Start Python again in its UTF-8 mode where the locale knows ASCII alone (LANG=C): letters
    beyond that in arguments, and in names of files that cells hold, would not be found."""
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very program, without a shell


if __name__ == "__main__":
    start()
