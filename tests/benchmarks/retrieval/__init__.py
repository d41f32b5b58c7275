"""Does recall find what matters? LoCoMo's questions, no model involved: every answer's turns are known."""
