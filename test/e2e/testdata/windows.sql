CREATE TABLE readings (
  sensor STRING,
  n BIGINT,
  temp DOUBLE,
  ts TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'mqtt', 'url' = '${MQTT_URL}', 'topic' = 'readings/#', 'qos' = '1', 'shared-group' = 'e2e', 'format' = 'json'
);

CREATE TABLE windows (
  sensor STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3),
  c BIGINT, total DOUBLE, lowest DOUBLE, highest DOUBLE, different BIGINT
) WITH ('connector' = 'redis-stream', 'url' = '${REDIS_URL}', 'stream' = 'windows');

CREATE TABLE latest (
  sensor STRING, c BIGINT, highest DOUBLE, PRIMARY KEY (sensor) NOT ENFORCED
) WITH ('connector' = 'redis', 'url' = '${REDIS_URL}', 'key' = 'sensor:{sensor}');

INSERT INTO windows
SELECT sensor, window_start, window_end, COUNT(*), SUM(temp), MIN(temp), MAX(temp), COUNT(DISTINCT n)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY sensor, window_start, window_end;

INSERT INTO latest
SELECT sensor, COUNT(*), MAX(temp) FROM readings GROUP BY sensor;
