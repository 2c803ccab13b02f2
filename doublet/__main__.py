"""`python -m doublet` is the command `doublet`."""

from doublet.cli import main

main()
