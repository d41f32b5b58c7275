"""A research agent: what was read in many sittings is put together in the last, and every statement names its source.

Three sittings of one project: a paper, a news item, and a lesson about sources. The fourth writes the report: it asks the agent
what the first three taught, and lists each finding with the sitting and the words that it stands on.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import EntityMemoryConfig, LearnedKnowledgeConfig, LearningMachine

SITTINGS = {
    "paper": "Volta Labs builds solid-state batteries. The CTO of Volta Labs is Hana Mori.",
    "news": "Volta Labs partnered with Toyota in March. Globex acquired Initech in 2024.",
}

with LearningMachine(
    name="research",
    tenant=f"research-{token_hex(3)}",
    namespace="solid-state",  # one project's: its readers share it, and other projects do not see it
    entity_memory=EntityMemoryConfig(),
    learned_knowledge=LearnedKnowledgeConfig(),
) as machine:
    agent = Agent.from_env(machine, "You help with research and name your sources.")
    sources = {}
    for sitting, notes in SITTINGS.items():
        print(f"{sitting}: {notes}")
        turn = [{"role": "user", "content": notes}, {"role": "assistant", "content": "Filed."}]
        receipt = machine.emit(turn, user_id="imani", session_id=sitting)
        sources[receipt.event_id] = sitting
        machine.settle(receipt, timeout=60)
    lesson = "Save this lesson: never trust press releases when you compare energy densities."
    print(f"sources: {lesson}\n  → {agent.reply(lesson, user_id='imani', session_id='sources')}")

    print("\nThe report, by a colleague who has read none of it:")
    for question in (
        "Who is the CTO of Volta Labs?",
        "Which partner does Volta Labs have, is it Toyota?",
        "How should I compare energy densities?",
    ):
        print(f"  {question}\n  → {agent.reply(question, user_id='jonas', session_id='report')}")

    print("\nWhere each finding comes from:")
    for finding in reversed(machine.learnings(store="entity_memory")):
        (source, *_) = finding.evidence
        if finding.kind != "alias" and source.event_id is not None:
            print(f"  {finding.about}, {finding.kind}: {finding.content}")
            print(f'    [{sources[source.event_id]}, read by {source.user_id}] "{source.quote}"')
