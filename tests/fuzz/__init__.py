"""Fuzzers for `parsers.parse` and for the classifier: `python -m tests.fuzz parse --seconds 600`, or `make fuzz`.

checks.py   what must hold for one input, whatever it is; part of `make test`, over the fixtures
mutate.py   mails changed the way MIME is built, since changed octets alone seldom get past the first delimiter
seeds.py    what to begin with: the fixtures, and the public bounces beside the project where they are there
__main__.py atheris, which keeps what reaches new code and changes that further
"""
