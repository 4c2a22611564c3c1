"""`python -m gobelin` is the command `gobelin`."""

import sys


def start() -> None:
    """The command line. Loading takes a second or two; Ctrl-C ends it quietly in that time too."""
    try:
        from gobelin.interfaces.cli import main
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. Nothing was begun.\n")
        sys.exit(130)
    main()


if __name__ == "__main__":
    start()
