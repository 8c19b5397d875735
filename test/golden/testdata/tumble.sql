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

CREATE TABLE windows (sensor STRING, ws TIMESTAMP(3), we TIMESTAMP(3), c BIGINT, ns BIGINT, total DOUBLE, average DOUBLE, lo DOUBLE, hi DOUBLE)
WITH ('connector' = 'result');

INSERT INTO windows
SELECT sensor, window_start, window_end, COUNT(*), COUNT(n), SUM(`value`), AVG(`value`), MIN(`value`), MAX(`value`)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY sensor, window_start, window_end;
