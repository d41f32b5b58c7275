"""Many users at once, one machine: each is remembered apart, what is learned is shared, and tenants never meet.

Six people of two companies talk to one process at the same time. Each is told about themselves alone; the lesson that one of
them taught reaches everybody of the same company, and nobody of the other.
"""

from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

from learning_machine import LearnedKnowledgeConfig, LearningMachine

RUN = token_hex(3)
PEOPLE = {
    "acme": {"alice": "I love chess.", "bob": "I'm allergic to nuts.", "carol": "I live in Turin."},
    "globex": {"alice": "I love sailing.", "dan": "I'm a vegetarian.", "eve": "I live in Lisbon."},
}
LESSON = "Lesson learned: always check the time zone before you send an invitation."

shared = LearnedKnowledgeConfig(mode="ALWAYS", wider_writes="active")  # of the tenant; each colleague's word is enough
with LearningMachine(user_profile=True, learned_knowledge=shared, require_tenant=True) as machine:
    companies = {name: machine.for_tenant(f"{name}-{RUN}") for name in PEOPLE}  # cheap views on one machine

    def talk(company: str, user: str, text: str) -> None:
        """A turn of one user, to its end. A machine is safe in threads."""
        turn = [{"role": "user", "content": text}, {"role": "assistant", "content": "Noted."}]
        of = companies[company]
        of.settle(of.emit(turn, user_id=user, session_id=f"{user}-1"), timeout=60)

    turns = [(company, *turn) for company, people in PEOPLE.items() for turn in people.items()]
    with ThreadPoolExecutor(max_workers=len(turns)) as pool:
        talking = [pool.submit(talk, *turn) for turn in [*turns, ("acme", "alice", LESSON)]]
    for each in talking:
        each.result()

    for company, user, said in turns:
        recalled = companies[company].recall(user_id=user, session_id=f"{user}-2")
        lessons = [learning.content for learning in recalled.learnings if learning.store == "learned_knowledge"]
        print(f"{user} of {company} said {said!r}")
        print(f"  remembered: {', '.join(recalled.memories)}   lessons: {', '.join(lessons) or 'none'}")
