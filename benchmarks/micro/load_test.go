package micro

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// readingsSQL is the table that every job here reads; what is in the braces is the load.
const readingsSQL = `
CREATE TABLE readings (
  sensor STRING, ts TIMESTAMP_LTZ(3), temp DOUBLE, hum INT,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'load');
`

// The columns of readings.
const (
	colSensor = iota
	colTS
	colTemp
	colHum
)

// schema is the table's.
var schema = vec.NewSchema(
	vec.Field{Name: "sensor", Type: vec.TypeString}, vec.Field{Name: "ts", Type: vec.TypeTimestampLTZ},
	vec.Field{Name: "temp", Type: vec.TypeFloat64}, vec.Field{Name: "hum", Type: vec.TypeInt32})

// rowsPerMS is how many rows come in a millisecond of event time: 20,000 sensor readings a second.
const rowsPerMS = 20

// load is a ring of full batches whose times move on each time around. Sensors come in no order, humidity is 0 to 99 evenly.
type load struct {
	batches []*vec.Batch
	// view shows the columns that are read: planners leave out the others.
	view *vec.Batch
	cols []int
	at   int
	rows int64
	base stream.Time
}

// newLoad makes rows of so many sensors, with their names in a dictionary, as sources make them, or as plain strings.
func newLoad(keys int, dict bool) *load {
	l := &load{base: time.Now().UnixMilli()}
	var d *vec.Dict
	if dict {
		d = dictionary(keys)
	}
	for i := range max(64, (keys+vec.MaxRows-1)/vec.MaxRows) {
		b := vec.NewBatch(schema)
		if dict {
			b.Col(colSensor).SetDict(d)
		}
		for r := range vec.MaxRows {
			// 7919 is prime, so that all keys come before one comes again
			k := (i*vec.MaxRows + r) * 7919 % keys
			if dict {
				b.Col(colSensor).AppendCode(int32(k))
			} else {
				b.Col(colSensor).AppendString(sensor(k))
			}
			vec.AppendValue(b.Col(colTS), int64(0))
			vec.AppendValue(b.Col(colTemp), float64(r%970)/10)
			vec.AppendValue(b.Col(colHum), int32((r*37+i)%100))
		}
		b.SetRows(vec.MaxRows)
		l.batches = append(l.batches, b)
	}
	return l
}

func sensor(k int) string { return fmt.Sprintf("sensor-%07d", k) }

func dictionary(keys int) *vec.Dict {
	d := &vec.Dict{ID: vec.NewDictID(), Offsets: []int32{0}}
	for k := range keys {
		d.Data = append(d.Data, sensor(k)...)
		d.Offsets = append(d.Offsets, int32(len(d.Data)))
	}
	return d
}

// read says which columns are read.
func (l *load) read(s *vec.Schema) {
	l.view, l.cols = vec.NewBatch(s), nil
	for _, f := range s.Fields {
		l.cols = append(l.cols, slices.IndexFunc(schema.Fields, func(g vec.Field) bool { return g.Name == f.Name }))
	}
}

// next returns the next batch, with its times set.
func (l *load) next() *vec.Batch {
	b := l.batches[l.at]
	l.at = (l.at + 1) % len(l.batches)
	ts := vec.Values[int64](b.Col(colTS))
	for i := range ts {
		ts[i] = l.base + (l.rows+int64(i))/rowsPerMS
	}
	l.rows += int64(len(ts))
	for i, c := range l.cols {
		l.view.SetCol(i, b.Col(c))
	}
	l.view.SetRows(b.Rows())
	return l.view
}

// loadSource is the load as a source that ends after a number of rows. It copies each batch, as a source has to.
type loadSource struct {
	*load
	left int64
}

var _ op.Source = (*loadSource)(nil)

func (s *loadSource) Open(*op.Context, []op.Split) error { return nil }

func (s *loadSource) Poll(_ context.Context, b *vec.Batch, _ time.Duration) (op.Polled, error) {
	if s.left <= 0 {
		return op.Polled{Status: op.End, SplitEnded: true}, nil
	}
	b.AppendBatch(s.next())
	s.left -= vec.MaxRows
	return op.Polled{Status: op.More}, nil
}

func (s *loadSource) Snapshot(stream.Epoch) ([]op.Split, error)  { return nil, nil }
func (s *loadSource) Commit(context.Context, stream.Epoch) error { return nil }
func (s *loadSource) Close() error                               { return nil }

// meter measures from its start: rows by the clock, and by the processor's time of the whole process, which other programs on the machine disturb less.
type meter struct {
	began time.Time
	cpu   time.Duration
}

func start() meter { return meter{time.Now(), cpuTime()} }

func (m meter) report(b *testing.B, rows int64) {
	b.ReportMetric(float64(rows)/time.Since(m.began).Seconds()/1e6, "Mrows/s")
	if cpu := cpuTime() - m.cpu; cpu > 0 {
		b.ReportMetric(float64(rows)/cpu.Seconds()/1e6, "Mrows/cpu-s")
	}
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // not on this system
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
