-- From a Redis stream to a hash for each room and to another stream: the latest temperature, and averages over ten seconds.
--
--   bramble submit examples/redis.sql -D REDIS_URL=redis://localhost:6379
--   redis-cli xadd readings '*' sensor kitchen-1 room kitchen temperature 20.5
--   redis-cli hgetall room:kitchen
--   redis-cli xrange averages - +

SET 'pipeline.name' = 'redis';

CREATE TABLE readings (
  sensor STRING,
  room STRING,
  temperature DOUBLE,
  -- The time part of an entry's id: when Redis took it.
  ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (
  'connector' = 'redis-stream',
  'url' = '${REDIS_URL:-redis://localhost:6379}',
  'stream' = 'readings',
  'scan.startup.mode' = 'earliest-offset',
  -- Close the last window although no newer entry comes.
  'scan.watermark.fallback' = '30 s'
);

CREATE TABLE rooms (
  room STRING,
  temperature DOUBLE,
  sensor STRING,
  ts TIMESTAMP_LTZ(3),
  PRIMARY KEY (room) NOT ENFORCED
) WITH (
  'connector' = 'redis',
  'url' = '${REDIS_URL:-redis://localhost:6379}',
  'key' = 'room:{room}',
  'ttl' = '1 d'
);

CREATE TABLE averages (
  room STRING,
  window_end TIMESTAMP(3),
  readings BIGINT,
  average DOUBLE
) WITH (
  'connector' = 'redis-stream',
  'url' = '${REDIS_URL:-redis://localhost:6379}',
  'stream' = 'averages',
  'maxlen' = '10000'
);

EXECUTE STATEMENT SET
BEGIN

INSERT INTO rooms
SELECT room, LAST_VALUE(temperature), LAST_VALUE(sensor), MAX(ts)
FROM readings
GROUP BY room;

INSERT INTO averages
SELECT room, window_end, COUNT(temperature), AVG(temperature)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY room, window_start, window_end;

END;
