"""Lists of ordinary words that keep the rules from taking them for something else."""

# fmt: off
# Lower-case words inside a person's name.
PARTICLES = frozenset({
    "al", "bin", "da", "de", "den", "der", "di", "do", "dos", "du", "el", "ibn", "la", "le", "ten", "ter", "van",
    "von", "y",
})
# What follows "I'm" without being a name: states, nationalities, days, function words.
NOT_NAMES = frozenset({
    "a", "able", "about", "afraid", "african", "alive", "all", "alone", "also", "always", "amazed", "american",
    "an", "angry", "annoyed", "anxious", "arab", "argentinian", "asian", "asking", "at", "australian", "austrian",
    "available", "aware", "away", "back", "bad", "bangladeshi", "being", "belgian", "bored", "brazilian", "british",
    "broke", "bulgarian", "busy", "calling", "canadian", "catholic", "certain", "chinese", "christian", "colombian",
    "coming", "confused", "croatian", "curious", "czech", "danish", "dead", "depressed", "done", "down", "due",
    "dutch", "dying", "eager", "early", "egyptian", "english", "european", "everyone", "everything", "excited",
    "exhausted", "facing", "feeling", "fine", "finished", "finnish", "free", "french", "friday", "from", "full",
    "gay", "genuinely", "german", "getting", "glad", "going", "gonna", "good", "grateful", "great", "greek",
    "guilty", "happy", "having", "here", "hindu", "home", "honored", "hungarian", "hungry", "i", "ill", "im",
    "important", "in", "indian", "indonesian", "interested", "into", "irish", "irrelevant", "israeli", "it",
    "italian", "jamaican", "japanese", "jealous", "jewish", "just", "keen", "korean", "late", "latina", "latino",
    "leaving", "left", "like", "living", "lonely", "looking", "lost", "mad", "making", "married", "me", "mexican",
    "miserable", "monday", "moroccan", "moving", "muslim", "nervous", "never", "new", "nigerian", "no", "nobody",
    "norwegian", "not", "nothing", "now", "of", "off", "ok", "okay", "old", "on", "online", "only", "out", "over",
    "pakistani", "pleased", "polish", "portuguese", "pretty", "proud", "quite", "ready", "really", "retired",
    "romanian", "russian", "sad", "safe", "same", "saturday", "scared", "scottish", "serbian", "sick", "single",
    "sleepy", "so", "sorry", "spanish", "still", "straight", "struggling", "stuck", "sunday", "sure", "surprised",
    "swedish", "swiss", "thai", "thankful", "that", "the", "there", "thinking", "thirsty", "thrilled", "thursday",
    "tired", "to", "together", "too", "totally", "trying", "tuesday", "turkish", "ukrainian", "unable", "under",
    "unemployed", "unimportant", "unsure", "up", "upset", "us", "used", "using", "vegan", "vegetarian", "very",
    "vietnamese", "waiting", "warm", "wednesday", "well", "welsh", "what", "where", "why", "with", "wondering",
    "working", "worried", "writing", "wrong", "yes", "you", "your",
})
# Words built like a trade's name that are none.
NOT_TRADES = frozenset({
    "anarchist", "atheist", "baptist", "capitalist", "communist", "hobbyist", "methodist", "nationalist", "pacifist", "socialist",
    "tourist",
    "beginner", "believer", "brother", "color", "customer", "daughter", "drinker", "eater", "error", "father",
    "feminist", "fighter", "follower", "foodie", "gamer", "hater", "helper", "human", "learner",
    "listener", "loner", "loser", "lover", "matter", "member", "minimalist", "minor", "mirror", "mister",
    "monster", "mother", "neighbor", "neighbour", "newcomer", "number", "optimist", "over", "owner", "parent",
    "partner", "perfectionist", "person", "pessimist", "reader", "realist", "riser", "sister",
    "sleeper", "smoker", "speaker", "starter", "stranger", "sucker", "supporter", "survivor", "thinker", "tumor",
    "under", "user", "victor", "winner",
})
# Adjectives that make "I'm a … cook" a judgement and not a job.
JUDGED = frozenset({
    "avid", "awful", "bad", "better", "big", "complete", "decent", "early", "fast", "firm", "frequent", "good",
    "great", "heavy", "hopeless", "horrible", "huge", "keen", "late", "light", "lousy", "lucky", "poor", "proud",
    "quick", "real", "regular", "slow", "strong", "such", "terrible", "total", "true", "worse",
})
# fmt: on
