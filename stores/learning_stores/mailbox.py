"""Mailboxes: the pending deliveries of one store and one scope, worked on by one worker at a time.

A mailbox is ready when it is due (debounced, or flushed), not paused, not nudged lately and not under a live lease; the
generated column `ready_at` is the last of these moments. A claim takes the lease with a token that is never used twice;
the token alone decides who may commit. Times are the database's clock, always.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.tally import count

LEASE_SECONDS = 15
HEARTBEAT_SECONDS = 5
NUDGE_SECONDS = 30
"""How long a nudge is waited for before it counts as lost."""
EACH_TENANT = 8
"""Mailboxes of one tenant and store that are nudged at a time."""

CRASHES_BEFORE_HALVING = 2
CRASHES_ALONE = 3

WaitReason = Literal["provider", "budget", "unknown model", "waiting for spec", "waiting for store", "retry"]


@dataclass(frozen=True, slots=True)
class Nudge:
    """A mailbox to be told that it has work."""

    mailbox_id: int
    tenant: str
    store: str


# Tenants are walked one by one, a few mailboxes each, so that no backlog of one holds up another; a loose index scan finds
# the next tenant without reading the rows of the last. (Ranking the whole backlog took half a second a tick.) The walk itself
# takes 11 ms for a thousand tenants: it is not begun where nothing at all is ready.
_NUDGE = text("""
    WITH RECURSIVE tenants AS (
        (SELECT m.tenant FROM learning.mailbox m WHERE m.store = :store ORDER BY m.tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT m.tenant FROM learning.mailbox m WHERE m.store = :store AND m.tenant > t.tenant ORDER BY m.tenant LIMIT 1)
        FROM tenants t WHERE t.tenant IS NOT NULL
    ),
    due AS (
        SELECT m.id FROM tenants t CROSS JOIN LATERAL (
            SELECT m.id, m.ready_at FROM learning.mailbox m
            WHERE m.store = :store AND m.tenant = t.tenant AND m.ready_at <= now()
            ORDER BY m.ready_at LIMIT :each) AS m
        WHERE EXISTS (SELECT FROM learning.mailbox m WHERE m.store = :store AND m.ready_at <= now())
        ORDER BY m.ready_at LIMIT :room
    ),
    locked AS (
        SELECT m.id FROM learning.mailbox m WHERE m.id IN (SELECT id FROM due) AND m.ready_at <= now()
        FOR UPDATE SKIP LOCKED
    )
    UPDATE learning.mailbox m SET nudged_until = now() + :seconds * interval '1 s'
    FROM locked WHERE m.id = locked.id
    RETURNING m.id, m.tenant
""")

# A loose index scan over the stores, and for each of them what the pump has to know before it nudges.
_MAIL = text("""
    WITH RECURSIVE stores AS (
        (SELECT m.store FROM learning.mailbox m ORDER BY m.store LIMIT 1)
        UNION ALL
        SELECT (SELECT m.store FROM learning.mailbox m WHERE m.store > s.store ORDER BY m.store LIMIT 1)
        FROM stores s WHERE s.store IS NOT NULL
    )
    SELECT s.store, (SELECT count(*) FROM learning.mailbox m WHERE m.store = s.store AND m.nudged_until > now()) AS nudged,
           EXISTS (SELECT FROM learning.mailbox m WHERE m.store = s.store AND m.ready_at <= now()) AS due
    FROM stores s WHERE s.store IS NOT NULL
""")


@dataclass(frozen=True, slots=True)
class Mail:
    """Of a store that has mailboxes: how many are nudged and not claimed, and whether another one is due."""

    store: str
    nudged: int
    due: bool


def mail(session: Session) -> list[Mail]:
    """The stores that have mailboxes, by name."""
    return [Mail(row.store, row.nudged, row.due) for row in session.execute(_MAIL)]


def take_due(session: Session, store: str, room: int, each_tenant: int = EACH_TENANT) -> list[Nudge]:
    """Mark up to `room` due mailboxes of a store as nudged, at most `each_tenant` a tenant, and return them."""
    rows = session.execute(_NUDGE, {"store": store, "room": room, "each": each_tenant, "seconds": NUDGE_SECONDS})
    return [Nudge(mailbox_id, tenant, store) for mailbox_id, tenant in rows]


_POSTPONE = text("""
    UPDATE learning.mailbox SET not_before = now() + :seconds * interval '1 s', wait_reason = 'waiting for store',
        wait_note = 'no store named ' || store || ' is installed here'
    WHERE id IN (SELECT m.id FROM learning.mailbox m WHERE m.store <> ALL (:installed) AND m.ready_at <= now() LIMIT 10000
                 FOR UPDATE SKIP LOCKED)
