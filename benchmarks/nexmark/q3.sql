-- Local item suggestion: a join of two tables, both filtered, over all time.
CREATE TABLE results (
  name VARCHAR, city VARCHAR, state VARCHAR, id BIGINT
) WITH ('connector' = '${SINK:-blackhole}');

INSERT INTO results
SELECT P.name, P.city, P.state, A.id
FROM auction AS A INNER JOIN person AS P ON A.seller = P.id
WHERE A.category = 10 AND (P.state = 'OR' OR P.state = 'ID' OR P.state = 'CA');
