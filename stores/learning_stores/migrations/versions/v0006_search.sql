-- Live learnings of these places (store and scope, position by position) that share a word with the query, best first: the
-- words of learning.rank alone, without neighbours, dates of learning or confidence. For tools and prompts that look something
-- up; words are stemmed as those of the newest learning of the first place are. As learning_search, over the tenant of the
-- caller's transaction only. (The one of revision 0002 read whole scopes: 80 to 200 ms at 100,000 learnings.)
DROP FUNCTION learning.search(text[], text[], text, integer);
CREATE FUNCTION learning.search(p_stores text[], p_scopes text[], p_query text, p_limit integer)
RETURNS TABLE (id uuid, score real) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own      text := current_setting('learning.tenant', true);
    language text;
BEGIN
    IF coalesce(own, '') = '' THEN
        RAISE EXCEPTION 'search needs a tenant';
    END IF;
    IF p_limit <= 0 THEN
        RETURN;
    END IF;
    SELECT l.language::text INTO language FROM learning.learning l
    WHERE l.tenant = own AND l.scope = p_scopes[1] AND l.store = p_stores[1] AND l.status = 'active' AND l.kind <> 'alias'
    ORDER BY l.live_from DESC, l.id DESC LIMIT 1;
    RETURN QUERY
        SELECT r.id, r.text_score
        FROM learning.rank(p_stores, p_scopes, p_query, coalesce(language, 'english'), NULL, NULL, p_limit, NULL,
                           '{"k1": 0.9, "b": 0.5, "vector": 0, "neighbours": [], "recency": 0, "half_life_days": 1,
                             "confidence": 0, "pool": 1}') AS r
        WHERE r.text_score > 0;
END $$;
REVOKE ALL ON FUNCTION learning.search FROM PUBLIC;
GRANT EXECUTE ON FUNCTION learning.search TO learning_app;
GRANT CREATE ON SCHEMA learning TO learning_search;  -- what a new owner of a function needs, for this one statement
ALTER FUNCTION learning.search OWNER TO learning_search;
REVOKE CREATE ON SCHEMA learning FROM learning_search;
