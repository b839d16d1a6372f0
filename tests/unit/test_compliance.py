"""The compliance page and the marks of the tests agree, and no attack is left out."""

import pytest

from tests import compliance


def test_page_is_the_one_that_the_marks_give():
    """Behind? Run ``python -m tests.compliance``."""
    assert compliance.PAGE.read_text(encoding="utf-8") == compliance.page()


def test_every_rule_has_words_and_a_test():
    assert set(compliance.proofs()) == set(compliance.RULES)


@pytest.mark.parametrize("number", range(1, 18))
def test_every_attack_of_rfc_9700_is_tried_or_named_as_not_ours(number):
    def named(rules):
        return [rule for rule in rules if rule[0] == "RFC 9700" and f"{rule[1]}.".startswith(f"4.{number}.")]

    assert named(compliance.proofs()) or named(compliance.NOT_OURS)
    assert not set(compliance.proofs()) & set(compliance.NOT_OURS)
