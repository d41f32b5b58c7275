"""The comparison of what producers were told is accepted with what the database holds in the end.

`read` takes a snapshot over all tenants; `compare` is a function of journal and snapshot, so that a test can doctor either.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from chaos.journal import Broke, Said
from chaos.load import STORES, remembered

Sort = Literal["lost", "doubled", "out of order", "left over"]
_WORD = re.compile(r"I love (\w+) tea")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that does not add up; `event` names the event that it is about, where it is about one."""

    sort: Sort
    told: str
    event: str | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Rows as dictionaries, of one moment."""

    events: list[dict[str, Any]]
    deliveries: list[dict[str, Any]]
    learnings: list[dict[str, Any]]
    evidence: list[dict[str, Any]]
    extractions: list[dict[str, Any]]
    producers: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    mailboxes: list[dict[str, Any]]


_QUERIES = {
    "events": "SELECT id::text, session_id, accepted_no, via FROM learning.conversation_event",
    "deliveries": "SELECT event_id::text AS event, store, scope, state, reason, error, generation, accepted_no, "
    "extraction_id::text AS extraction, extract(epoch FROM accepted_at)::float AS accepted, "
    "extract(epoch FROM settled_at)::float AS settled FROM learning.delivery",
    "learnings": "SELECT id::text, kind, user_id, session_id, content, data FROM learning.learning WHERE status = 'active'",
    "evidence": "SELECT e.learning_id::text AS learning, e.event_id::text AS event FROM learning.evidence e "
    "JOIN learning.learning l ON l.tenant = e.tenant AND l.id = e.learning_id "
    "WHERE l.status = 'active' AND l.kind = 'memory' AND e.withdrawn_at IS NULL",
    "extractions": "SELECT id::text, store, scope, events, token, extract(epoch FROM started_at)::float AS started, "
    "extract(epoch FROM committed_at)::float AS committed FROM learning.extraction",
    "producers": "SELECT producer::text, highest, received FROM learning.producer_seq",
    "rejected": "SELECT event_id, field, reason FROM learning.rejected_event",
    "mailboxes": "SELECT store, scope, owner, wait_reason, wait_note, claims, failures, due_at::text, not_before::text, "
    "nudged_until::text, lease_until::text FROM learning.mailbox",
}


def read(session: Session) -> Snapshot:
    """A snapshot, as one who sees every tenant."""
    found = {
        name: [dict(row._mapping) for row in session.execute(text(statement))] for name, statement in _QUERIES.items()
    }
    return Snapshot(**found)


def compare(said: Sequence[Said], broke: Sequence[Broke], snapshot: Snapshot) -> list[Finding]:
    """Everything that does not add up; nothing is found where every promise was kept."""
    return [
        *_events(said, snapshot),
        *_deliveries(said, snapshot),
        *_facts(said, snapshot),
        *_order(said, snapshot),
        *_last_words(said, snapshot),
        *_summaries(said, snapshot),
        *_extractions(snapshot),
        *_numbers(said, snapshot),
        *_remains(broke, snapshot),
    ]


def _events(said: Sequence[Said], snapshot: Snapshot) -> Iterable[Finding]:
    """Every acknowledged event is in the event log, once, and nothing else is."""
    logged = Counter(event["id"] for event in snapshot.events)
    for one in said:
        if not logged[one.id]:
            yield Finding(sort="lost", told=f"event by {one.via} is not in the event log", event=one.id)
    journaled = Counter(one.id for one in said)
    for event, count in logged.items():
        if count > 1:
            yield Finding(sort="doubled", told="event is in the event log more than once", event=event)
        if not journaled[event]:
            yield Finding(sort="doubled", told="event in the event log that no producer was told of", event=event)


def _deliveries(said: Sequence[Said], snapshot: Snapshot) -> Iterable[Finding]:
    """Every event has one settled delivery to each store, none of them dead."""
    by_event: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for delivery in snapshot.deliveries:
        by_event[delivery["event"]][delivery["store"]].append(delivery)
    for one in said:
        for store in STORES:
            found = by_event[one.id][store]
            if not found:
                yield Finding(sort="lost", told=f"no delivery to {store}", event=one.id)
            for delivery in found:
                state = delivery["state"]
                if state == "dead":
                    why = f"{delivery['reason']}, {delivery['error']}"
                    yield Finding(sort="lost", told=f"delivery to {store} is dead ({why})", event=one.id)
                elif state == "pending":
                    yield Finding(sort="left over", told=f"delivery to {store} is still pending", event=one.id)
                elif state != "extracted":
                    yield Finding(sort="lost", told=f"delivery to {store} is {state}", event=one.id)
            if len(found) > 1:
                yield Finding(sort="doubled", told=f"{len(found)} deliveries to {store}", event=one.id)


def _facts(said: Sequence[Said], snapshot: Snapshot) -> Iterable[Finding]:
    """Every fact is one live memory of its user, with one piece of evidence, which is of its event."""
    memories = defaultdict[tuple[str, str], list[str]](list)
    for row in snapshot.learnings:
        if row["kind"] == "memory":
            memories[row["user_id"], row["content"]].append(row["id"])
    evidence = defaultdict[str, list[str]](list)
    for row in snapshot.evidence:
        evidence[row["learning"]].append(row["event"])
    expected = set()
    for one in said:
        key = one.user, remembered(one.word)
        expected.add(key)
        found = memories.get(key, [])
        if not found:
            yield Finding(sort="lost", told="fact is not remembered", event=one.id)
        elif len(found) > 1:
            yield Finding(sort="doubled", told=f"fact is remembered {len(found)} times", event=one.id)
        for learning in found:
            if evidence[learning] != [one.id]:
                count = len(evidence[learning])
                told = f"fact stands on {count} pieces of evidence instead of one of its event"
                yield Finding(sort="doubled" if count > 1 else "lost", told=told, event=one.id)
    for user, content in memories.keys() - expected:
        yield Finding(sort="doubled", told=f"{user} has a memory that nobody acknowledged: {content!r}")


def _by_session(said: Sequence[Said]) -> Mapping[int, list[Said]]:
    sessions = defaultdict[int, list[Said]](list)
    for one in sorted(said, key=lambda one: one.position):
        sessions[one.session].append(one)
    return sessions


def _order(said: Sequence[Said], snapshot: Snapshot) -> Iterable[Finding]:
    """The acceptance numbers of a session's events grow in the order in which they were emitted."""
    numbers = {event["id"]: event["accepted_no"] for event in snapshot.events}
    for one in said:
        if one.id in numbers and numbers[one.id] is None:
            yield Finding(sort="left over", told=f"event by {one.via} has no acceptance number", event=one.id)
    for session, events in _by_session(said).items():
        numbered = [one for one in events if numbers.get(one.id) is not None]
        for before, after in pairwise(numbered):
            if numbers[before.id] > numbers[after.id]:
                pair = f"event {after.position} by {after.via} was accepted before {before.position} by {before.via}"
                yield Finding(sort="out of order", told=f"session {session}: {pair}", event=after.id)


