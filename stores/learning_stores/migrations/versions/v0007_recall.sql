-- Recall of revisions 0002 and 0005, with the same results, of which every row is looked up by its key (OFFSET 0 keeps the planner
-- from doing otherwise). How many rows a place has is not known when the function is planned; of a tenant with a million
-- learnings all were expected, and all read, to find a thousand: 0.9 s. Run as a member of learning_owner.

-- What is learned last, as it is described in revision 0002.
CREATE OR REPLACE FUNCTION learning.recall(
    p_tenant text, p_user_scope text, p_session_scope text, p_subject text, p_stores text[], p_places_stores text[],
    p_places_scopes text[], p_characters integer, p_own uuid[]
) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(p_tenant, '') = '' THEN
        RAISE EXCEPTION 'recall needs a tenant';
    END IF;
    PERFORM set_config('learning.tenant', p_tenant, true);
    RETURN (
        WITH live AS (
            SELECT l.*
            FROM unnest(p_places_stores, p_places_scopes) AS place (store, scope)
            CROSS JOIN LATERAL (
                SELECT l.id, l.store, l.kind, l.content, l.data, l.valid_from, l.live_from, l.made_by, l.about, l.namespace
                FROM learning.learning l
                WHERE l.tenant = p_tenant AND l.status = 'active' AND l.kind <> 'alias'
                  AND l.scope = place.scope AND l.store = place.store
                ORDER BY l.live_from DESC, l.id DESC
                LIMIT CASE WHEN place.scope LIKE 'namespace/%' THEN 1000 END) AS l
        ),
        ranked AS (
            SELECT l.*, e.name AS entity, e.type AS entity_type, row_number() OVER shown AS place,
                   -- As rendered: one takes a quarter at most, and a line's own three characters.
                   sum(least(length(l.content) + coalesce(length(e.name) + length(e.type) + 5, 0), p_characters / 4) + 3)
                       OVER (shown ROWS UNBOUNDED PRECEDING) AS characters
            FROM live l
            LEFT JOIN LATERAL (
                SELECT e.name, e.type FROM learning.entity e WHERE e.tenant = p_tenant AND e.id = l.about OFFSET 0) AS e ON true
            WINDOW shown AS (
                ORDER BY CASE l.kind WHEN 'goal' THEN 0 WHEN 'plan' THEN 1 WHEN 'progress' THEN 2 WHEN 'summary' THEN 3
                                     WHEN 'field' THEN 4 ELSE CASE WHEN l.namespace IS NULL THEN 5 ELSE 6 END END,
                         l.live_from DESC, l.id DESC)
        ),
        chosen AS (
            SELECT * FROM ranked WHERE characters <= p_characters OR place = 1
        ),
        waiting AS (
            SELECT d.event_id FROM learning.delivery d
            WHERE d.tenant = p_tenant AND d.state = 'pending' AND d.store = ANY (p_stores)
              AND d.scope IN (p_user_scope, p_session_scope)
            UNION
            SELECT e.id FROM learning.conversation_event e
            WHERE e.tenant = p_tenant AND e.subject = p_subject AND e.accepted_no IS NULL
        )
        SELECT json_build_object(
            'learnings', coalesce((
                SELECT json_agg(json_build_object('id', id, 'store', store, 'kind', kind, 'content', content, 'data', data,
                                                  'valid_from', valid_from, 'namespace', namespace, 'about', entity,
                                                  'about_type', entity_type) ORDER BY place)
                FROM chosen), '[]'),
            'omitted', (SELECT count(*) FROM ranked) - (SELECT count(*) FROM chosen),
            'waiting', coalesce((
                SELECT json_agg(json_build_object('id', e.id, 'session_id', e.session_id, 'occurred_at', e.occurred_at,
                                                  'said', left(e.message ->> 'content', 8000)) ORDER BY e.place, e.message_no DESC)
                FROM (
                    SELECT n.id, n.session_id, n.occurred_at, n.place, m.message, m.message_no
                    FROM (
                        SELECT v.id, v.session_id, v.occurred_at, v.messages, v.shown_before, row_number() OVER newest AS place,
                               sum(v.body_bytes) OVER (newest ROWS UNBOUNDED PRECEDING) AS bytes
                        FROM waiting w
                        JOIN learning.conversation_event v ON v.tenant = p_tenant AND v.id = w.event_id
                        WINDOW newest AS (ORDER BY v.accepted_no DESC NULLS FIRST, v.id DESC)) AS n
                    CROSS JOIN LATERAL jsonb_array_elements(n.messages) WITH ORDINALITY AS m (message, message_no)
                    WHERE n.place <= 50 AND (n.bytes <= 1048576 OR n.place = 1)
                      AND m.message_no > n.shown_before AND m.message ->> 'role' = 'user'
                    ORDER BY n.place, m.message_no DESC
                    LIMIT 50) AS e), '[]'),
            'known', coalesce((
                SELECT json_agg(v.id) FROM learning.conversation_event v
                WHERE v.tenant = p_tenant AND v.id = ANY (p_own)), '[]'),
            'pending', (SELECT count(*) FROM waiting),
            'processed_through', coalesce((
                SELECT min(v.accepted_at) FROM waiting w
                JOIN learning.conversation_event v ON v.tenant = p_tenant AND v.id = w.event_id), clock_timestamp()),
            'models', coalesce((
                SELECT json_agg(DISTINCT x.model)
                FROM (SELECT DISTINCT made_by FROM chosen) AS c
                CROSS JOIN LATERAL (
                    SELECT x.model FROM learning.extraction x WHERE x.tenant = p_tenant AND x.id = c.made_by OFFSET 0) AS x),
                '[]'))
    );
