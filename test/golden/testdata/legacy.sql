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

CREATE TABLE tumbles (room STRING, ws TIMESTAMP(3), we TIMESTAMP(3), c BIGINT) WITH ('connector' = 'result');
CREATE TABLE sessions (room STRING, ws TIMESTAMP(3), we TIMESTAMP(3), c BIGINT) WITH ('connector' = 'result');

EXECUTE STATEMENT SET BEGIN
INSERT INTO tumbles
SELECT room, TUMBLE_START(ts, INTERVAL '20' SECOND), TUMBLE_END(ts, INTERVAL '20' SECOND), COUNT(*)
FROM readings GROUP BY room, TUMBLE(ts, INTERVAL '20' SECOND);
INSERT INTO sessions
SELECT room, SESSION_START(ts, INTERVAL '2' SECOND), SESSION_END(ts, INTERVAL '2' SECOND), COUNT(*)
FROM readings GROUP BY room, SESSION(ts, INTERVAL '2' SECOND);
END;
