"""`python -m cmcore` is the command `cmcore`."""

from cmcore.cli import main

main()
