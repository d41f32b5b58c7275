-- The vector arm, and the fusion of everything that tells how much a learning matters. Run as a member of learning_owner.

-- The live rows nearest to a vector, best first, with the mean and deviation of the cosines of all rows.
--   Exact up to 20,000 live rows. Beyond, through the model's HNSW index where there is one, scanned on until enough rows of
-- these places are found; mean and deviation are then of the newest 1,000. Without an index no rows: vectors reorder what the
-- words found.
CREATE FUNCTION learning.vector_arm(
    p_tenant text, p_stores text[], p_scopes text[], p_vector real[], p_model text, p_as_of timestamptz, p_total bigint,
    p_limit integer, OUT ids uuid[], OUT mean float8, OUT deviation float8
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    exact      CONSTANT bigint := 20000;
    past       CONSTANT boolean := p_as_of IS NOT NULL;
    live       CONSTANT text := learning.live_rows(p_tenant, p_stores, p_scopes, past);
    dimensions CONSTANT integer := cardinality(p_vector);
    everything float8;
BEGIN
    EXECUTE format($near$
        WITH near AS MATERIALIZED (
            SELECT l.id, 1 - (CASE WHEN public.vector_dims(e.embedding) = %s THEN e.embedding END
                              OPERATOR(public.<=>) $2::public.vector) AS cosine
            FROM (%s) AS l
            JOIN learning.learning_embedding e ON e.tenant = %L AND e.learning_id = l.id AND e.model = %L)
        SELECT ARRAY(SELECT n.id FROM near n WHERE n.cosine IS NOT NULL ORDER BY n.cosine DESC, n.id DESC LIMIT %s),
               (SELECT avg(cosine) FROM near), (SELECT stddev_pop(cosine) FROM near)
        $near$, dimensions,
        CASE WHEN p_total > exact THEN format('SELECT * FROM (%s) AS every ORDER BY live_from DESC, id DESC LIMIT 1000', live)
             ELSE live END,
        p_tenant, p_model, p_limit)
    INTO ids, mean, deviation USING p_as_of, p_vector;
    mean := coalesce(mean, 0);
    deviation := coalesce(nullif(deviation, 0), 1);
    IF p_total <= exact THEN
        RETURN;
    END IF;
    ids := NULL;
    IF to_regclass('learning.' || learning.vector_index(p_model, dimensions)) IS NULL THEN
        RETURN;
    END IF;
    -- So many rows of the index as hold the wanted number of these places', if these lie in it like any others; twice that.
    SELECT greatest(c.reltuples, p_total) INTO everything FROM pg_class c
    WHERE c.oid = to_regclass('learning.' || learning.vector_index(p_model, dimensions));
    PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true),
            set_config('hnsw.ef_search', least(greatest(p_limit, 40), 1000)::text, true),
            set_config('hnsw.max_scan_tuples', least(greatest(20000, 2 * p_limit * everything / p_total), 200000)::integer::text, true);
    -- The places in a subquery that is asked row by row: as a join, the whole scope would be read and sorted.
    EXECUTE format($near$
        WITH near AS MATERIALIZED (
            SELECT e.learning_id, e.embedding FROM learning.learning_embedding e
            WHERE e.model = %L AND e.tenant = %L
              AND (SELECT true FROM learning.learning l
                   WHERE l.tenant = %L AND l.id = e.learning_id AND l.kind <> 'alias'
                     AND (l.store, l.scope) IN (SELECT * FROM unnest($3, $4))
                     AND CASE WHEN $1 IS NULL THEN l.status = 'active'
                              ELSE l.status <> 'proposed' AND l.live_from <= $1 AND coalesce(l.retired_at > $1, true) END)
            ORDER BY e.embedding::public.halfvec(%s) OPERATOR(public.<=>) $2::public.vector::public.halfvec(%s) LIMIT %s)
        SELECT array_agg(n.learning_id ORDER BY n.embedding OPERATOR(public.<=>) $2::public.vector, n.learning_id DESC)
        FROM near n
        $near$, p_model, p_tenant, p_tenant, dimensions, dimensions, p_limit)
    INTO ids USING p_as_of, p_vector, p_stores, p_scopes;
END $$;