END $$;

-- With a query, or as of a moment, as it is described in revision 0005. As of a moment, too, the newest 1,000 of a namespace are
-- looked at.
CREATE OR REPLACE FUNCTION learning.recall(
    p_tenant text, p_user_scope text, p_session_scope text, p_subject text, p_stores text[], p_places_stores text[],
    p_places_scopes text[], p_characters integer, p_own uuid[], p_query text, p_language text, p_vector real[], p_model text,
    p_as_of timestamptz, p_weights jsonb
) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    IF p_query IS NULL AND p_as_of IS NULL THEN
        RETURN learning.recall(p_tenant, p_user_scope, p_session_scope, p_subject, p_stores, p_places_stores, p_places_scopes,
                               p_characters, p_own);
    END IF;
    IF coalesce(p_tenant, '') = '' THEN
        RAISE EXCEPTION 'recall needs a tenant';
    END IF;
    PERFORM set_config('learning.tenant', p_tenant, true);
    RETURN (
        WITH best AS MATERIALIZED (
            SELECT r.id, row_number() OVER (ORDER BY r.score DESC, r.id) AS place
            FROM learning.rank(p_places_stores, p_places_scopes, p_query, p_language, p_vector, p_model, 200, p_as_of,
                               p_weights) AS r
            WHERE p_query IS NOT NULL
        ),
        -- Three ways to the same columns, of which the parameters choose: each has an index of its own.
        held AS (
            SELECT l.id
            FROM unnest(p_places_stores, p_places_scopes) AS place (store, scope)
            CROSS JOIN LATERAL (
                SELECT l.id FROM learning.learning l
                WHERE p_as_of IS NULL AND l.tenant = p_tenant AND l.status = 'active' AND l.kind <> 'alias'
                  AND l.scope = place.scope AND l.store = place.store
                ORDER BY l.live_from DESC, l.id DESC
                LIMIT CASE WHEN place.scope LIKE 'namespace/%' THEN 1000 END) AS l
            UNION
            SELECT l.id
            FROM unnest(p_places_stores, p_places_scopes) AS place (store, scope)
            CROSS JOIN LATERAL (
                SELECT l.id FROM learning.learning l
                WHERE p_as_of IS NOT NULL AND l.tenant = p_tenant AND l.status = 'active' AND l.kind <> 'alias'
                  AND l.scope = place.scope AND l.store = place.store AND l.live_from <= p_as_of
                ORDER BY l.live_from DESC, l.id DESC
                LIMIT CASE WHEN place.scope LIKE 'namespace/%' THEN 1000 END) AS l
            UNION
            SELECT l.id
            FROM unnest(p_places_stores, p_places_scopes) AS place (store, scope)
            CROSS JOIN LATERAL (
                SELECT l.id FROM learning.learning l
                WHERE p_as_of IS NOT NULL AND l.tenant = p_tenant AND l.status = 'retired' AND l.kind <> 'alias'
                  AND l.scope = place.scope AND l.store = place.store AND l.live_from <= p_as_of AND l.retired_at > p_as_of
                ORDER BY l.live_from DESC, l.id DESC
                LIMIT CASE WHEN place.scope LIKE 'namespace/%' THEN 1000 END) AS l
            UNION
            SELECT b.id FROM best b
        ),
        live AS (
            SELECT l.id, l.store, l.kind, l.content, l.data, l.valid_from, l.live_from, l.made_by, l.about, l.namespace,
                   b.place AS relevance
            FROM held h
            CROSS JOIN LATERAL (
                SELECT l.* FROM learning.learning l WHERE l.tenant = p_tenant AND l.id = h.id OFFSET 0) AS l
            LEFT JOIN best b ON b.id = h.id
        ),
        ranked AS (
            SELECT l.*, e.name AS entity, e.type AS entity_type, row_number() OVER shown AS place,
                   -- As rendered: one takes a quarter at most, and a line's own three characters.
                   sum(least(length(l.content) + coalesce(length(e.name) + length(e.type) + 5, 0), p_characters / 4) + 3)
                       OVER (shown ROWS UNBOUNDED PRECEDING) AS characters
            FROM live l
            LEFT JOIN LATERAL (
                SELECT e.name, e.type FROM learning.entity e WHERE e.tenant = p_tenant AND e.id = l.about OFFSET 0) AS e ON true
            WINDOW shown AS (
                ORDER BY CASE l.kind WHEN 'goal' THEN 0 WHEN 'plan' THEN 1 WHEN 'progress' THEN 2 WHEN 'summary' THEN 3
                                     WHEN 'field' THEN 4 ELSE 5 END,
                         l.relevance, l.namespace IS NOT NULL, l.live_from DESC, l.id DESC)
        ),
        chosen AS (
            SELECT * FROM ranked WHERE characters <= p_characters OR place = 1
        ),
        waiting AS (
            SELECT d.event_id FROM learning.delivery d
            WHERE p_as_of IS NULL AND d.tenant = p_tenant AND d.state = 'pending' AND d.store = ANY (p_stores)
              AND d.scope IN (p_user_scope, p_session_scope)
            UNION
            SELECT e.id FROM learning.conversation_event e
            WHERE p_as_of IS NULL AND e.tenant = p_tenant AND e.subject = p_subject AND e.accepted_no IS NULL
        )
        SELECT json_build_object(
            'learnings', coalesce((
                SELECT json_agg(json_build_object('id', id, 'store', store, 'kind', kind, 'content', content, 'data', data,
                                                  'valid_from', valid_from, 'namespace', namespace, 'about', entity,
                                                  'about_type', entity_type) ORDER BY place)
                FROM chosen), '[]'),
            'omitted', (SELECT count(*) FROM ranked) - (SELECT count(*) FROM chosen),
            'waiting', coalesce((
                SELECT json_agg(json_build_object('id', e.id, 'session_id', e.session_id, 'occurred_at', e.occurred_at,
                                                  'said', left(e.message ->> 'content', 8000)) ORDER BY e.place, e.message_no DESC)
                FROM (
                    SELECT n.id, n.session_id, n.occurred_at, n.place, m.message, m.message_no
                    FROM (
                        SELECT v.id, v.session_id, v.occurred_at, v.messages, v.shown_before, row_number() OVER newest AS place,
                               sum(v.body_bytes) OVER (newest ROWS UNBOUNDED PRECEDING) AS bytes
                        FROM waiting w
                        JOIN learning.conversation_event v ON v.tenant = p_tenant AND v.id = w.event_id
                        WINDOW newest AS (ORDER BY v.accepted_no DESC NULLS FIRST, v.id DESC)) AS n
                    CROSS JOIN LATERAL jsonb_array_elements(n.messages) WITH ORDINALITY AS m (message, message_no)
                    WHERE n.place <= 50 AND (n.bytes <= 1048576 OR n.place = 1)
                      AND m.message_no > n.shown_before AND m.message ->> 'role' = 'user'
                    ORDER BY n.place, m.message_no DESC
                    LIMIT 50) AS e), '[]'),
            'known', coalesce((
                SELECT json_agg(v.id) FROM learning.conversation_event v
                WHERE v.tenant = p_tenant AND v.id = ANY (p_own)), '[]'),
            'pending', (SELECT count(*) FROM waiting),
            'processed_through', coalesce((
                SELECT min(v.accepted_at) FROM waiting w
                JOIN learning.conversation_event v ON v.tenant = p_tenant AND v.id = w.event_id), p_as_of, clock_timestamp()),
            'models', coalesce((
                SELECT json_agg(DISTINCT x.model)
                FROM (SELECT DISTINCT made_by FROM chosen) AS c
                CROSS JOIN LATERAL (
                    SELECT x.model FROM learning.extraction x WHERE x.tenant = p_tenant AND x.id = c.made_by OFFSET 0) AS x),
                '[]'))
    );
END $$;
