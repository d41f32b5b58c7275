-- The event log, the mailboxes, the learnings, and who may touch what.
-- Run as a member of learning_owner. Every name is qualified, because the order of a search path is not ours to trust.

CREATE SCHEMA IF NOT EXISTS learning;
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

CREATE SEQUENCE learning.acceptance_number;  -- the order of events in a mailbox
CREATE SEQUENCE learning.lease_token;        -- no token is ever used twice

-- Configurations, by hash. -----------------------------------------------------------------------------------------

CREATE TABLE learning.machine_spec (
    tenant        text        NOT NULL CHECK (tenant <> ''),
    hash          text        NOT NULL,
    spec          json        NOT NULL,  -- as it was hashed: jsonb would write its numbers anew
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, hash)
);

-- The event log. ---------------------------------------------------------------------------------------------------

CREATE TABLE learning.subject (
    tenant       text        NOT NULL CHECK (tenant <> ''),
    subject      text        NOT NULL,
    user_id      text,
    session_id   text,
    generation   bigint      NOT NULL DEFAULT 0,
    salt         bytea       NOT NULL DEFAULT uuid_send(gen_random_uuid()),  -- keys the hashes in session_message
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    forgotten_at timestamptz,
    closed_at    timestamptz,
    PRIMARY KEY (tenant, subject)
);

CREATE TABLE learning.conversation_event (
    tenant         text        NOT NULL CHECK (tenant <> ''),
    id             uuid        NOT NULL,
    subject        text        NOT NULL,
    shard          integer     NOT NULL,
    user_id        text,
    session_id     text,
    agent_id       text,
    team_id        text,
    occurred_at    timestamptz NOT NULL,
    accepted_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    via            text        NOT NULL CHECK (via IN ('stream', 'postgres', 'spool')),
    spec_hash      text        NOT NULL,
    messages       jsonb       NOT NULL,
    history        text        NOT NULL,
    end_of_session boolean     NOT NULL,
    body_hash      bytea       NOT NULL,
    body_bytes     integer     NOT NULL,
    producer       uuid,
    seq            bigint,
    traceparent    text,
    metadata       jsonb,
    -- Null until the event's history is known and its deliveries are made (it came by the fallback, or its spec is missing).
    accepted_no    bigint,
    shown_before   integer     NOT NULL DEFAULT 0,  -- so many leading messages are history
    set_aside      text,                            -- why its deliveries cannot be made; tried again by the next dispatcher
    PRIMARY KEY (tenant, id)
);
CREATE INDEX conversation_event_unprepared ON learning.conversation_event (shard, id)
    WHERE accepted_no IS NULL AND set_aside IS NULL;
CREATE INDEX conversation_event_overlay ON learning.conversation_event (tenant, subject) WHERE accepted_no IS NULL;
CREATE INDEX conversation_event_session ON learning.conversation_event (tenant, subject, session_id, accepted_no);
CREATE INDEX conversation_event_accepted ON learning.conversation_event USING brin (accepted_at);

CREATE TABLE learning.session_message (
    tenant     text    NOT NULL CHECK (tenant <> ''),
    scope      text    NOT NULL,
    position   integer NOT NULL,
    key        bytea   NOT NULL,  -- keyed hash of role and content, or of the message's id
    event_id   uuid    NOT NULL,  -- showed it first; no foreign key: this table outlives the event log
    index      integer NOT NULL,
    role       text    NOT NULL,
    superseded boolean NOT NULL DEFAULT false,  -- an answer that was generated again
    PRIMARY KEY (tenant, scope, position)
);