def _last_words(said: Sequence[Said], snapshot: Snapshot) -> Iterable[Finding]:
    """Where several values were given, the one given last is the one that holds."""
    fields = defaultdict[str, list[Any]](list)
    for row in snapshot.learnings:
        if row["kind"] == "field" and row["data"].get("name") == "employer":
            fields[row["user_id"]].append(row["data"].get("value"))
    last = {}
    for one in sorted(said, key=lambda one: one.position):
        if one.work:
            last[one.user] = one
    for user, one in last.items():
        if fields[user] != [one.word.capitalize()]:
            sort: Sort = "lost" if not fields[user] else "doubled" if len(fields[user]) > 1 else "out of order"
            told = f"employer of {user} is {fields[user]}, last said was {one.word.capitalize()!r}"
            yield Finding(sort=sort, told=told, event=one.id)


def _summaries(said: Sequence[Said], snapshot: Snapshot) -> Iterable[Finding]:
    """A session's summary tells its last turns, each once, in the order of their acceptance (which `_order` compares)."""
    numbers = {event["id"]: event["accepted_no"] or 0 for event in snapshot.events}
    told_of = defaultdict[tuple[str, str], list[list[str]]](list)
    for row in snapshot.learnings:
        if row["kind"] == "summary":
            told_of[row["user_id"], row["session_id"]].append(_WORD.findall(row["content"]))
    for session, events in _by_session(said).items():
        last = events[-1]
        words = [one.word for one in sorted(events, key=lambda one: numbers.get(one.id, 0))]
        found = told_of[last.user, f"s{session}"]
        if len(found) != 1:
            sort: Sort = "doubled" if found else "lost"
            yield Finding(sort=sort, told=f"session {session} has {len(found)} summaries", event=last.id)
        elif len(found[0]) > len(set(found[0])):
            yield Finding(sort="doubled", told=f"session {session}: a turn is summarised twice", event=last.id)
        elif not found[0] or found[0] != words[-len(found[0]) :]:
            sort = "lost" if set(words[-len(found[0]) :]) - set(found[0]) else "out of order"
            told = f"session {session}: the summary does not tell its last {len(found[0])} turns in order"
            yield Finding(sort=sort, told=told, event=last.id)


