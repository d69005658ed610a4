"""What is tested is what is written: a parser that changed since it was compiled is read from its source."""

from tests import sources

if sources.are_newer():
    sources.use_sources()
