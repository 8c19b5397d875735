package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// ManyJobs measures so many small jobs on one MQTT topic, filters and windows in turn, while count messages come at a rate a second: as jobs of their
// own, or with shared as the INSERTs of one, which read and decode each message once. All that comes out is counted.
func ManyJobs(ctx context.Context, c Config, jobs int, shared bool, rate, count int64) (*Measured, error) {
	c.Parallelism = jobs // so many slots
	l := &live{run: &run{Config: c, report: &Report{}, steps: []step{{suite: "manyjobs"}}}, url: c.MQTT, what: "start"}
	defer l.close()
	var err error
	if l.engine, err = l.cluster(ctx, &l.what); err != nil {
		return nil, err
	}
	if l.pub, err = startWorker(ctx, c.Worker, nil); err != nil {
		return nil, err
	}
	if l.url == "" {
		if l.srv, err = startWorker(ctx, c.Worker, nil); err != nil {
			return nil, err
		}
		m, err := l.srv.ask(ctx, command{Serve: "mqtt"}, patience)
		if err != nil {
			return nil, err
		}
		l.url = m.URL
	}
	topic := fmt.Sprintf("%s/many-%d", liveTopic, time.Now().UnixNano()%1e9)
	ph := manyPhase(&c, l.url, topic, jobs, shared)
	if err := l.engine.tell(command{Phase: ph}); err != nil {
		return nil, err
	}
	if err := l.connected(ctx); err != nil {
		return nil, err
	}
	base := time.Now().UnixMilli()
	if err := l.pub.tell(command{Publish: &Publish{URL: l.url, Topic: topic, Count: count, Rate: rate}}); err != nil {
		return nil, err
	}
	each := int64(jobs)
	if shared {
		each = 1
	}
	arrived, err := l.await(ctx, count*each)
	if err != nil {
		return nil, err
	}
	if arrived != count*each {
		return nil, fmt.Errorf("%d of %d messages arrived: what is lost is not measured", arrived, count*each)
	}
	if _, err := l.ask(ctx, command{Mark: true}); err != nil {
		return nil, err
	}
	closing := &Publish{URL: l.url, Topic: topic, Count: closingCount, BaseMS: base + time.Since(time.UnixMilli(base)).Milliseconds() + closingAfter.Milliseconds()}
	if _, err := l.pub.ask(ctx, command{Publish: closing}, patience); err != nil {
		return nil, err
	}
	if _, err := l.await(ctx, arrived+closingCount*each); err != nil {
		return nil, err
	}
	m, err := l.finish(ctx)
	if err != nil {
		return nil, err
	}
	return m, checkMany(jobs, count, m.Sums)
}

func manyPhase(c *Config, url, topic string, jobs int, shared bool) *Phase {
	table := fmt.Sprintf(readingsTable, fmt.Sprintf("'connector' = 'mqtt', 'url' = '%s', 'topic' = '%s/#', 'format' = 'json'", url, topic))
	ph := &Phase{File: "many.sql", Parallelism: 1, Sums: true, Checkpoint: c.Checkpoint, Profile: c.Profile}
	var all strings.Builder
	all.WriteString(table)
	for i := range jobs {
		sink, insert := smallJob(i)
		switch {
		case shared:
			all.WriteString(sink + insert)
		case i == 0:
			ph.Script = table + sink + insert
		default:
			ph.More = append(ph.More, table+sink+insert)
		}
	}
	if shared {
		ph.Script = all.String()
	}
	return ph
}

// smallJob is a filter that lets a tenth through, each another threshold, or a window over a condition.
func smallJob(i int) (sink, insert string) {
	if i%2 == 0 {
		return fmt.Sprintf("CREATE TABLE out_%d (sensor STRING, one BIGINT) WITH ('connector' = 'blackhole');\n", i),
			fmt.Sprintf("INSERT INTO out_%d SELECT sensor, CAST(1 AS BIGINT) FROM readings WHERE hum = %d;\n", i, i/2%100)
	}
	return fmt.Sprintf("CREATE TABLE out_%d (readings BIGINT, average DOUBLE) WITH ('connector' = 'blackhole');\n", i),
		fmt.Sprintf("INSERT INTO out_%d SELECT COUNT(*) AS readings, AVG(temp) FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE hum <> %d GROUP BY window_start, window_end;\n", i, i/2%100)
}

// checkMany compares what all jobs together gave with what they must have.
func checkMany(jobs int, count int64, got sinkSums) error {
	var by [100]int64
	for n := range count {
		by[humidity(n)]++
	}
	closing := by
	clear(closing[:])
	for n := range int64(closingCount) {
		closing[humidity(n)]++
	}
	var filtered, windowed int64
	for i := range jobs {
		if k := i / 2 % 100; i%2 == 0 {
			filtered += by[k] + closing[k]
		} else {
			windowed += count - by[k]
		}
	}
	if wrong := differences("filtered rows", got.Columns["one"], filtered, "readings in windows", got.Columns["readings"], windowed); wrong != "" {
		return fmt.Errorf("wrong result: %s", wrong)
	}
	return nil
}
