SET 'pipeline.name' = 'house';
SET 'execution.checkpointing.interval' = '1 s';
CREATE TABLE readings (sensor INT, temperature DOUBLE) WITH (
  'connector' = 'datagen', 'rows-per-second' = '100000', 'fields.sensor.min' = '1', 'fields.sensor.max' = '50'
);
CREATE TABLE latest (sensor INT, temperature DOUBLE, PRIMARY KEY (sensor) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO latest SELECT sensor, LAST_VALUE(temperature) FROM readings GROUP BY sensor;