-- Learnings of these places (store and scope, position by position), those that matter most to the query first. As
-- learning_search, over the tenant of the caller's transaction only. Nothing but live rows, as of a moment where one is given;
-- no aliases.
--   text_score    BM25 (0: shares no word)         vector_score     cosine to p_vector (null: not embedded by p_model)
--   neighbour_score, recency_score, confidence_score: what was gained by each
--   score         their sum; words and vector standardised over all live rows, so that 1 is one deviation
-- p_weights is described where it is made (learning_stores.ranking). p_language is that of the query's words.
CREATE FUNCTION learning.rank(
    p_stores text[], p_scopes text[], p_query text, p_language text, p_vector real[], p_model text, p_limit integer,
    p_as_of timestamptz, p_weights jsonb
) RETURNS TABLE (
    id uuid, score real, text_score real, vector_score real, neighbour_score real, recency_score real, confidence_score real
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off  -- compiling costs ten times what it saves
AS $$
DECLARE
    own     text := current_setting('learning.tenant', true);
    words   text[] := tsvector_to_array(to_tsvector(p_language::regconfig, left(coalesce(p_query, ''), 20000)));
    pool    integer := greatest(p_limit, (p_weights ->> 'pool')::integer);
    gains   float8[] := ARRAY(SELECT g::float8 FROM jsonb_array_elements_text(p_weights -> 'neighbours') AS g);
    dense   float8 := (p_weights ->> 'vector')::float8;
    recent  float8 := (p_weights ->> 'recency')::float8;
    halved  float8 := 86400 * (p_weights ->> 'half_life_days')::float8;
    sure    float8 := (p_weights ->> 'confidence')::float8;
    told    record;
    near    record;
    shift   float8 := 0;
BEGIN
    IF coalesce(own, '') = '' THEN
        RAISE EXCEPTION 'rank needs a tenant';
    END IF;
    SELECT * INTO told FROM learning.text_arm(own, p_stores, p_scopes, words, p_as_of, p_weights);
    IF coalesce(told.total, 0) = 0 THEN
        RETURN;
    END IF;
    SELECT NULL::uuid[] AS ids, 0::float8 AS mean, 1::float8 AS deviation INTO near;
    IF cardinality(p_vector) > 0 THEN
        SELECT * INTO near
        FROM learning.vector_arm(own, p_stores, p_scopes, p_vector, p_model, p_as_of, told.total, pool);
        shift := told.mean;  -- by words alone, what shares none is worth nothing, and lends nothing
    END IF;
    RETURN QUERY
        -- Put together by grouping, not by joins: without knowing how many rows an array holds, these are planned row by row.
        WITH found AS MATERIALIZED (SELECT f.id, f.score FROM unnest(told.ids, told.scores) AS f (id, score)),
        best AS MATERIALIZED (
            SELECT b.id, max(b.score) AS by_text
            FROM (
                SELECT f.id, f.score, false AS chosen FROM found f
                UNION ALL (SELECT f.id, 0, true FROM found f ORDER BY f.score DESC, f.id DESC LIMIT pool)
                UNION ALL SELECT n.id, 0, true FROM unnest(near.ids) AS n (id)) AS b
            GROUP BY b.id HAVING bool_or(b.chosen)
        ),
        based AS MATERIALIZED (
            SELECT b.id, (b.by_text - shift) / told.deviation
                         + dense * coalesce((v.cosine - near.mean) / near.deviation, 0) AS base
            FROM best b
            LEFT JOIN LATERAL (
                SELECT 1 - (e.embedding OPERATOR(public.<=>) p_vector::public.vector) AS cosine
                FROM learning.learning_embedding e
                WHERE p_vector IS NOT NULL AND e.tenant = own AND e.learning_id = b.id AND e.model = p_model
                  AND public.vector_dims(e.embedding) = cardinality(p_vector)
                OFFSET 0) AS v ON true
        ),
        -- OFFSET 0: by index, row by row. Free to choose, the planner reads and sorts all evidence of the tenant.
        heard AS MATERIALIZED (
            SELECT s.id, s.base, e.conversation, e.position
            FROM (SELECT b.id, b.base FROM based b WHERE b.base > 0 ORDER BY b.base DESC, b.id DESC LIMIT pool) AS s
            CROSS JOIN LATERAL (
                SELECT e.conversation, e.position FROM learning.evidence e
                WHERE e.tenant = own AND e.learning_id = s.id AND e.withdrawn_at IS NULL AND e.conversation IS NOT NULL
                OFFSET 0) AS e
            WHERE cardinality(gains) > 0
        ),
        lent AS MATERIALIZED (
            SELECT n.id, sum(gains[n.distance] * n.base) AS gain
            FROM (
                SELECT e.learning_id AS id, abs(e.position - h.position) AS distance, max(h.base) AS base
                FROM heard h
                CROSS JOIN LATERAL (
                    SELECT e.learning_id, e.position FROM learning.evidence e
                    WHERE e.tenant = own AND e.conversation = h.conversation AND e.withdrawn_at IS NULL
                      AND e.position BETWEEN h.position - cardinality(gains) AND h.position + cardinality(gains)
                    OFFSET 0) AS e
                WHERE e.position <> h.position AND e.learning_id <> h.id
                GROUP BY 1, 2) AS n
            GROUP BY 1
        ),
        everyone AS MATERIALIZED (
            SELECT o.id, max(o.by_text)::float8 AS by_text, sum(o.gain) AS gain
            FROM (
                SELECT f.id, f.score AS by_text, 0::float8 AS gain, false AS chosen FROM found f
                UNION ALL SELECT b.id, 0, 0, true FROM best b
                UNION ALL SELECT n.id, 0, n.gain, true FROM lent n) AS o
            GROUP BY o.id HAVING bool_or(o.chosen)
        ),
        scored AS (
            SELECT l.id, o.by_text, v.cosine AS by_vector, o.gain AS by_neighbours,
                   recent * power(2, -greatest(extract(epoch FROM coalesce(p_as_of, now()) - l.valid_from), 0) / halved) AS by_age,
                   sure * coalesce(l.confidence, 0.5) AS by_confidence, l.live_from
            FROM everyone o
            CROSS JOIN LATERAL (
                SELECT l.id, l.valid_from, l.confidence, l.live_from FROM learning.learning l
                WHERE l.tenant = own AND l.id = o.id AND l.kind <> 'alias'
                  AND (l.store, l.scope) IN (SELECT * FROM unnest(p_stores, p_scopes))
                  AND CASE WHEN p_as_of IS NULL THEN l.status = 'active'
                           ELSE l.status <> 'proposed' AND l.live_from <= p_as_of AND coalesce(l.retired_at > p_as_of, true) END
                OFFSET 0) AS l
            LEFT JOIN LATERAL (
                SELECT 1 - (e.embedding OPERATOR(public.<=>) p_vector::public.vector) AS cosine
                FROM learning.learning_embedding e
                WHERE p_vector IS NOT NULL AND e.tenant = own AND e.learning_id = l.id AND e.model = p_model
                  AND public.vector_dims(e.embedding) = cardinality(p_vector)
                OFFSET 0) AS v ON true
        )
        SELECT s.id,
               ((s.by_text - shift) / told.deviation + dense * coalesce((s.by_vector - near.mean) / near.deviation, 0)
                + s.by_neighbours + s.by_age + s.by_confidence)::real AS total,
               s.by_text::real, s.by_vector::real, s.by_neighbours::real, s.by_age::real, s.by_confidence::real
        FROM scored s
        ORDER BY total DESC, s.live_from DESC, s.id DESC
        LIMIT p_limit;
END $$;
REVOKE ALL ON FUNCTION learning.live_rows, learning.text_arm, learning.vector_arm, learning.rank FROM PUBLIC;
GRANT EXECUTE ON FUNCTION learning.rank TO learning_app;
GRANT CREATE ON SCHEMA learning TO learning_search;  -- what a new owner of a function needs, for these statements
ALTER FUNCTION learning.live_rows OWNER TO learning_search;
ALTER FUNCTION learning.text_arm OWNER TO learning_search;
ALTER FUNCTION learning.vector_arm OWNER TO learning_search;
ALTER FUNCTION learning.rank OWNER TO learning_search;
ALTER FUNCTION learning.place_evidence OWNER TO learning_search;
REVOKE CREATE ON SCHEMA learning FROM learning_search;