CREATE TABLE learning.delivery (
    tenant        text        NOT NULL CHECK (tenant <> ''),
    event_id      uuid        NOT NULL,
    store         text        NOT NULL,
    subject       text        NOT NULL,
    scope         text        NOT NULL,
    spec_hash     text        NOT NULL,
    accepted_no   bigint      NOT NULL,
    accepted_at   timestamptz NOT NULL,
    state         text        NOT NULL DEFAULT 'pending'
                              CHECK (state IN ('pending', 'extracted', 'nothing_found', 'skipped', 'dead')),
    reason        text,       -- why it waits, was skipped or is dead
    note          text,       -- what an operator should know besides
    error         text,       -- the last error, by type and without message text
    generation    integer     NOT NULL DEFAULT 1,
    attempts      integer     NOT NULL DEFAULT 0,
    next_message  integer     NOT NULL DEFAULT 0,  -- where to read on in an event larger than one window
    extraction_id uuid,
    settled_at    timestamptz,
    PRIMARY KEY (tenant, event_id, store),
    CHECK ((state = 'pending') = (settled_at IS NULL))
);
CREATE INDEX delivery_pending ON learning.delivery (tenant, store, scope, accepted_no) WHERE state = 'pending';
CREATE INDEX delivery_dead ON learning.delivery (store, settled_at) WHERE state = 'dead';
CREATE INDEX delivery_extraction ON learning.delivery (tenant, extraction_id) WHERE extraction_id IS NOT NULL;

CREATE TABLE learning.mailbox (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant           text        NOT NULL CHECK (tenant <> ''),
    store            text        NOT NULL,
    scope            text        NOT NULL,
    subject          text        NOT NULL,
    user_id          text,
    session_id       text,
    due_at           timestamptz NOT NULL,
    first_pending_at timestamptz NOT NULL,
    last_event_at    timestamptz NOT NULL,
    debounce         interval    NOT NULL,
    max_wait         interval    NOT NULL,
    flush_no         bigint      NOT NULL DEFAULT 0,  -- everything up to this acceptance number is due at once
    not_before       timestamptz,                     -- a pause that no flush overrides
    wait_reason      text        CHECK (wait_reason IN ('provider', 'budget', 'unknown model', 'waiting for spec', 'waiting for store',
                                                           'retry')),
    wait_note        text,
    failures         integer     NOT NULL DEFAULT 0,  -- answers of the provider in a row that were no answers
    nudged_until     timestamptz,
    owner            text,
    token            bigint,
    lease_until      timestamptz,
    claims           integer     NOT NULL DEFAULT 0,  -- claims since the last commit or orderly release
    window_limit     integer,                         -- events a window may have, after crashes
    crashes_alone    integer     NOT NULL DEFAULT 0,  -- crashes with a single event in the window
    ready_at         timestamptz NOT NULL GENERATED ALWAYS AS (GREATEST(due_at, not_before, nudged_until, lease_until)) STORED,
    UNIQUE (tenant, store, scope)
);
CREATE INDEX mailbox_ready ON learning.mailbox (store, tenant, ready_at);
CREATE INDEX mailbox_any_ready ON learning.mailbox (store, ready_at);  -- whether there is anything to walk the tenants for
CREATE INDEX mailbox_outstanding ON learning.mailbox (store, nudged_until) WHERE nudged_until IS NOT NULL;

CREATE TABLE learning.shard_lease (
    shard       integer     PRIMARY KEY,
    owner       text,
    token       bigint,
    lease_until timestamptz
);