""")


def postpone_unknown(session: Session, installed: Collection[str], seconds: float) -> None:
    """Let every due mailbox of other stores than these wait: this deployment cannot work on them."""
    session.execute(_POSTPONE, {"installed": list(installed), "seconds": seconds})


_RESUME = text("""
    UPDATE learning.mailbox SET not_before = NULL, wait_reason = NULL, wait_note = NULL
    WHERE id IN (SELECT m.id FROM learning.mailbox m WHERE m.store = ANY (:installed) AND m.wait_reason = 'waiting for store'
                 FOR UPDATE SKIP LOCKED)
""")


def resume_known(session: Session, installed: Collection[str]) -> None:
    """Let mailboxes that waited for one of these stores wait no longer."""
    session.execute(_RESUME, {"installed": list(installed)})


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's right to one mailbox, until the lease ends."""

    mailbox_id: int
    tenant: str
    store: str
    scope: str
    subject: str
    user_id: str | None
    session_id: str | None
    token: int
    window_limit: int | None
    crashes_alone: int
    failures: int


@dataclass(frozen=True)
class NotReady:
    """Why a mailbox cannot be claimed."""

    reason: Literal["gone", "leased", "not due", "paused"]
    not_before: datetime | None = None
    wait_reason: str | None = None
    wait_note: str | None = None


_LOOK = text("""
    SELECT store, scope, subject, user_id, session_id, owner, claims, window_limit, crashes_alone, failures,
           not_before, wait_reason, wait_note,
           lease_until > now() AS leased, due_at <= now() AS due, coalesce(not_before > now(), false) AS paused
    FROM learning.mailbox WHERE id = :id AND tenant = :tenant FOR UPDATE
""")

# Most are claimed by the first who comes, with nothing to count.
_CLAIM_AT_ONCE = text("""
    UPDATE learning.mailbox
    SET owner = :owner, token = nextval('learning.lease_token'), claims = claims + 1, nudged_until = NULL,
        lease_until = clock_timestamp() + :seconds * interval '1 s', not_before = NULL, wait_reason = NULL, wait_note = NULL
    WHERE id = :id AND tenant = :tenant AND owner IS NULL AND due_at <= now() AND coalesce(lease_until <= now(), true)
      AND coalesce(not_before <= now(), true)
    RETURNING store, scope, subject, user_id, session_id, token, window_limit, crashes_alone, failures
""")

_CLAIM = text("""
    UPDATE learning.mailbox
    SET owner = :owner, token = nextval('learning.lease_token'), claims = claims + 1, nudged_until = NULL,
        lease_until = clock_timestamp() + :seconds * interval '1 s', window_limit = :window_limit, crashes_alone = :crashes_alone,
        not_before = NULL, wait_reason = NULL, wait_note = NULL
    WHERE id = :id RETURNING token
""")

MAX_WINDOW_EVENTS = 64

_WINDOW = text(f"""
    SELECT count(*) FROM (
        SELECT FROM learning.delivery
        WHERE tenant = :tenant AND store = :store AND scope = :scope AND state = 'pending' LIMIT {MAX_WINDOW_EVENTS}) AS w
""")  # noqa: S608 - the number is a constant


