"""The words that support reads."""

import string

import pytest

from bounced.send.refusal import GIVEN_UP, NO_TOKEN, UNREACHABLE
from parsers.causes.cause import Cause
from parsers.causes.rule import load_rules
from parsers.causes.texts import LANGUAGES, CauseText, _texts, describe

PARTS = {"title", "explanation", "remedy", "remedy_spf", "who"}
AT_STEPS = {UNREACHABLE, NO_TOKEN, GIVEN_UP}
PLACEHOLDERS = {"relay_address", "event_domain"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_explained(cause: Cause, language: str) -> None:
    """Title, explanation, remedy and who must act, in whole sentences without a placeholder left."""
    told = describe(cause, language)
    assert told.title
    assert told.title[-1] != "."
    for sentence in (told.explanation, told.remedy):
        assert sentence.endswith(".")
        assert "{" not in sentence
    assert told.who_name


def test_both_languages_say_the_same() -> None:
    """The same tables, the same parts, the same one who must act, the same placeholders."""
    english, estonian = (_texts(language) for language in ("en", "et"))
    assert english.keys() == estonian.keys() == {*Cause, "who", "rule"}
    assert english["who"].keys() == estonian["who"].keys()
    assert english["rule"].keys() == estonian["rule"].keys()
    pairs = [(english[cause], estonian[cause]) for cause in Cause]
    pairs += [(english["rule"][name], estonian["rule"][name]) for name in english["rule"]]
    for one, other in pairs:
        assert one.keys() == other.keys() <= PARTS
        assert one.get("who") == other.get("who")
        assert [_placeholders(one[part]) for part in one] == [_placeholders(other[part]) for part in one]


def _placeholders(text: str) -> set[str]:
    found = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    assert found <= PLACEHOLDERS
    return found


def test_overrides_belong_to_rules() -> None:
    """A renamed rule must not lose its words silently."""
    assert _texts("en")["rule"].keys() == {rule.name for rule in load_rules()} & _texts("en")["rule"].keys() | AT_STEPS


def test_spf_remedy_comes_where_the_text_points_to_spf() -> None:
    """Permit Directo's server in SPF, or switch to Directo-Reply-to: the commonest remedy of all."""
    for cause in (Cause.DMARC_FAILED, Cause.AUTHENTICATION_FAILED, Cause.SPAM_CONTENT):
        plain, pointed = describe(cause, text="550 rejected"), describe(cause, text="550 rejected, SPF: fail")
        assert plain.remedy != pointed.remedy
        assert "ip4:90.190.150.212" in pointed.remedy
        assert "Directo-Reply-to" in pointed.remedy
    assert "ip4:192.0.2.9" in describe(Cause.SPF_FAILED, relay_address="192.0.2.9").remedy


def test_a_rule_may_know_better() -> None:
    """Two refused logins, two remedies; a rule without words of its own has its cause's."""
    assert "app password" in describe(Cause.LOGIN_FAILED, rule="gmail-app-password").remedy
    assert describe(Cause.LOGIN_FAILED, rule="microsoft-basic-auth-off").who == "company-admin"
    assert describe(Cause.LOGIN_FAILED, rule="login-wrong") == describe(Cause.LOGIN_FAILED)


def test_an_unknown_language_is_an_error() -> None:
    """Nothing is read from a path that a caller made up."""
    with pytest.raises(KeyError):
        describe(Cause.UNKNOWN, "../../etc/passwd")


def test_cause_text_is_data() -> None:
    """A plain frozen value: it can be compared, and nobody can change it for others."""
    told = describe(Cause.UNKNOWN)
    assert isinstance(told, CauseText)
    assert told == describe(Cause.UNKNOWN)
