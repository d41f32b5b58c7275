-- Everything an agent's turn needs from memory, in one call: the tenant is set for this transaction only, and every
-- table read is under its row-level security. Returns one JSON object:
--   learnings    live rows in stable order (session context, profile fields, then what was learned last first), as many as
--                fit into p_characters
--   omitted      how many did not fit
--   waiting      what the user said in events of this user or session that are not extracted yet, newest first: at most 50
--                messages, each cut at 8,000 characters, of the newest events that together hold a MiB (of one at least)
--   known        those of p_own (ids of events that the caller emitted) that have reached the event log
--   pending      how many events wait
--   processed_through   everything accepted before this moment is extracted
--   models       the models that these learnings came from
CREATE FUNCTION learning.recall(
    p_tenant text, p_user_scope text, p_session_scope text, p_subject text, p_stores text[], p_characters integer, p_own uuid[]
) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(p_tenant, '') = '' THEN
        RAISE EXCEPTION 'recall needs a tenant';
    END IF;
    PERFORM set_config('learning.tenant', p_tenant, true);
    RETURN (
        WITH ranked AS (
            SELECT l.id, l.store, l.kind, l.content, l.data, l.valid_from, l.made_by,
                   row_number() OVER shown AS place,
                   -- As rendered: one takes a quarter at most, and a line's own three characters.
                   sum(least(length(l.content), p_characters / 4) + 3) OVER (shown ROWS UNBOUNDED PRECEDING) AS characters
            FROM learning.learning l
            WHERE l.tenant = p_tenant AND l.status = 'active' AND l.scope IN (p_user_scope, p_session_scope)
              AND l.store = ANY (p_stores)
            WINDOW shown AS (
                ORDER BY CASE l.kind WHEN 'goal' THEN 0 WHEN 'plan' THEN 1 WHEN 'progress' THEN 2 WHEN 'summary' THEN 3
                                     WHEN 'field' THEN 4 ELSE 5 END, l.live_from DESC, l.id DESC)
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
                                                  'valid_from', valid_from) ORDER BY place)
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
                SELECT json_agg(DISTINCT x.model) FROM learning.extraction x
                WHERE x.tenant = p_tenant AND x.id IN (SELECT made_by FROM chosen)), '[]'))
    );
END $$;
REVOKE ALL ON FUNCTION learning.recall FROM PUBLIC;
GRANT EXECUTE ON FUNCTION learning.recall TO learning_app;