def claim(session: Session, tenant: str, mailbox_id: int, owner: str) -> Claim | NotReady:
    """Take the lease, or say why not. Counts a claim that was never committed or released as a crash of its worker.

    After `CRASHES_BEFORE_HALVING` of them the window is halved at each further one, down to a single event; what crashes
    then is counted in `crashes_alone`.
    """
    place = {"id": mailbox_id, "tenant": tenant}
    taken = session.execute(_CLAIM_AT_ONCE, {**place, "owner": owner, "seconds": LEASE_SECONDS}).one_or_none()
    if taken is not None:
        return Claim(mailbox_id=mailbox_id, tenant=tenant, **taken._mapping)
    row = session.execute(_LOOK, place).one_or_none()
    if row is None:
        return NotReady("gone")
    if row.leased:
        return NotReady("leased")
    if row.paused:
        return NotReady("paused", row.not_before, row.wait_reason, row.wait_note)
    if not row.due:
        return NotReady("not due")
    if row.owner is not None:
        count(session, "mailbox taken over", row.store)
    limit, alone = row.window_limit, row.crashes_alone
    # A claim that ended well, or in a pause, left no owner: only what was never heard of again is counted, and once.
    if row.owner is not None and row.claims >= CRASHES_BEFORE_HALVING:
        alone += limit == 1
        key = {"tenant": tenant, "store": row.store, "scope": row.scope}
        limit = max(1, (limit or int(session.scalar(_WINDOW, key) or 1)) // 2)
    token = session.scalar(
        _CLAIM,
        {"id": mailbox_id, "owner": owner, "seconds": LEASE_SECONDS, "window_limit": limit, "crashes_alone": alone},
    )
    assert token is not None
    return Claim(
        mailbox_id=mailbox_id,
        tenant=tenant,
        store=row.store,
        scope=row.scope,
        subject=row.subject,
        user_id=row.user_id,
        session_id=row.session_id,
        token=token,
        window_limit=limit,
        crashes_alone=alone,
        failures=row.failures,
    )


_EXTEND = text("""
    UPDATE learning.mailbox SET lease_until = clock_timestamp() + :seconds * interval '1 s'
    WHERE id = :id AND tenant = :tenant AND token = :token AND lease_until > clock_timestamp()
""")


def extend(session: Session, tenant: str, mailbox_id: int, token: int) -> bool:
    """A heartbeat: extend a live lease. False where it is no longer ours."""
    written: Any = session.execute(
        _EXTEND, {"id": mailbox_id, "tenant": tenant, "token": token, "seconds": LEASE_SECONDS}
    )
    return bool(written.rowcount)


# The subject first, as everybody takes the two; no mailbox is looked at where it is gone. What a commit asks are look-ups by
# key, and the same plan serves them all: making one took Postgres longer than running it.
_HOLD = text("""
    WITH held AS MATERIALIZED (
        SELECT FROM learning.subject WHERE tenant = :tenant AND subject = :subject FOR SHARE)
    SELECT set_config('plan_cache_mode', 'force_generic_plan', true) IS NOT NULL FROM learning.mailbox
    WHERE id = :id AND tenant = :tenant AND token = :token AND EXISTS (SELECT FROM held) FOR UPDATE
""")


def hold(session: Session, held: Claim) -> bool:
    """Lock subject and mailbox for a commit; False where the subject is gone or another worker has the mailbox now.

    An expired lease that nobody took is still ours.
    """
    key = {"id": held.mailbox_id, "tenant": held.tenant, "token": held.token, "subject": held.subject}
    return bool(session.scalar(_HOLD, key))


# Run in a later statement than the one that locked the mailbox: its snapshot then sees every delivery whose intake was
# before us, and every later one waits for our lock and finds the mailbox gone or renewed.
_END = text("""
    WITH pending AS (
        SELECT min(accepted_no) AS oldest, min(accepted_at) AS since FROM learning.delivery
        WHERE tenant = :tenant AND store = :store AND scope = :scope AND state = 'pending'),
    ended AS (
        DELETE FROM learning.mailbox m USING pending WHERE m.id = :id AND m.token = :token AND pending.oldest IS NULL)
    SELECT oldest, since FROM pending
""")

_RENEW = text("""
    UPDATE learning.mailbox SET
        claims = :claims, window_limit = :window_limit, crashes_alone = 0, failures = 0, first_pending_at = :since,
        due_at = CASE WHEN flush_no >= :oldest OR :at_once THEN clock_timestamp()
                      ELSE least(cast(:since AS timestamptz) + max_wait, last_event_at + debounce) END,
        lease_until = CASE WHEN :keep THEN clock_timestamp() + :seconds * interval '1 s' END,
        owner = CASE WHEN :keep THEN owner END
    WHERE id = :id AND token = :token
    RETURNING due_at <= clock_timestamp()
""")


def release(session: Session, held: Claim, *, keep: bool, at_once: bool = False) -> bool:
    """After a commit, in its transaction: delete the mailbox if nothing is pending, else renew it.

    With `keep` the lease stays ours when more is due, and True is returned: go on. `at_once` says that what remains is the
    rest of a window that was due.
    """
    key = {"tenant": held.tenant, "store": held.store, "scope": held.scope, "id": held.mailbox_id, "token": held.token}
    oldest, since = session.execute(_END, key).one()
    if oldest is None:
        return False
    place = {
        "id": held.mailbox_id, "token": held.token, "oldest": oldest, "since": since, "at_once": at_once,
        "seconds": LEASE_SECONDS, "window_limit": held.window_limit if keep and at_once else None,
    }  # fmt: skip
    due = bool(session.scalar(_RENEW, {**place, "keep": keep, "claims": 1 if keep else 0}))
    if keep and not due:
        session.execute(_RENEW, {**place, "keep": False, "claims": 0})
        return False
    return keep and due


_WAIT = text("""
    UPDATE learning.mailbox SET
        not_before = clock_timestamp() + :seconds * interval '1 s', wait_reason = :reason, wait_note = :note,
        failures = :failures, claims = greatest(claims - 1, 0), owner = NULL, lease_until = NULL,
        due_at = least(due_at, clock_timestamp())
    WHERE id = :id AND tenant = :tenant AND token = :token
""")


def wait(session: Session, held: Claim, reason: WaitReason, note: str, seconds: float, failures: int) -> bool:
    """Give the lease back and pause: nothing is tried for `seconds`. False where the lease was no longer ours."""
    written: Any = session.execute(
        _WAIT,
        {
            "id": held.mailbox_id,
            "tenant": held.tenant,
            "token": held.token,
            "reason": reason,
            "note": note,
            "seconds": seconds,
            "failures": failures,
        },
    )
    return bool(written.rowcount)