def _extractions(snapshot: Snapshot) -> Iterable[Finding]:
    """Each extraction settled as many deliveries as it read; those of one mailbox followed one another."""
    settled = defaultdict[str, list[dict[str, Any]]](list)
    for delivery in snapshot.deliveries:
        if delivery["extraction"] is not None:
            settled[delivery["extraction"]].append(delivery)
        if delivery["generation"] != 1:
            yield Finding(sort="doubled", told="delivery of another generation than the first", event=delivery["event"])
    mailboxes = defaultdict[tuple[str, str], list[dict[str, Any]]](list)
    for extraction in snapshot.extractions:
        mailboxes[extraction["store"], extraction["scope"]].append(extraction)
        if len(settled[extraction["id"]]) != extraction["events"]:
            told = f"extraction of {extraction['events']} events settled {len(settled[extraction['id']])}"
            yield Finding(sort="doubled", told=told)
    for (store, scope), extractions in mailboxes.items():
        extractions.sort(key=lambda extraction: extraction["committed"])
        for before, after in pairwise(extractions):
            numbers = [[row["accepted_no"] for row in settled[each["id"]]] for each in (before, after)]
            if all(numbers) and max(numbers[0]) > min(numbers[1]):
                yield Finding(sort="out of order", told=f"{store} {scope}: extractions are not in order of acceptance")
            if before["token"] > after["token"]:
                yield Finding(sort="doubled", told=f"{store} {scope}: a commit under an older lease came later")


def _numbers(said: Sequence[Said], snapshot: Snapshot) -> Iterable[Finding]:
    """The ledger: each producer's events are as many as its highest number, and all of them were received."""
    emitted = defaultdict[str, set[int]](set)
    for one in said:
        emitted[one.producer].add(one.seq)
    known = {row["producer"]: row for row in snapshot.producers}
    for producer, numbers in emitted.items():
        row = known.get(producer)
        if max(numbers) != len(numbers):
            yield Finding(sort="lost", told=f"producer {producer} numbered {max(numbers)} of {len(numbers)} events")
        if row is None or row["highest"] != max(numbers) or row["received"] != len(numbers):
            had = "none" if row is None else f"{row['received']} of {row['highest']}"
            sort: Sort = "doubled" if row is not None and row["received"] > len(numbers) else "lost"
            yield Finding(sort=sort, told=f"ledger: producer {producer} sent {len(numbers)}, received {had}")


def _remains(broke: Sequence[Broke], snapshot: Snapshot) -> Iterable[Finding]:
    """Nothing was rejected, no mailbox is left, and emit said either yes or no."""
    for row in snapshot.rejected:
        yield Finding(sort="lost", told=f"rejected: {row['field']}: {row['reason']}", event=row["event_id"])
    for row in snapshot.mailboxes:
        yield Finding(sort="left over", told=f"mailbox { ({name: value for name, value in row.items() if value}) }")
    for each in broke:
        told = f"emit of session {each.session}, event {each.position} raised {each.error}"
        yield Finding(sort="left over", told=told)
