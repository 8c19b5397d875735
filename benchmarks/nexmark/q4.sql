-- Average price by category: a join, the winning bid of each auction, an average that changes.
CREATE TABLE results (
  id BIGINT, final BIGINT
) WITH ('connector' = '${SINK:-blackhole}');

INSERT INTO results
SELECT Q.category, AVG(Q.final)
FROM (
  SELECT MAX(B.price) AS final, A.category
  FROM auction AS A, bid AS B
  WHERE A.id = B.auction AND B.`dateTime` BETWEEN A.`dateTime` AND A.expires
  GROUP BY A.id, A.category
) AS Q
GROUP BY Q.category;
