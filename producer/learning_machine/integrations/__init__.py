"""Learning Machine inside frameworks for agents, one package each. Importing `learning_machine` imports none of them."""
