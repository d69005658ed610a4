"""The rules are data; what holds of all of them is checked here."""

import re

import pytest

from parsers.causes import rule as rules
from parsers.causes.cause import Cause
from parsers.causes.classify import classify
from parsers.causes.rule import Rule, load_rules
from parsers.causes.wording import FILLER
from parsers.reply import find_reply
from parsers.report import Kind
from parsers.status import find_status

RULES = load_rules()
REGEX_SIGNS = re.compile(r"\\[a-zA-Z]|\[[^\]]*\]|\(\?[^)]*\)|[()|?*+^$.]|\{[\d,]+\}")
STANDS_FOR = {"ADDRESS", "HOST", "URL", "IP", "PATH"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_example_is_decided_by_its_rule(rule: Rule) -> None:
    """A rule that an earlier one shadows, or that does not match what it is for, is a mistake."""
    verdict = classify(
        text=rule.example,
        status=find_status(rule.example),
        smtp_code=find_reply(rule.example),
        kind=Kind.BOUNCE,
        remote_mta=rule.host[0] if rule.host else None,
    )
    assert (verdict.rule, verdict.cause) == (rule.name, rule.cause)


def test_every_cause_has_a_rule() -> None:
    """No cause of the closed list is out of reach."""
    assert {rule.cause for rule in RULES} == set(Cause)


def test_only_the_last_rule_has_no_condition() -> None:
    """The engine falls back on the last rule, so it must take all; one before it would hide what follows."""
    bare = [r for r in RULES if not (r.text or r.raw or r.status or r.code or r.also or r.host or r.refusal)]
    assert bare == [RULES[-1]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_patterns_are_written_in_the_words_that_they_see(rule: Rule) -> None:
    """A pattern with a filler word, an apostrophe, a hyphen or a capital would never be found."""
    for pattern in (*rule.text, *rule.also, *rule.unless):
        plain = REGEX_SIGNS.sub(" ", pattern).split()
        assert not FILLER & set(plain), pattern
        assert not any(sign in word for word in plain for sign in "'-,:;!"), pattern
        assert all(word.islower() or not word.isascii() or word in STANDS_FOR for word in plain if word.isalpha()), (
            pattern
        )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_word_boundaries_stand_beside_ascii(rule: Rule) -> None:
    r"""RE2 takes a letter beyond ASCII for no letter: \bспам is never found behind a space."""
    for pattern in (*rule.text, *rule.also, *rule.unless, *rule.raw):
        assert not re.search(r"\\b[^\x00-\x7f]|[^\x00-\x7f]\\b", pattern), pattern


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_raw_patterns_are_lower_case(rule: Rule) -> None:
    """The whole reply is seen in lower case."""
    for pattern in rule.raw:
        assert REGEX_SIGNS.sub("", pattern) == REGEX_SIGNS.sub("", pattern).lower()


def test_file_order_names_every_file() -> None:
    """A rule file that no one reads would be silently dead."""
    assert sorted(rules.ORDER) == sorted(path.stem for path in rules.FOLDER.glob("*.toml"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('name = "a"\ncause = "user-unknown"\nexample = "x"\ntexts = ["a"]', "texts"),
        ('name = "a"\ncause = "nonsense"\nexample = "x"', "nonsense"),
        ('name = "a"\ncause = "user-unknown"', "example"),
        ('name = "a"\ncause = "user-unknown"\nexample = "x"\ntext = "a"', "text: a list"),
        ('name = "a"\ncause = "user-unknown"\nexample = "x"\nrefusal = "maybe"', "refusal"),
    ],
)
def test_a_mistake_in_a_rule_is_named(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, wrong: str, said: str
) -> None:
    """The error says which file and rule, and what is wrong."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "one.toml").write_text(f"[[rule]]\n{wrong}\n")
    monkeypatch.setattr(rules, "FOLDER", folder)
    monkeypatch.setattr(rules, "ORDER", ("one",))
    with pytest.raises(ValueError, match=rf"one\.toml: rule 'a': .*{said}"):
        load_rules()


def test_a_name_used_twice_is_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event names the rule that decided, so a name must be one rule's."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "one.toml").write_text('[[rule]]\nname = "a"\ncause = "unknown"\nexample = "x"\n' * 2)
    monkeypatch.setattr(rules, "FOLDER", folder)
    monkeypatch.setattr(rules, "ORDER", ("one",))
    with pytest.raises(ValueError, match=r"one\.toml: rule 'a': the name is used twice"):
        load_rules()
