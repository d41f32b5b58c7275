"""Does upkeep keep memory small without losing what is true? Planted duplicates and contradictions, and a judge that errs."""
