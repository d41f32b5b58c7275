"""ALWAYS: workers read every turn, so that nobody has to ask for anything to be remembered.

Fay mentions where she works, and half a year later that she has moved on. The new statement replaces the old one, which
stays as history: until when it was so, what came in its place, and in whose words.
"""

from datetime import UTC, datetime, timedelta
from secrets import token_hex

from learning_machine import LearningMachine, UserProfileConfig

WORDS = [
    ("half a year ago", 180, "I work at Initech, and I love hiking. Can you draft a cover letter?"),
    ("today", 0, "I work at Hooli now. Could you shorten this mail?"),
]

# A tenant of its own for each run, so that you may run it twice.
TENANT = f"always-{token_hex(3)}"

with LearningMachine(tenant=TENANT, user_profile=UserProfileConfig(mode="ALWAYS")) as machine:  # its default mode
    for when, days_ago, words in WORDS:
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": "Here it is."}]
        said_at = datetime.now(UTC) - timedelta(days=days_ago)
        machine.settle(machine.emit(turn, user_id="fay", session_id=f"s{days_ago}", occurred_at=said_at), timeout=60)
        print(f"Fay, {when}: {words}")
        print(f"  known: {', '.join(sorted(machine.recall(user_id='fay').memories))}\n")

    employer = next(each for each in machine.learnings(user_id="fay") if "Hooli" in each.content)
    print("How that came to be:")
    for held in machine.history(employer.id):
        until = f"until {held.valid_to:%B %Y}" if held.valid_to else "still so"
        print(f"  {held.content}: from {held.valid_from:%B %Y}, {until}, “{held.evidence[0].quote}”")
