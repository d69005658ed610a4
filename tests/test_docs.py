"""The pages that are made from the code are what the code says."""

import pytest

from docs.generate import HERE, PAGES


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_is_up_to_date(name):
    """`make docs` would change nothing."""
    assert (HERE / name).read_text(encoding="utf-8") == PAGES[name]()
