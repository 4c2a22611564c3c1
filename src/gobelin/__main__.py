"""`python -m gobelin` is the command `gobelin`."""

import sys


def start() -> None:
    """The command line. Loading takes a second or two; Ctrl-C ends it quietly in that time too."""
    try:
        from gobelin.interfaces.terminal import mistakes_told, say, tell_traceback

        if sys.argv[1:] == ["--version"]:  # without the commands, whose import loads torch
            from gobelin import __version__

            with mistakes_told():
                say(f"gobelin, version {__version__}")
            return
        from gobelin.interfaces.cli import main
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. Nothing was begun.\n")
        sys.exit(130)
    sys.excepthook = tell_traceback
    main()


if __name__ == "__main__":
    start()
