"""How recall grows: 1,000 to 1,000,000 learnings of one tenant, and the vectors' index against exact search."""
