"""`python -m effmark` is `effmark`."""

from effmark.cli import main

main()
