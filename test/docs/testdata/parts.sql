CREATE TABLE parts (room STRING, temperature INT)
  WITH ('connector' = 'filesystem', 'path' = 'test/docs/testdata/parts', 'format' = 'csv');
