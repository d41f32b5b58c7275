"""Plan, execute, learn: what a step lacked when it was executed becomes a lesson, and the next plan begins wiser.

A shop is to be deployed. The planner knows nothing but the goal and what memory recalls for it; the executor runs each step
against a world that has rules nobody told the planner. Expect two plans that fail, each with the lesson that it taught, and a
third that works; then a colleague who deploys for the first time, and whose first plan works.
"""

import re
from secrets import token_hex

from learning_machine import LearnedKnowledgeConfig, LearningMachine, SessionContextConfig

GOAL = "deploy the shop"
NEEDS = {"deploy the shop": "warm the cache", "warm the cache": "run the migrations"}  # how the world is; not told
LESSON = re.compile(r"always (?P<first>.+) before you (?P<then>.+)", re.IGNORECASE)


def plan_for(machine: LearningMachine, goal: str) -> list[str]:
    """The steps to a goal: itself, and before each step what memory says has to come before it. (A model would plan here.)"""
    steps, seen = [goal], set[str]()
    while todo := [step for step in steps if step not in seen]:
        seen.add(todo[0])
        for found in machine.search(todo[0], store="learned_knowledge"):
            lesson = LESSON.match(str(found.learning.data["learning"]))
            if lesson and lesson["then"] == todo[0] and lesson["first"] not in steps:
                steps.insert(steps.index(todo[0]), lesson["first"])
    return steps


def execute(plan: list[str]) -> str | None:
    """Run the steps in the world. What failed, or None."""
    done = set[str]()
    for step in plan:
        if (missing := NEEDS.get(step)) and missing not in done:
            return f"Always {missing} before you {step}"
        done.add(step)
    return None


with LearningMachine(
    tenant=f"planned-{token_hex(3)}",
    session_context=SessionContextConfig(enable_planning=True),
    learned_knowledge=LearnedKnowledgeConfig(mode="ALWAYS", wider_writes="active"),
) as machine:

    def attempt(user: str, session: str) -> bool:
        """Plan, execute, and hand over how it went; whether it worked."""
        plan = plan_for(machine, GOAL)
        failure = execute(plan)
        outcome = f"It failed. Lesson learned: {failure}." if failure else "Everything is done."
        told = "\n".join(["The plan:", *(f"{number}. {step}" for number, step in enumerate(plan, 1)), outcome])
        words = [{"role": "user", "content": f"I want to {GOAL}."}, {"role": "assistant", "content": told}]
        machine.settle(machine.emit(words, user_id=user, session_id=session), timeout=60)
        print(f"{user}, {session}: {' → '.join(plan)}\n  {outcome}")
        return failure is None

    for number in range(1, 5):
        if attempt("ravi", f"attempt {number}"):
            break
    attempt("lin", "her first attempt")

    print("\nLearned by executing:")
    for lesson in reversed(machine.learnings(store="learned_knowledge")):
        print(f'  {lesson.content}, from "{lesson.evidence[0].quote}"')
