"""A run from start to end: the load, the faults, the drain, the last words, the comparison."""

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import psycopg
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chaos.comparison import Finding, compare, read
from chaos.faults import Driver
from chaos.ground import Ground, ground
from chaos.journal import read_journal
from chaos.load import STORES, Load
from chaos.report import Report
from chaos.schedule import schedule
from learning_ops.process import ManagedProcess
from learning_schemas.scope import DEFAULT_SHARDS, stream_name

EMIT_SECONDS = 180.0
"""How long producers may take to get rid of what they still have once the faults are over."""
LAST_WORDS = 60
"""Events of a user each, emitted after everything else, which both workers have to take part in."""

_LAST_SESSION = 9_000  # beyond every load's own

_PENDING = text("""
    SELECT (SELECT count(*) FROM learning.conversation_event) AS events,
           (SELECT count(*) FROM learning.conversation_event WHERE accepted_no IS NULL) AS unnumbered,
           (SELECT count(*) FROM learning.delivery WHERE state = 'pending') AS pending
""")


@dataclass(frozen=True, kw_only=True)
class Form:
    """How hard a run is: each kind of fault `times` times over `seconds`, none longer than `longest` seconds."""

    load: Load
    seconds: float
    times: int
    longest: float | None = None
    drain_seconds: float = 240.0


def run(
    form: Form,
    tell: Callable[[str], None] = lambda _: None,
    *,
    look: Callable[[Ground], None] = lambda _: None,
    keep: bool = False,
) -> Report:
    """Run it. Every process ends with it; what was left behind is among the findings. `look` sees the system at the end."""
    with ground(form.load, keep=keep) as system:
        report = _report(system, form, tell)
        look(system)
    if left := system.left():
        more = [Finding(sort="left over", told=f"process {each}") for each in left]
        report = replace(report, findings=[*report.findings, *more])
    return report


def _report(system: Ground, form: Form, tell: Callable[[str], None]) -> Report:
    began = time.monotonic()
    tell(f"{system.directory}: {form.load}")
    producers = system.emit(form.load, "producer")
    driver = Driver(system)
    faults = schedule(form.load, seconds=form.seconds, times=form.times, longest=form.longest)
    driver.run(faults, threading.Event())
    told = "".join(json.dumps(asdict(each)) + "\n" for each in driver.applied)
    (system.directory / "faults.jsonl").write_text(told)
    tell(f"{len(driver.applied)} faults applied in {time.monotonic() - began:.0f} s")
    findings = _ended(producers)
    if form.load.spool:
        findings += _spool_drained(system)
    last = max([one.ended for one in read_journal(system.journals)[0]] + [each.ended for each in driver.applied])
    drained = _drained(system, form.drain_seconds, tell)
    waited = max(0.0, time.time() - last) if drained else None
    driver.look_after()
    findings += [
        Finding(sort="left over", told=f"process ended by itself: {each}") for each in driver.ended_by_themselves
    ]
    findings += _last_words(system, form, tell)
    said, broke = read_journal(system.journals)
    with system.database() as database, database.transaction() as session:
        snapshot = read(session)
    findings += compare(said, broke, snapshot)
    findings += _streams(system)
    findings += _status(system, len(said))
    return Report(
        load=form.load,
        seconds=time.monotonic() - began,
        drained=waited,
        said=said,
        applied=driver.applied,
        snapshot=snapshot,
        findings=findings,
    )


def _ended(producers: list[ManagedProcess]) -> list[Finding]:
    """Wait for the producers' ends."""
    findings = []
    until = time.monotonic() + EMIT_SECONDS
    for producer in producers:
        try:
            code = producer.wait(max(0.1, until - time.monotonic()))
        except TimeoutError:
            findings.append(Finding(sort="left over", told=f"{producer.name} still has events that nobody takes"))
        else:
            if code != 0:
                tail = producer.log_tail(5)
                findings.append(Finding(sort="lost", told=f"{producer.name} ended with {code}: {tail}"))
    return findings