CREATE TABLE learning.dispatcher (
    owner      text        PRIMARY KEY,
    host       text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    intake_at  timestamptz NOT NULL DEFAULT clock_timestamp(),  -- each loop's last turn
    pump_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE learning.producer_seq (
    producer   uuid        PRIMARY KEY,
    highest    bigint      NOT NULL,
    received   bigint      NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE learning.rejected_event (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rejected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream      text        NOT NULL,
    entry_id    text        NOT NULL,
    tenant      text,       -- as far as it could be read
    event_id    text,
    field       text        NOT NULL,
    reason      text        NOT NULL,
    body        bytea       NOT NULL,
    body_bytes  integer     NOT NULL,
    UNIQUE (stream, entry_id)
);

-- Extractions and what they cost. ----------------------------------------------------------------------------------

CREATE TABLE learning.extraction (
    tenant         text        NOT NULL CHECK (tenant <> ''),
    id             uuid        NOT NULL,
    store          text        NOT NULL,
    subject        text        NOT NULL,
    scope          text        NOT NULL,
    user_id        text,
    session_id     text,
    token          bigint      NOT NULL,
    spec_hash      text        NOT NULL,
    model          text        NOT NULL,  -- as the answer named it
    prompt_name    text        NOT NULL,
    prompt_version text        NOT NULL,
    events         integer     NOT NULL,
    messages       integer     NOT NULL,
    outcome        text        NOT NULL CHECK (outcome IN ('extracted', 'nothing_found')),
    changes        jsonb       NOT NULL,  -- counts by operation
    dropped        jsonb       NOT NULL,  -- counts of what was not grounded, by reason
    started_at     timestamptz NOT NULL,
    committed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    undone_at      timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX extraction_scope ON learning.extraction (tenant, store, scope, committed_at);

CREATE TABLE learning.model_call (
    tenant          text        NOT NULL CHECK (tenant <> ''),
    id              uuid        NOT NULL,
    extraction_id   uuid        NOT NULL,  -- of the work it was made for; that extraction may never have committed
    store           text        NOT NULL,
    purpose         text        NOT NULL,
    subject         text        NOT NULL,
    user_id         text,
    model_asked     text        NOT NULL,
    model           text,       -- as the answer named it
    prompt_name     text        NOT NULL,
    prompt_version  text        NOT NULL,
    outcome         text        NOT NULL,
    events          integer     NOT NULL,
    tokens_input    integer,
    tokens_cached   integer,
    tokens_output   integer,
    cost_usd        numeric(14, 8),  -- null: the price is not known
    seconds         real        NOT NULL,
    called_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, id)
);
CREATE INDEX model_call_extraction ON learning.model_call (tenant, extraction_id);
CREATE INDEX model_call_time ON learning.model_call (tenant, called_at);

-- What is remembered. ----------------------------------------------------------------------------------------------

CREATE TABLE learning.entity (
    tenant      text        NOT NULL CHECK (tenant <> ''),
    id          uuid        NOT NULL,
    namespace   text        NOT NULL,
    user_id     text,       -- whose, in namespace "user"
    type        text        NOT NULL,
    name        text        NOT NULL,
    name_key    text        NOT NULL,  -- the name folded, for comparison
    merged_into uuid,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, id),
    CHECK ((namespace = 'user') = (user_id IS NOT NULL)),
    FOREIGN KEY (tenant, merged_into) REFERENCES learning.entity (tenant, id)
);
CREATE UNIQUE INDEX entity_name ON learning.entity (tenant, namespace, user_id, type, name_key) NULLS NOT DISTINCT
    WHERE merged_into IS NULL;

CREATE TABLE learning.learning (
    tenant         text        NOT NULL CHECK (tenant <> ''),
    id             uuid        NOT NULL,
    store          text        NOT NULL,
    kind           text        NOT NULL,
    scope          text        NOT NULL,
    user_id        text,
    session_id     text,
    namespace      text,
    agent_id       text,
    team_id        text,
    about          uuid,
    content        text        NOT NULL CHECK (content <> ''),
    content_key    text        NOT NULL,
    data           jsonb       NOT NULL DEFAULT '{}',
    language       regconfig   NOT NULL DEFAULT 'english',
    lexemes        tsvector    NOT NULL GENERATED ALWAYS AS (to_tsvector(language, content)) STORED,
    status         text        NOT NULL CHECK (status IN ('active', 'proposed', 'retired')),
    confidence     real        CHECK (confidence BETWEEN 0 AND 1),
    valid_from     timestamptz NOT NULL,  -- when it became true, as far as the conversation tells
    valid_to       timestamptz,
    live_from      timestamptz NOT NULL,  -- when we held it
    retired_at     timestamptz,
    retired_reason text,
    retired_by     uuid,                  -- the extraction that retired it
    replaced_by    uuid,
    restores       uuid,
    origin         text        NOT NULL CHECK (origin IN ('extraction', 'tool', 'human', 'curator', 'import')),
    made_by        uuid,                  -- the extraction that made it
    PRIMARY KEY (tenant, id),
    CHECK ((status = 'retired') = (retired_at IS NOT NULL)),
    CHECK (retired_at >= live_from),
    FOREIGN KEY (tenant, about) REFERENCES learning.entity (tenant, id),
    FOREIGN KEY (tenant, replaced_by) REFERENCES learning.learning (tenant, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (tenant, restores) REFERENCES learning.learning (tenant, id)
);
CREATE UNIQUE INDEX learning_live ON learning.learning (tenant, store, kind, scope, about, content_key, status) NULLS NOT DISTINCT
    WHERE status <> 'retired';
CREATE INDEX learning_scope ON learning.learning (tenant, scope, store) WHERE status = 'active';
CREATE INDEX learning_text ON learning.learning USING gin (lexemes) WHERE status = 'active';
CREATE INDEX learning_made_by ON learning.learning (tenant, made_by);
CREATE INDEX learning_retired_by ON learning.learning (tenant, retired_by) WHERE retired_by IS NOT NULL;

CREATE TABLE learning.evidence (
    tenant        text        NOT NULL CHECK (tenant <> ''),
    id            uuid        NOT NULL,
    learning_id   uuid        NOT NULL,
    origin        text        NOT NULL,
    extraction_id uuid,
    event_id      uuid,       -- no foreign key: retention may take the event
    message       integer,    -- position in the event
    quote         text,
    user_id       text,       -- whose words these are evidence of
    occurred_at   timestamptz NOT NULL,
    added_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    withdrawn_at  timestamptz,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, learning_id) REFERENCES learning.learning (tenant, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX evidence_once ON learning.evidence (tenant, learning_id, origin, event_id, message) NULLS NOT DISTINCT
    WHERE withdrawn_at IS NULL AND event_id IS NOT NULL;
CREATE INDEX evidence_learning ON learning.evidence (tenant, learning_id);
CREATE INDEX evidence_event ON learning.evidence (tenant, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX evidence_extraction ON learning.evidence (tenant, extraction_id) WHERE extraction_id IS NOT NULL;

CREATE TABLE learning.learning_embedding (
    tenant      text          NOT NULL CHECK (tenant <> ''),
    learning_id uuid          NOT NULL,
    model       text          NOT NULL,
    embedding   public.vector NOT NULL,
    embedded_at timestamptz   NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, learning_id, model),
    FOREIGN KEY (tenant, learning_id) REFERENCES learning.learning (tenant, id) ON DELETE CASCADE
);

-- Who may touch what. ----------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA learning TO learning_app, learning_dispatcher, learning_search;

DO $$
DECLARE
    name text;
BEGIN
    -- Agents, workers, curator: one tenant, set inside each transaction.
    FOREACH name IN ARRAY ARRAY['machine_spec', 'subject', 'conversation_event', 'session_message', 'delivery', 'mailbox',
                                'extraction', 'model_call', 'entity', 'learning', 'evidence', 'learning_embedding'] LOOP
        EXECUTE format('ALTER TABLE learning.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE learning.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON learning.%I TO learning_app, learning_search '
                       'USING (tenant = current_setting(''learning.tenant'', true)) '
                       'WITH CHECK (tenant = current_setting(''learning.tenant'', true))', name);
    END LOOP;
    -- Intake, pump, reconcile, retention, operators: the path of events over all tenants, and nothing that was learned.
    FOREACH name IN ARRAY ARRAY['machine_spec', 'subject', 'conversation_event', 'session_message', 'delivery', 'mailbox',
                                'extraction', 'model_call', 'shard_lease', 'dispatcher', 'producer_seq', 'rejected_event'] LOOP
        EXECUTE format('ALTER TABLE learning.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE learning.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY all_tenants ON learning.%I TO learning_dispatcher USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;

GRANT SELECT, INSERT ON learning.machine_spec, learning.conversation_event, learning.model_call TO learning_app;
GRANT SELECT, INSERT, UPDATE ON learning.subject, learning.extraction TO learning_app;
GRANT SELECT, UPDATE ON learning.delivery TO learning_app;
GRANT SELECT, UPDATE, DELETE ON learning.mailbox TO learning_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON learning.entity, learning.learning, learning.evidence, learning.learning_embedding
    TO learning_app;
GRANT USAGE ON SEQUENCE learning.lease_token TO learning_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON learning.machine_spec, learning.subject, learning.conversation_event,
    learning.session_message, learning.delivery, learning.mailbox, learning.shard_lease, learning.dispatcher,
    learning.producer_seq, learning.rejected_event TO learning_dispatcher;
GRANT SELECT, UPDATE, DELETE ON learning.extraction, learning.model_call TO learning_dispatcher;
GRANT USAGE ON SEQUENCE learning.acceptance_number, learning.lease_token TO learning_dispatcher;
GRANT SELECT ON learning.learning, learning.entity, learning.evidence, learning.learning_embedding TO learning_search;
