"""Long conversations: what is said grows without end, what goes into the prompt does not.

Nora works through sixty tickets in one session. Goal and the latest turns stay; the oldest ones make room. Her agent may
send its whole history each time: what the session has shown before is recognised, and not read twice.
"""

from learning_machine import LearningMachine, SessionContextConfig

TICKETS = ("a lost password", "a double invoice", "a broken link", "a late parcel", "a wrong address")

with LearningMachine(session_context=SessionContextConfig(enable_planning=True), recall_tokens=600) as machine:
    history = [
        {"role": "user", "content": "I want to close all tickets of last week."},
        {"role": "assistant", "content": "There are sixty."},
    ]
    for number in range(1, 61):
        history += [
            {
                "role": "user",
                "content": f"Ticket {number} is about {TICKETS[number % len(TICKETS)]}, and it is answered.",
            },
            {"role": "assistant", "content": f"Ticket {number} is closed."},
        ]
        if number % 20:
            continue  # emitted when twenty are done; as often as you like does as well
        receipt = machine.emit(history, user_id="nora", session_id="tickets")
        known = machine.recall(user_id="nora", session_id="tickets", wait_for=receipt, deadline=60)
        said = sum(len(message["content"]) for message in history)
        print(f"{number} tickets: {said:,} characters said, {len(known.context):,} in the prompt")

    print("\nThe prompt, its last lines cut:")
    print("\n".join(line[:110] for line in known.context.splitlines()[1:6]))
