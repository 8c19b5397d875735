CREATE TABLE readings (
  sensor STRING,
  room STRING,
  kind STRING,
  `value` DOUBLE,
  n INT,
  ts TIMESTAMP(3),
  tags ROW<unit STRING, levels ARRAY<INT>>,
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'testdata/readings.json', 'format' = 'json');

CREATE TABLE hops (room STRING, ws TIMESTAMP(3), we TIMESTAMP(3), c BIGINT, hi DOUBLE, hot BIGINT) WITH ('connector' = 'result');

INSERT INTO hops
SELECT room, window_start, window_end, COUNT(*), MAX(`value`), COUNT(*) FILTER (WHERE kind = 'temperature' AND `value` > 20)
FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '30' SECOND))
GROUP BY room, window_start, window_end
HAVING COUNT(*) > 2;
