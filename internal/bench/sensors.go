package bench

import (
	"strconv"
	"time"
)

// sensors is how many different ones readings come from.
const sensors = 1000

// readingsPerMS is how far apart readings are in event time, unless they are made when they are due: twenty thousand a second.
const readingsPerMS = 20

// reading appends message n as JSON: what a sensor sends. tsMS is its event time, dueUS when it was to be sent, in microseconds.
func reading(dst []byte, n, tsMS, dueUS int64) []byte {
	dst = append(dst, `{"sensor":"s`...)
	s := n % sensors
	dst = append(dst, byte('0'+s/1000%10), byte('0'+s/100%10), byte('0'+s/10%10), byte('0'+s%10))
	dst = append(dst, `","ts":`...)
	dst = strconv.AppendInt(dst, tsMS, 10)
	dst = append(dst, `,"temp":`...)
	dst = strconv.AppendInt(dst, 15+n%20, 10)
	dst = append(dst, '.', byte('0'+n/10%10), byte('0'+n%10))
	dst = append(dst, `,"hum":`...)
	dst = strconv.AppendInt(dst, humidity(n), 10)
	dst = append(dst, `,"due":`...)
	dst = strconv.AppendInt(dst, dueUS, 10)
	return append(dst, '}')
}

// humidity of reading n, 0 to 99 evenly but in no order of the sensors.
func humidity(n int64) int64 { return n * 7919 % 9973 % 100 }

// damp is what the filter lets through.
const damp = 50

// expectation is what must come out of readings 0 to n-1.
type expectation struct {
	// readings and humidity are of all, damp and dampHumidity of those that the filter lets through.
	readings, humidity, damp, dampHumidity int64
}

func expect(n int64) expectation {
	e := expectation{readings: n}
	for i := range n {
		h := humidity(i)
		e.humidity += h
		if h >= damp {
			e.damp++
			e.dampHumidity += h
		}
	}
	return e
}

// readingsTable is the table that jobs over readings have in common; the option of the connector goes in.
const readingsTable = `CREATE TABLE readings (
  sensor STRING, ts TIMESTAMP_LTZ(3), temp DOUBLE, hum INT, due BIGINT,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (%s);
`

// watermarkDelay is that of readingsTable.
const watermarkDelay = time.Second

// streamJob is a job over readings.
type streamJob struct {
	name, about, sql string
	// due is the column to measure latency by, with what is no latency.
	due   string
	delay time.Duration
	// windows is in how many windows each reading is, 0 for a filter.
	windows int64
	// window is how long they are, every how often one ends.
	window, every time.Duration
}

var streamJobs = []streamJob{
	{
		name: "filter", about: "WHERE hum >= 50, every row out", due: "due",
		sql: `CREATE TABLE out_rows (sensor STRING, temp DOUBLE, hum INT, due BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out_rows SELECT sensor, temp, hum, due FROM readings WHERE hum >= 50;`,
	},
	{
		name: "tumble", about: "10 s average of 1,000 sensors", due: "window_end", delay: watermarkDelay, windows: 1, window: 10 * time.Second, every: 10 * time.Second,
		sql: windowSQL("TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)"),
	},
	{
		name: "hop", about: "60 s average every 10 s of 1,000 sensors", due: "window_end", delay: watermarkDelay, windows: 6, window: time.Minute, every: 10 * time.Second,
		sql: windowSQL("HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '60' SECOND)"),
	},
}

func windowSQL(table string) string {
	return `CREATE TABLE averages (sensor STRING, window_end TIMESTAMP(3), average DOUBLE, readings BIGINT, humidity BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO averages
SELECT sensor, window_end, AVG(temp), COUNT(*) AS readings, SUM(CAST(hum AS BIGINT)) AS humidity
FROM TABLE(` + table + `)
GROUP BY sensor, window_start, window_end;`
}

// check compares what came out of n readings, and those that closed the windows, with what must have. It returns what is wrong, "" for nothing.
func (j *streamJob) check(n int64, got sinkSums) string {
	e := expect(n)
	if j.windows == 0 {
		return differences(
			"rows", got.Rows, e.damp,
			"sum of humidity", got.Columns["hum"], e.dampHumidity)
	}
	return differences(
		"readings in windows", got.Columns["readings"], e.readings*j.windows,
		"sum of humidity", got.Columns["humidity"], e.humidity*j.windows)
}

// differences takes names, found and wanted values in turn.
func differences(triples ...any) string {
	out := ""
	for i := 0; i+2 < len(triples); i += 3 {
		found, wanted := triples[i+1].(int64), triples[i+2].(int64) //nolint:forcetypeassert // of this package
		if found != wanted {
			if out != "" {
				out += "; "
			}
			out += triples[i].(string) + ": " + strconv.FormatInt(found, 10) + " instead of " + strconv.FormatInt(wanted, 10) //nolint:forcetypeassert // the same
		}
	}
	return out
}
