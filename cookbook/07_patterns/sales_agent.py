"""A sales agent: an account is handed over, and nothing that the first seller knew about it is lost.

Ana has two calls with Acme Corp; between them the customer changes its database. Then Ana leaves, and Ben, who has never heard
of Acme Corp, prepares his first call: whom to ask for, what they use now, what has happened, and what they used before.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import EntityMemoryConfig, LearningMachine

CALLS = {
    "first call": "The CFO of Acme Corp is Carla Mendes. Acme Corp uses MongoDB. Acme Corp has 300 employees.",
    "second call": "Acme Corp switched from MongoDB to Postgres. Acme Corp signed a pilot contract in October.",
}

with LearningMachine(
    name="sales",
    tenant=f"sales-{token_hex(3)}",
    user_profile=True,  # each seller's own
    entity_memory=EntityMemoryConfig(namespace="accounts", enable_agent_tools=True),  # the house's
) as machine:
    agent = Agent.from_env(machine, "You help sellers prepare.")
    for call, notes in CALLS.items():
        print(f"Ana, {call}: {notes}")
        turn = [{"role": "user", "content": notes}, {"role": "assistant", "content": "Noted."}]
        machine.settle(machine.emit(turn, user_id="ana", session_id=call), timeout=60)

    print("\nBen, first day")
    for question in ("Who is the CFO of Acme Corp?", "What do we know about Acme Corp?"):
        print(f"  Ben: {question}\n  Agent: {agent.reply(question, user_id='ben', session_id='handover')}")

    acme = machine.entity("Acme Corp", hops=1)
    assert acme is not None
    print(f"\n{acme}")
    print(f"  properties   {', '.join(f'{name}: {value}' for name, value in acme.properties.items())}")
    print(f"  facts        {', '.join(acme.facts)}")
    print(f"  events       {', '.join(acme.events)}")
    print(f"  people       {', '.join(str(each) for each in acme.neighbours if each.type == 'person')}")
    for old in machine.learnings(store="entity_memory", kind="fact", status="retired"):
        assert old.replaced_by is not None
        why = machine.get(old.replaced_by).evidence[0]
        print(f'  no longer    {old.content}, for {why.user_id} said: "{why.quote}"')
