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

CREATE TABLE sessions (sensor STRING, ws TIMESTAMP(3), we TIMESTAMP(3), c BIGINT, ns INT) WITH ('connector' = 'result');

INSERT INTO sessions
SELECT sensor, window_start, window_end, COUNT(*), MAX(n)
FROM TABLE(SESSION(TABLE readings PARTITION BY sensor, DESCRIPTOR(ts), INTERVAL '3' SECOND))
GROUP BY sensor, window_start, window_end;
