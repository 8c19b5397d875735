-- Processing time windows: how many bids each person makes in ten seconds of the clock.
CREATE TABLE results (
  bidder BIGINT, bid_count BIGINT, starttime TIMESTAMP(3), endtime TIMESTAMP(3)
) WITH ('connector' = '${SINK:-blackhole}');

CREATE VIEW timed AS SELECT *, PROCTIME() AS p_time FROM bid;

INSERT INTO results
SELECT bidder, COUNT(*) AS bid_count, window_start AS starttime, window_end AS endtime
FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(p_time), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end;
