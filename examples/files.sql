-- Files in, files out: averages of each room over ten seconds, from a CSV file with a header to CSV files, a directory for each room.
-- The input has an end, so the job ends by itself and the files are complete. Run it from the root of the repository:
--
--   bramble run examples/files.sql -D OUTPUT=/tmp/averages
--   cat /tmp/averages/room=kitchen/*

SET 'pipeline.name' = 'files';

CREATE TABLE readings (
  sensor STRING,
  room STRING,
  temperature DOUBLE, -- an empty field is NULL
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = '${INPUT:-examples/readings.csv}',
  'format' = 'csv',
  'source.skip-lines' = '1'
);

CREATE TABLE averages (
  room STRING,
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  readings BIGINT,
  average DOUBLE
) PARTITIONED BY (room) WITH (
  'connector' = 'filesystem',
  'path' = '${OUTPUT:-averages}',
  'format' = 'csv'
);

INSERT INTO averages
SELECT room, window_start, window_end, COUNT(temperature), AVG(temperature)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY room, window_start, window_end;
