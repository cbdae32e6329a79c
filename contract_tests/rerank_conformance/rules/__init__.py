"""The rules: what the contract asks of a server, each with the function that judges recorded exchanges by it.

Importing this package fills `RULES`. No rule sends anything.
"""

from rerank_conformance.rules.rule import (
    RULES,
    Finding,
    Judgement,
    Recording,
    Rule,
    Undecided,
    rule,
    rule_set,
)

from rerank_conformance.rules import (  # isort: skip  # the sections, in the order of a report
    acceptance as _acceptance,
    answer as _answer,
    relations as _relations,
    lists as _lists,
    texts as _texts,
    refusals as _refusals,
    errors as _errors,
    authentication as _authentication,
    methods as _methods,
    models as _models,
    robustness as _robustness,
    transport as _transport,
    schema as _schema,
)

__all__ = ["RULES", "Finding", "Judgement", "Recording", "Rule", "Undecided", "rule", "rule_set"]

_SECTIONS = (
    _acceptance,
    _answer,
    _relations,
    _lists,
    _texts,
    _refusals,
    _errors,
    _authentication,
    _methods,
    _models,
    _robustness,
    _transport,
    _schema,
)
