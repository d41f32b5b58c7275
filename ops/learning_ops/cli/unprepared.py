"""Why an accepted event has no deliveries yet, and what to do about it; the same words in `status` and `trace`."""


def why_no_deliveries(set_aside: str | None, unknown_spec: str | None) -> str:
    """One line. `unknown_spec` is the hash of a spec that is not registered for the event's tenant."""
    if set_aside is not None:
        return f"set aside: {set_aside}"
    if unknown_spec is not None:
        return (
            f"spec {unknown_spec[:12]}… is not registered for this tenant; emit once from its machine, or send the spec "
            "with the event"
        )
    return "it waits for its turn in intake"
