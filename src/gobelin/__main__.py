"""`python -m gobelin` is the command `gobelin`."""

import sys


def start() -> None:
    """The command line. Loading takes a second or two; Ctrl-C ends it quietly in that time too."""
    if sys.argv[1:] == ["--version"]:  # without the commands, whose import loads torch
        from gobelin import __version__

        print(f"gobelin, version {__version__}")
        return
    try:
        from gobelin.interfaces.cli import main
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. Nothing was begun.\n")
        sys.exit(130)
    main()


if __name__ == "__main__":
    start()
