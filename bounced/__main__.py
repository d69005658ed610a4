"""`python -m bounced`: the same as the program `bounced`."""

from bounced.cli import main

main()
