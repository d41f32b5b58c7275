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
# fmt: off
# What opens a sentence with a capital without being a name.
NOT_ENTITIES = frozenset({
    "a", "accounting", "after", "all", "also", "although", "always", "an", "and", "another", "any", "anybody", "anyone",
    "anything", "as", "at", "because", "before", "both", "but", "by", "christmas", "customers", "design", "development",
    "each", "easter", "either", "engineering", "everybody", "everyone", "everything", "few", "finance", "finally", "for",
    "from", "he", "hello", "her", "here", "hi", "his", "hr", "how", "however", "i", "i'm", "i've", "if", "in", "instead",
    "it", "its", "just", "legal", "management", "many", "marketing", "maybe", "me", "mine", "most", "my", "neither",
    "never", "no", "nobody", "none", "nothing", "now", "of", "ok", "okay", "on", "one", "operations", "our", "ours",
    "perhaps", "please", "production", "recently", "research", "sales", "she", "sheet", "since", "so", "some", "somebody",
    "someone", "something", "somewhere", "staging", "still", "support", "thanks", "that", "the", "their", "theirs",
    "then", "there", "these", "they", "this", "those", "though", "today", "tomorrow", "tonight", "two", "unfortunately",
    "until", "we", "we're", "we've", "well", "what", "when", "where", "which", "while", "who", "whoever", "why", "with",
    "work", "yes", "yesterday", "yet", "you", "your",
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    "january", "february", "march", "april", "june", "july", "august", "september", "october", "november", "december",
})
# Last words of organisations' names.
COMPANY_WORDS = frozenset({
    "ab", "ag", "airlines", "airways", "bank", "bv", "co", "company", "corp", "corporation", "enterprises", "foundation",
    "gmbh", "group", "holding", "holdings", "inc", "industries", "insurance", "institute", "kg", "labs", "laboratories",
    "llc", "llp", "logistics", "ltd", "limited", "motors", "nv", "oy", "partners", "plc", "sa", "se", "software",
    "solutions", "spa", "studios", "systems", "technologies", "university", "ventures",
})
# Given names that are common in many countries, to tell "Bob uses …" from a company that uses it.
GIVEN_NAMES = frozenset({
    "aaron", "abdul", "adam", "ahmed", "aisha", "alan", "alex", "alexander", "ali", "alice", "amanda", "amina", "amir",
    "amy", "ana", "andrea", "andrew", "anna", "ann", "anne", "anthony", "antonio", "barbara", "ben", "benjamin", "bob",
    "brian", "camille", "carl", "carla", "carlos", "carol", "caroline", "catherine", "chen", "chloe", "chris",
    "christian", "claire", "clara", "daniel", "dave", "david", "deborah", "diana", "diego", "dmitri", "donna", "dorothy",
    "edward", "elena", "elizabeth", "emil", "emily", "emma", "eric", "erik", "eva", "fatima", "felix", "frank", "fred",
    "gabriel", "george", "giulia", "grace", "greta", "hana", "hanna", "hannah", "hans", "hassan", "heidi", "helen", "hiro",
    "hugo", "ibrahim", "ingrid", "irene", "isabel", "ivan", "jack", "jacob", "james", "jan", "jane", "jason", "javier",
    "jennifer", "jessica", "jim", "joan", "joe", "joel", "johan", "john", "jonas", "jonathan", "jose", "joseph", "juan",
    "julia", "julie", "karen", "karl", "kate", "kenji", "kevin", "klaus", "lars", "laura", "lena", "leo", "li", "linda",
    "lisa", "liu", "lucas", "luca", "lucia", "luis", "lukas", "marco", "margaret", "maria", "marie", "mark", "marta",
    "martin", "mary", "matthew", "max", "mei", "michael", "miguel", "mike", "min", "miriam", "mohammed", "monica",
    "nadia", "nancy", "natalia", "nick", "nicole", "nina", "noah", "olga", "oliver", "olivia", "omar", "oscar", "pablo",
    "patricia", "paul", "paula", "pedro", "peter", "philip", "pierre", "priya", "rachel", "rahul", "raj", "ravi",
    "rebecca", "richard", "robert", "roberto", "rosa", "ruth", "ryan", "sam", "samuel", "sandra", "sanjay", "sara",
    "sarah", "sergei", "sofia", "sophie", "stefan", "stephen", "steve", "susan", "sven", "thomas", "tim", "tina", "tom",
    "tomas", "tony", "victor", "vikram", "walter", "wei", "william", "yan", "yuki", "yusuf", "zoe",
})
# What is used for the same purpose: switching to one ends the use of another of its kind.
TECHNOLOGIES = {
    "database": frozenset({
        "cassandra", "clickhouse", "cockroachdb", "db2", "dynamodb", "mariadb", "mongodb", "mysql", "neo4j", "oracle",
        "postgres", "postgresql", "sql server", "sqlite",
    }),
    "cloud": frozenset({"aws", "azure", "gcp", "google cloud", "hetzner", "ovh"}),
    "builds": frozenset({"circleci", "github actions", "gitlab ci", "jenkins", "teamcity", "travis ci"}),
    "chat": frozenset({"discord", "mattermost", "microsoft teams", "slack", "zulip"}),
    "issues": frozenset({"asana", "jira", "linear", "trello"}),
    "code hosting": frozenset({"bitbucket", "gitea", "github", "gitlab"}),
    "customer relations": frozenset({"hubspot", "pipedrive", "salesforce"}),
    "messaging": frozenset({"kafka", "nats", "pulsar", "rabbitmq"}),
    "orchestration": frozenset({"docker swarm", "ecs", "kubernetes", "nomad"}),
    "language": frozenset({
        "c#", "c++", "elixir", "go", "java", "javascript", "kotlin", "php", "python", "ruby", "rust", "scala", "swift",
        "typescript",
    }),
    "system": frozenset({"debian", "linux", "macos", "ubuntu", "windows"}),
    "infrastructure code": frozenset({"ansible", "chef", "pulumi", "puppet", "terraform"}),
    "notes": frozenset({"confluence", "evernote", "notion", "obsidian"}),
}
# Words that carry no subject matter.
STOP_WORDS = frozenset({
    "a", "about", "after", "all", "also", "always", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "being", "better", "between", "both", "but", "by", "can", "could", "did", "do", "does", "doing", "done",
    "down", "during", "each", "every", "few", "first", "for", "from", "get", "gets", "had", "has", "have", "having", "he",
    "her", "here", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "know", "let", "lets", "make",
    "makes", "many", "may", "me", "might", "more", "most", "much", "must", "my", "need", "needs", "never", "no", "not",
    "now", "of", "off", "on", "once", "one", "only", "or", "other", "our", "out", "over", "own", "same", "say", "says",
    "she", "should", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they",
    "this", "those", "through", "to", "too", "under", "until", "up", "us", "use", "used", "uses", "using", "very", "was",
    "way", "we", "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "without", "would",
    "works", "work", "you", "your",
})
# fmt: on
