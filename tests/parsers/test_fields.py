"""Groups of fields are read however carelessly they are written."""

from parsers.fields import MAX_FIELDS, MAX_GROUPS, MAX_VALUE, groups, without_comments


def test_groups():
    """Blank lines part groups; folded and unindented lines go on with the field before."""
    text = (
        "Reporting-MTA: dns; a\n\n \nFinal-Recipient: rfc822; b\nDiagnostic-Code: smtp; 550-one\n\t550 two\nand three\n"
    )
    assert groups(text) == [
        {"reporting-mta": "dns; a"},
        {"final-recipient": "rfc822; b", "diagnostic-code": "smtp; 550-one 550 two and three"},
    ]


def test_a_second_recipient_begins_a_group():
    """The blank line between two recipients is missing at times."""
    text = "Final-Recipient: rfc822; a\nStatus: 5.1.1\nFinal-Recipient: rfc822; b\nStatus: 5.2.2\n"
    assert [group["status"] for group in groups(text)] == ["5.1.1", "5.2.2"]


def test_doubled_fields():
    """Of doubled fields the first counts; an empty one does not."""
    assert groups("Action:\nAction: failed\nRemote-MTA: a\nRemote-MTA: b\n") == [
        {"action": "failed", "remote-mta": "a"}
    ]


def test_blanks_before_the_colon():
    """Some gateways put one there."""
    assert groups("Status : 5.1.1") == [{"status": "5.1.1"}]


def test_bound():
    """No more groups are read than there can be recipients."""
    assert len(groups("Action: failed\n\n" * (2 * MAX_GROUPS))) == MAX_GROUPS


def test_comments():
    """Comments are left out, unclosed parentheses are not."""
    assert without_comments("failed (for good)") == "failed"
    assert without_comments("failed (for") == "failed (for"


def test_bounds_of_a_group():
    """Neither its fields nor their lengths are unbounded."""
    (group,) = groups("Status: " + "x" * (2 * MAX_VALUE) + "\n" + "".join(f"x{number}: y\n" for number in range(1_000)))
    assert len(group) == MAX_FIELDS
    assert len(group["status"]) == MAX_VALUE
