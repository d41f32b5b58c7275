"""What a child process is given of this one's environment: what a program needs to run, and no key and no address."""

import os

# fmt: off
INHERITED = frozenset({
    "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LOGNAME", "PATH",
    "TMPDIR", "TZ", "USER",
})
# Which stores of the user's own there are: dispatcher and workers have to find the same.
STORING = frozenset({"LEARNING_STORES"})
# Which of the user's modules a worker may import besides.
IMPORTING = STORING | {"LEARNING_SCHEMA_IMPORTS"}
# When the curator does what and asks which model how often, and how long what is over is kept.
CURATING = frozenset(
    {f"LEARNING_CURATOR_{name}" for name in (
        "RECONCILE", "TRIM", "PRUNE", "DEDUPLICATE", "STATISTICS", "REEMBED", "RETAIN", "RESOLVE_ENTITIES", "CONTRADICTIONS",
        "CONSOLIDATE", "CONSOLIDATE_ABOVE", "SPREAD", "SLICE", "MODEL", "MAX_CALLS")}
    | {f"LEARNING_RETAIN_{name}_DAYS" for name in (
        "EVENTS", "DELIVERIES", "EXTRACTIONS", "MODEL_CALLS", "RETIRED", "REJECTED", "RUNS")}
    | {"LEARNING_RETENTION_DAYS"}
)
# How the offline model misbehaves on purpose.
MISBEHAVING = frozenset({
    f"LEARNING_OFFLINE_{name}" for name in (
        "CONTROL", "LATENCY", "RATE_429", "RATE_500", "RATE_TIMEOUT", "RATE_GARBAGE", "RATE_REFUSAL", "RATE_TRUNCATED",
        "RETRY_AFTER", "SEED", "TIMEOUT_SECONDS")
})
# How a model on another machine is reached.
OUTWARD = frozenset({
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "https_proxy", "http_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE",
})
# fmt: on


def environment(names: frozenset[str]) -> dict[str, str]:
    """The variables of these names, and PYTHONPATH."""
    kept = {name: value for name, value in os.environ.items() if name in names}
    if path := os.environ.get("PYTHONPATH"):
        # Where the user's own schemas and stores may be imported from; relative to where the user is.
        kept["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in path.split(os.pathsep) if part)
    return kept
