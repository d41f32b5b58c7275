"""Entity search: by name, by what is said of a thing, or by its type.

A person fills the memory by hand (`machine.add`; agents and workers fill it in the same place), and then looks things up in
four ways. The last one is the agent's tool, which answers in words.
"""

from learning_machine import EntityMemoryConfig, LearningMachine

NOTES = [
    ("Kestrel", "product", "Finds slow queries in log files"),
    ("Kestrel", "product", "Is written in Rust"),
    ("Heron", "product", "Draws dashboards of water levels"),
    ("Vandelay Industries", "company", "Pays its invoices within a week"),
    ("Elena Petrova", "person", "Maintains the log parser of Kestrel"),
]

with LearningMachine(entity_memory=EntityMemoryConfig(enable_agent_tools=True)) as machine:
    for name, kind, fact in NOTES:
        machine.add(fact, entity=name, type=kind, by="uma@acme.example")

    def show(question: str, names: list[str]) -> None:
        print(f"{question:<34} {', '.join(names) or 'nothing'}")

    show("called Vandelay", [each.name for each in machine.search_entities("Vandelay")])
    show("who has to do with log files", [each.name for each in machine.search_entities("log files")])
    show("every product", [each.name for each in machine.search_entities(type="product")])

    tools = {tool.name: tool for tool in machine.tools(user_id="uma", session_id="s1")}
    print("\nThe agent calls search_entities(query='invoices'):")
    print(tools["search_entities"](query="invoices"))
