"""Celery's settings. Read when they are first needed, so that importing the app needs no server's address.

Messages are hints: they are acknowledged early, carry ids only, and have no result backend. No ETA, no priorities, no
`reject_on_worker_lost`: on Redis these lose or repeat messages, and nothing here needs them.
"""

from celery.schedules import crontab

from learning_stores.settings import ServiceSettings
from learning_workers.broker_tls import tls_of
from learning_workers.queues import CURATOR, QUEUES

_SETTINGS = ServiceSettings.load()

broker_url = _SETTINGS.broker()
broker_use_ssl = tls_of(broker_url)
broker_connection_retry_on_startup = True
broker_transport_options = {
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "ack_emulation": False,
}
broker_heartbeat = 0
result_backend = None
task_ignore_result = True
task_serializer = "json"
accept_content = ["json"]
task_queues = QUEUES
task_default_queue = CURATOR
task_create_missing_queues = False
task_track_started = True
worker_send_task_events = True
task_send_sent_event = True
worker_prefetch_multiplier = 1
worker_consumer = "learning_workers.consumer:Consumer"
task_acks_late = False
worker_hijack_root_logger = False
worker_proc_alive_timeout = 30
timezone = "UTC"
beat_schedule = {
    # Each job's own schedule is in LEARNING_CURATOR_*: this only makes the runs that are due. A row decides between two beats.
    "curator": {
        "task": "learning.curator.tick",
        "schedule": crontab(),
        # A tick that nobody took is followed by the next: do not let them pile up. Longer than a few slices of runs may take, and
        # than clocks of hosts may differ.
        "options": {"queue": CURATOR, "expires": 300},
    },
}
