-- Back to search by `ts_rank` over the words alone.
DROP FUNCTION learning.rank;
DROP FUNCTION learning.vector_arm;
DROP FUNCTION learning.text_arm;
DROP FUNCTION learning.live_rows;
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT indexname FROM pg_indexes
                WHERE schemaname = 'learning' AND tablename = 'learning_embedding' AND indexdef LIKE '% USING hnsw %' LOOP
        EXECUTE format('DROP INDEX learning.%I', name);
    END LOOP;
END $$;
DROP FUNCTION learning.vector_index;
DROP TABLE learning.scope_statistics;
DROP TRIGGER place_evidence ON learning.evidence;
DROP FUNCTION learning.place_evidence;
DROP INDEX learning.evidence_place, learning.session_message_event;
ALTER TABLE learning.evidence DROP COLUMN conversation, DROP COLUMN position;
DROP POLICY search ON learning.session_message;
REVOKE SELECT ON learning.session_message FROM learning_search;
DROP INDEX learning.learning_text;
ALTER TABLE learning.learning DROP COLUMN lexemes;
DROP FUNCTION learning.date_words;
ALTER TABLE learning.learning ADD COLUMN lexemes tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector(language, content)) STORED;
CREATE INDEX learning_text ON learning.learning USING gin (lexemes) WHERE status = 'active';
