"""Allocation rules as data: whether a client takes a node, and with how many servers (S5).

A rule answers a number: > 0 so many servers, 0 the node is not used, < 0 the next rule is
asked; no rule left: the node is ignored. What is not known of a node (None) passes. A rule of
a subclass, or with an expression that could keep the scheduler busy, is asked in the client.

Pure. Rows ST-11 to ST-13.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dispycos.messages import NodeFacts, Rule
from dispycos.model import Location
from dispycos.records import record
from dispycos.wording import many

NEXT = -1  # this rule says nothing of the node

# Expressions with at most so many repetitions, none of them of a group, take milliseconds on
# a platform's text; others are evaluated where they were written (SE-27, R-75).
MAX_REPETITIONS = 3
MAX_PLATFORM_CHARS = 255

_REPETITION = re.compile(r"[*+{]")
_REPEATED_GROUP = re.compile(r"\)[*+{?]")


@record
class Verdict:
    """What the rules say of a node."""

    servers: int = 0  # > 0: use so many
    ask: int | None = None  # index of the rule that must be asked in the client
    reason: str = ""  # why the node is not used


def judge(rule: Rule, facts: NodeFacts) -> int:
    """Servers to use of this node: > 0 so many, 0 none, < 0 ask the next rule (ST-12)."""
    return explain(rule, facts)[0]


def explain(rule: Rule, facts: NodeFacts) -> tuple[int, str]:
    """What `judge` answers, and why if it is not a number of servers."""
    if not matches(rule.node, facts):
        return NEXT, _elsewhere(rule, facts)
    if rule.platform and not _searched(rule.platform, facts.platform):
        return NEXT, f"its platform {facts.platform!r} does not match {rule.platform!r}"
    if facts.cpus <= 0:
        return 0, "it has no server"
    if rule.cpus > facts.cpus:
        return 0, f"it has {many(facts.cpus, 'server')}, {many(rule.cpus, 'is', 'are')} needed"
    if facts.cpus + min(rule.cpus, 0) <= 0:
        return 0, f"it has {many(facts.cpus, 'server')}, {many(-rule.cpus, 'is', 'are')} to be left out"
    avail = facts.avail
    if avail.memory is not None and avail.memory < rule.memory:
        return 0, f"it has {avail.memory} bytes of memory free, {rule.memory} are needed"
    if avail.disk is not None and avail.disk < rule.disk:
        return 0, f"it has {avail.disk} bytes of disk free, {rule.disk} are needed"
    return rule.cpus if rule.cpus > 0 else facts.cpus + rule.cpus, ""


def choose(rules: Sequence[Rule], facts: NodeFacts, start: int = 0) -> Verdict:
    """Apply the rules from number `start` on, in order; the first that does not pass on decides.

    No rules at all: every node, with all its servers. The caller asks the client where the
    verdict says so, and goes on with `answered`.
    """
    if not rules:
        count = max(facts.cpus, 0)
        return Verdict(count, reason="" if count else "it has no server")
    said: list[str] = []
    for index in range(start, len(rules)):
        rule = rules[index]
        if asks_client(rule):
            # What anybody can see needs no question.
            if matches(rule.node, facts):
                return Verdict(ask=index)
            number, why = NEXT, _elsewhere(rule, facts)
        else:
            number, why = explain(rule, facts)
        if number > 0:
            return Verdict(min(number, facts.cpus))
        if number == 0:
            return Verdict(reason=why)
        said.append(why)
    return Verdict(reason="; ".join(said) or "no rule takes it")


def answered(rules: Sequence[Rule], facts: NodeFacts, index: int, servers: int | None) -> Verdict:
    """Go on after the client answered for rule `index`; None (it failed) passes on (ST-13)."""
    if servers is None or servers < 0:
        verdict = choose(rules, facts, index + 1) if index + 1 < len(rules) else Verdict()
        if verdict.servers or verdict.ask is not None:
            return verdict
        why = (
            "the client's own rule passed it over" if servers is not None else "the client's own rule failed"
        )
        return Verdict(reason=f"{why}; {verdict.reason}" if verdict.reason else why)
    if servers == 0:
        return Verdict(reason="the client's own rule refused it")
    return Verdict(min(servers, facts.cpus))


def asks_client(rule: Rule) -> bool:
    """Whether this rule is evaluated in the client rather than in the scheduler."""
    return rule.asks_client or not _harmless(rule.platform)


def matches(pattern: str, facts: NodeFacts) -> bool:
    """Whether a rule's `node` means this node: an address of it, its name, or a pattern of either."""
    pattern = pattern.lower()
    known = [text.lower() for text in (*facts.location.addresses, facts.name)]
    if "*" not in pattern:
        return pattern in known
    parts = pattern.split("*")
    return any(_like(parts, text) for text in known)


def _elsewhere(rule: Rule, facts: NodeFacts) -> str:
    return f"its address {' or '.join(facts.location.addresses)} is not {rule.node}"


def concrete(rule: Rule) -> Location | None:
    """Where the node that a rule names is dialled; None for a pattern or a name."""
    if "*" in rule.node:
        return None
    try:
        return Location(rule.node, rule.port)
    except ValueError:
        return None


def _like(parts: Sequence[str], text: str) -> bool:
    # Each part is looked for once, left to right, so a hostile pattern can't cost more than
    # its length times the text's; a regular expression could.
    first, *middle, last = parts
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _harmless(pattern: str) -> bool:
    if len(pattern) > MAX_PLATFORM_CHARS or _REPEATED_GROUP.search(pattern):
        return False
    return len(_REPETITION.findall(pattern)) <= MAX_REPETITIONS


def _searched(pattern: str, platform: str) -> bool:
    try:
        return re.search(pattern, platform[:MAX_PLATFORM_CHARS], re.IGNORECASE) is not None
    except (re.error, RecursionError, OverflowError):
        return False
