"""`python -m doublet.pixel.minify`: JavaScript on standard input, the same and smaller on output.

A process of its own, since the minifier is a Go library whose runtime would stay in a collector
with threads and signal handlers of its own. Where the library is not to be had, the script stays as
it is.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Raises SyntaxError with the place where the script is wrong."""
    script = sys.stdin.read()
    try:
        from minify import string
    except ImportError:
        small = script
    else:
        try:
            small = string("text/javascript", script)
        except ValueError as error:
            raise SyntaxError(str(error)) from error
    sys.stdout.write(small)


if __name__ == "__main__":
    main()
