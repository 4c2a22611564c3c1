"""`python -m gobelin` is the command `gobelin`."""

import signal
import sys


def start() -> None:
    """The command line. Loading takes a second or two; Ctrl-C ends it quietly in that time too."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before and after the work
    from gobelin.core.errors import outside_cause
    from gobelin.interfaces.stopping import Stopped, signals_raise

    try:
        with signals_raise():
            from gobelin.interfaces.terminal import mistakes_told, say, tell_traceback

            if sys.argv[1:] == ["--version"]:  # without the commands, whose import loads torch
                from gobelin import __version__

                with mistakes_told():
                    say(f"gobelin, version {__version__}")
                return
            from gobelin.interfaces.cli import main
    except Stopped as stop:
        sys.stderr.write("Stopped. Nothing was begun.\n")
        sys.exit(stop.code)
    except (MemoryError, ImportError, OSError) as error:
        if (line := outside_cause(error)) is None:
            raise
        sys.stderr.write(f"{line}\n")
        sys.exit(2)
    sys.excepthook = tell_traceback
    main()


if __name__ == "__main__":
    start()
