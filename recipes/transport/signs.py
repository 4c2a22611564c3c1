"""Write the table and the images of the sample set `transport`, so that its training signs can be
rendered before the run: python recipes/transport/signs.py OUT [--signs transport]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gobelin.data.samples.transport import Transport


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, help="folder for the table and the images")
    parser.add_argument("--signs", default="transport", help="where npm put the drawings")
    said = parser.parse_args()
    sys.stdout.write(f"{Transport(folder=said.signs).write(said.out, 0)}\n")


if __name__ == "__main__":
    main()
