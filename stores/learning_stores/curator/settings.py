"""What the curator is told by `LEARNING_CURATOR_*` and `LEARNING_RETAIN_*`: schedules, and how long what is over is kept."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from learning_stores.curator.schedule import OFF, Schedule


def _readable(text: str) -> str:
    schedule = Schedule.parse(text)
    return OFF if schedule is None else schedule.text


Crontab = Annotated[str, AfterValidator(_readable)]
Days = Annotated[float, Field(gt=0, le=36_500)]


class CuratorSettings(BaseModel):
    """Schedules in crontab syntax (UTC) or `off`, by the names of the jobs; and retention in days."""

    curator_reconcile: Crontab = "* * * * *"
    curator_trim: Crontab = "23 * * * *"
    curator_prune: Crontab = "10 2 * * *"
    curator_deduplicate: Crontab = "40 2 * * *"
    curator_resolve_entities: Crontab = "10 4 * * sun"
    curator_consolidate: Crontab = "50 4 * * sun"
    curator_statistics: Crontab = "10 3 * * *"
    curator_contradictions: Crontab = "30 4 * * sun"
    curator_reembed: Crontab = "20 3 * * *"
    curator_retain: Crontab = "40 3 * * *"
    curator_spread: Annotated[float, Field(ge=0, le=86_400)] = 1_800.0
    """Seconds over which one tick's runs are spread, by tenant."""
    curator_slice: Annotated[float, Field(gt=0, le=600)] = 20.0
    """Seconds that one task works on one run; then others have their turn."""
    curator_model: str | None = None
    """Judges where rules cannot decide; the one that extracts where it is not set, none where it is `off`."""
    curator_max_calls: Annotated[int, Field(ge=0, le=100_000)] = 50
    """Model calls of one run, at most; what they do not reach is left for the next run."""
    curator_consolidate_above: Annotated[int, Field(ge=2, le=100_000)] = 100
    """Live learnings of one user, session or namespace above which related ones become one."""

    retain_events_days: Days = 90.0
    retain_deliveries_days: Days = 365.0
    """Of deliveries whose event is gone."""
    retain_extractions_days: Days = 365.0
    retain_model_calls_days: Days = 400.0
    retain_retired_days: Days = 365.0
    retain_rejected_days: Days = 30.0
    retain_runs_days: Days = 90.0

    def schedule(self, job: str) -> Schedule | None:
        """A job's schedule; None where it is off."""
        return Schedule.parse(str(getattr(self, f"curator_{job.replace('-', '_')}", OFF)))
