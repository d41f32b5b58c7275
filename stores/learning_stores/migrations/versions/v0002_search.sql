-- Live learnings of these places (store and scope, position by position) that share a word with the query, best first.
-- As learning_search, over the tenant of the caller's transaction only.
CREATE FUNCTION learning.search(p_stores text[], p_scopes text[], p_query text, p_limit integer)
RETURNS TABLE (id uuid, score real) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own   text := current_setting('learning.tenant', true);
    words tsquery := (SELECT string_agg('''' || replace(replace(w.lexeme, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery
                      FROM unnest(to_tsvector('english', left(p_query, 20000))) AS w);
BEGIN
    IF coalesce(own, '') = '' THEN
        RAISE EXCEPTION 'search needs a tenant';
    END IF;
    IF words IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT l.id, ts_rank(l.lexemes, words, 1)
        FROM learning.learning l
        WHERE l.tenant = own AND l.status = 'active' AND l.lexemes @@ words AND l.kind <> 'alias'
          AND (l.store, l.scope) IN (SELECT * FROM unnest(p_stores, p_scopes))
        ORDER BY 2 DESC, l.live_from DESC, l.id DESC LIMIT p_limit;
END $$;
REVOKE ALL ON FUNCTION learning.search FROM PUBLIC;
GRANT EXECUTE ON FUNCTION learning.search TO learning_app;
GRANT CREATE ON SCHEMA learning TO learning_search;  -- what a new owner of a function needs, for this one statement
ALTER FUNCTION learning.search OWNER TO learning_search;
REVOKE CREATE ON SCHEMA learning FROM learning_search;