def _spool_drained(system: Ground) -> list[Finding]:
    """What producers that ended left on the disk is handed in as operators do it."""
    argv = ["-m", "learning_ops.main", "spool", "drain", os.fspath(system.spool)]
    process = system.process("spool-drain", argv, system.env("producers"))
    process.start()
    code = process.wait(60)
    told = f"spool drain ended with {code}: {process.log_tail(5)}"
    return [Finding(sort="left over", told=told)] if code else []


def _drained(system: Ground, seconds: float, tell: Callable[[str], None]) -> bool:
    """Wait until every acknowledged event is in the log and nothing is pending."""
    until = time.monotonic() + seconds
    said = len(read_journal(system.journals)[0])
    told = 0.0
    while time.monotonic() < until:
        with suppress(SQLAlchemyError, psycopg.Error), system.database() as database:
            with database.transaction() as session:
                row = session.execute(_PENDING).one()
            if row.events >= said and not row.unnumbered and not row.pending:
                return True
            if time.monotonic() - told > 10:
                told = time.monotonic()
                tell(f"draining: {row.events} of {said} in the log, {row.unnumbered} unnumbered, {row.pending} pending")
        time.sleep(0.2)
    return False


def _last_words(system: Ground, form: Form, tell: Callable[[str], None]) -> list[Finding]:
    """After everything: a few more events, which need both workers and both dispatchers in health."""
    before = {name: system.processes[name].log_path.stat().st_size for name in system.workers}
    few = replace(
        form.load,
        first=_LAST_SESSION,
        events=LAST_WORDS,
        sessions=LAST_WORDS,
        sessions_per_user=1,
        producers=1,
        rate=1_000.0,
    )
    tell("last words")
    findings = _ended(system.emit(few, "last"))
    began = time.monotonic()
    if not _drained(system, 60, tell):
        findings.append(Finding(sort="left over", told="the last words were not settled within 60 s"))
    tell(f"last words settled after {time.monotonic() - began:.1f} s")
    for name in system.workers:
        with system.processes[name].log_path.open("rb") as log:
            log.seek(before[name])
            done = log.read().count(b"task done")
        if not done:
            findings.append(Finding(sort="left over", told=f"{name} runs and takes no work any more"))
    with system.database() as database, database.transaction() as session:
        beats = text("SELECT owner FROM learning.dispatcher WHERE least(intake_at, pump_at) > now() - interval '20 s'")
        owners = " ".join(session.scalars(beats))
    for name in system.dispatchers:
        if f":{system.processes[name].pid}:" not in owners:
            findings.append(Finding(sort="left over", told=f"{name} runs and does not turn its loops any more"))
    return findings


def _streams(system: Ground) -> list[Finding]:
    """The streams are empty once everything is taken in."""
    try:
        with system.redis() as client:
            left = sum(client.xlen(stream_name(shard)) for shard in range(DEFAULT_SHARDS))
    except RedisError as error:
        return [Finding(sort="left over", told=f"Redis does not answer: {error}")]
    return [Finding(sort="left over", told=f"{left} entries in the streams")] if left else []


def _status(system: Ground, events: int) -> list[Finding]:
    """`learning-machine status` adds up: accepted = settled + pending + dead, for each store, with nothing to report."""
    process = system.process("status", ["-m", "learning_ops.main", "status", "--json"], system.env(None))
    process.start()
    code = process.wait(60)
    printed = process.log_path.read_text()
    if code != 0:
        return [Finding(sort="left over", told=f"status ended with {code}: {printed[-300:]}")]
    status = json.loads(printed)
    findings = []
    for row in status["stores"]:
        whole = row["settled"] + row["pending"] + row["dead"]
        if row["accepted"] != whole or row["accepted"] != events:
            findings.append(Finding(sort="lost", told=f"ledger: status says {row} of {events} acknowledged events"))
    if {row["store"] for row in status["stores"]} != set(STORES) or status["accepted"] != events:
        findings.append(Finding(sort="lost", told=f"ledger: status says {status['accepted']} of {events} accepted"))
    findings += [
        Finding(sort="left over", told=f"ledger: status names {name}: {count}")
        for name, count in status["findings"].items()
        if count
    ]
    return findings
