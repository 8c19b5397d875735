CREATE TABLE sensors (
  sensor STRING, room STRING, temp DOUBLE, hum INT, ts TIMESTAMP_LTZ(3), pt AS PROCTIME(),
  topic STRING METADATA VIRTUAL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'mqtt', 'url' = 'tcp://localhost:1883', 'topic' = 'home/+/temp', 'password' = 'hunter2');
CREATE TABLE averages (
  sensor STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), avg_temp DOUBLE, n BIGINT
) WITH ('connector' = 'mqtt', 'url' = 'tcp://u:hunter2@localhost:1883', 'topic' = 'out');
CREATE TABLE latest (sensor STRING, temp DOUBLE, n BIGINT, PRIMARY KEY (sensor) NOT ENFORCED)
  WITH ('connector' = 'redis', 'url' = 'redis://:hunter2@localhost:6379', 'key' = 'sensor:{sensor}');
CREATE TABLE alerts (sensor STRING, temp DOUBLE) WITH ('connector' = 'mqtt', 'url' = 'tcp://localhost:1883', 'topic' = 'alerts');
CREATE TABLE anything (a STRING, b BIGINT) WITH ('connector' = 'print');
