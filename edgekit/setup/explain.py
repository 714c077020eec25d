"""What a word of reports and recipes means: a stage, a gate, a target, a verdict, a term."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.errors import InputError
from edgekit.evaluation.gates import Gates, GateVerdict
from edgekit.evidence import Evidence, Verdict
from edgekit.report.terms import TERMS
from edgekit.spec.docstrings import key_docs
from edgekit.spec.stage_keys import stage_keys
from edgekit.spec.target import known_targets, load_target
from edgekit.spec.yamlfile import suggestion

Kind = Literal["stage", "gate", "target", "verdict", "evidence", "term"]
OF_TERMS: dict[str, tuple[Kind, str]] = {
    **{str(word): ("verdict", "gate") for word in GateVerdict},
    **{str(word): ("verdict", "verdict") for word in Verdict},
    **{str(word): ("evidence", "evidence") for word in Evidence},
}
"""Words of reports that a term of the glossary explains."""


class Explanation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    word: str
    kind: Kind
    text: str
    more: str = ""
    """The command that tells more."""


def explain(word: str) -> list[Explanation]:
    """What a word means, in each of its senses: `prune` and `max_size_mb` have one.

    Each text has one source: a stage's and a gate's own docstring, a target's file, the glossary
    that the pages of reports show.

    Raises:
        InputError: no such word, with the nearest.
    """
    wanted = word.strip().lower()
    found = [one for one in _all() if wanted in (one.word.lower(), one.word.lower().split(" (")[0])]
    if not found:
        known = sorted({one.word.lower(): one.word for one in _all()}.values())
        raise InputError(f"no word {word!r}; {suggestion(word, known)}")
    return found


def _all() -> list[Explanation]:
    stages = [
        Explanation(word=name, kind="stage", text=keys.summary, more=f"edgekit stages {name}")
        for name, keys in stage_keys().items()
    ]
    gates = [
        Explanation(word=name, kind="gate", text=text) for name, text in key_docs(Gates).items()
    ]
    targets = []
    for name in known_targets():
        target = load_target(name)
        text = f"{target.description}. Builds {', '.join(v.name for v in target.variants)}."
        targets.append(Explanation(word=name, kind="target", text=text, more="edgekit targets"))
    of_terms = [
        Explanation(word=word, kind=kind, text=TERMS[term].meaning)
        for word, (kind, term) in OF_TERMS.items()
    ]
    terms = [
        Explanation(word=name, kind="term", text=term.meaning)
        for key, term in TERMS.items()
        for name in {word.lower(): word for word in (key, term.name)}.values()
    ]
    return [*stages, *gates, *targets, *of_terms, *terms]
