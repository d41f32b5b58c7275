"""Emit against a bare XADD of the same bytes on the same server, and against Celery's send_task."""

from functools import partial

import celery
import redis

from benchmarks.figures import Figure, interleaved, micro, percentile
from benchmarks.place import bench_place

TIMES = 5_000
MESSAGES = [
    {"role": "user", "content": "Could you look at the failing deploy of the billing service? It stopped after the last "
     "migration, and the logs only say that a column is missing. I would like to have it back before the call at four."},
    {"role": "assistant", "content": "The migration added `plan_id` in the wrong order: the service reads it before the "
     "column is there. I reverted that step and the deploy is green again; the migration can run once the release is out."},
]  # fmt: skip


def run() -> list[Figure]:
    """p50 and p99 under both settings of appendfsync."""
    figures = []
    for appendfsync in ("always", "everysec"):
        with bench_place(appendfsync) as place, place.machine() as machine:
            bare = redis.Redis.from_url(place.redis_url)
            machine.emit(MESSAGES, user_id="alex@example.com", session_id="s1")
            stream = next(iter(bare.scan_iter("learning:events:*")))
            body = bare.xrange(stream)[0][1][b"event"]
            bare.sadd("learning:specs", f"default/{machine.spec.spec_hash()}")
            machine.emit(MESSAGES, user_id="alex@example.com", session_id="s1")
            app = celery.Celery(broker=place.redis_url)
            app.conf.update(task_ignore_result=True, broker_transport_options={"socket_timeout": 5})
            peers = [
                partial(bare.xadd, "bare", {"event": body}),
                partial(machine.emit, MESSAGES, user_id="alex@example.com", session_id="s1"),
                partial(app.send_task, "noop", args=(body.decode(),), queue="bench"),
            ]
            xadd, emit, send = interleaved(peers, TIMES)
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                a, b, c = (percentile(seconds, share) for seconds in (xadd, emit, send))
                figures += [
                    Figure(
                        what=f"emit / bare XADD, {name}, appendfsync {appendfsync}",
                        value=f"{b / a:.2f} × ({micro(b)} / {micro(a)})",
                        goal="≤ 1.5 ×",
                        reached=b / a <= 1.5,
                    ),
                    Figure(
                        what=f"send_task / emit, {name}, appendfsync {appendfsync}",
                        value=f"{c / b:.1f} × ({micro(c)} / {micro(b)})",
                        goal="≥ 3 ×",
                        reached=c / b >= 3,
                    ),
                ]
            bare.close()
    return figures
