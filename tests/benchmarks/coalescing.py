"""Model calls for 100 quick turns of one session, with a model that takes a second."""

from benchmarks.figures import Figure
from benchmarks.place import bench_place, whole_system
from harness import rows, turn
from learning_stores.database import Database

TURNS = 100


def run() -> list[Figure]:
    """Calls made, against one a turn and store; then the same with debounce 0."""
    figures = []
    for debounce in (2.0, 0.0):
        calls = _calls(debounce)
        naive = TURNS * 2
        figures.append(
            Figure(
                what=f"model calls for {TURNS} quick turns, two stores, debounce {debounce:g} s / one a turn and store",
                value=f"1/{naive / calls:.0f} ({calls} / {naive})",
                goal="≤ 1/5",
                reached=calls <= naive / 5,
            )
        )
    return figures


def _calls(debounce: float) -> int:
    from learning_machine import SessionContextConfig, UserProfileConfig

    with bench_place() as place, whole_system(place, latency=1.0):
        options = {
            "user_profile": UserProfileConfig(debounce=debounce),
            "session_context": SessionContextConfig(debounce=debounce),
        }
        with place.machine(**options) as machine, Database(place.superuser_url) as database:
            receipts = [
                machine.emit(turn(f"I like dish number {number}."), user_id="alex", session_id="s1")
                for number in range(TURNS)
            ]
            for receipt in receipts:
                machine.settle(receipt, timeout=120)
            return int(rows(database, "SELECT count(*) AS n FROM learning.model_call")[0]["n"])
