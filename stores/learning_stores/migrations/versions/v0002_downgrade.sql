-- Back to what one user's memory needs. What was proposed and never decided ends, and never was live.
DROP FUNCTION learning.recall(text, text, text, text, text[], text[], text[], integer, uuid[]);
DROP FUNCTION learning.search;
ALTER TABLE learning.learning NO FORCE ROW LEVEL SECURITY;
UPDATE learning.learning SET status = 'retired', awaits = NULL, live_from = now(), retired_at = now(), retired_reason = 'downgrade'
WHERE status = 'proposed';
ALTER TABLE learning.learning FORCE ROW LEVEL SECURITY;
DROP INDEX learning.learning_about, learning.learning_points, learning.learning_alias, learning.learning_newest,
    learning.learning_proposed, learning.learning_gone, learning.learning_replaced_by, learning.learning_restores,
    learning.learning_replaces, learning.evidence_subject;
ALTER TABLE learning.learning DROP COLUMN target, DROP COLUMN replaces, DROP COLUMN awaits, DROP COLUMN decided_by,
    DROP COLUMN decided_at;
ALTER TABLE learning.evidence DROP COLUMN subject;
DROP TABLE learning.change;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['entity', 'learning', 'evidence', 'learning_embedding'] LOOP
        EXECUTE format('DROP POLICY search ON learning.%I', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['machine_spec', 'subject', 'conversation_event', 'session_message', 'delivery', 'mailbox',
                                'extraction', 'model_call', 'entity', 'learning', 'evidence', 'learning_embedding'] LOOP
        EXECUTE format('ALTER POLICY one_tenant ON learning.%I TO learning_app, learning_search', name);
    END LOOP;
END $$;
