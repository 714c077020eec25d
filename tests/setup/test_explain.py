"""What a word means: once for each of its senses."""

from __future__ import annotations

import pytest

from edgekit.errors import InputError
from edgekit.report.terms import TERMS
from edgekit.setup.explain import explain


@pytest.mark.parametrize("word", [*TERMS, *(term.name for term in TERMS.values())])
def test_a_term_is_told_once_in_whatever_case(word: str) -> None:
    for written in (word, word.upper()):
        assert [one.kind for one in explain(written)].count("term") == 1


def test_the_known_words_stand_once_in_the_error() -> None:
    with pytest.raises(InputError, match="no word 'nothing'") as raised:
        explain("nothing")
    known = raised.value.message.partition("known here: ")[2].lower().split(", ")
    assert "drop" in known
    assert len(known) == len(set(known))
