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

CREATE TABLE sums (kind STRING, ws TIMESTAMP(3), we TIMESTAMP(3), c BIGINT, total DOUBLE) WITH ('connector' = 'result');

INSERT INTO sums
SELECT kind, window_start, window_end, COUNT(*), SUM(`value`)
FROM TABLE(CUMULATE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE))
GROUP BY kind, window_start, window_end;
