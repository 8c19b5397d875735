package format

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

const (
	// loggedInFull is how many refused records of a task are logged one by one; after that, each time the count has doubled.
	loggedInFull = 5
	// keptBytes is how much of a refused record goes to the log, and to the dead-letter table.
	loggedBytes, keptBytes = 200, 64 << 10
)

// Refuser does with records that cannot be decoded what the table's 'bad-records' says: it counts each one, logs the first few, and
// drops it, routes it to the dead-letter table, or fails the job. It runs on the task's goroutine.
type Refuser struct {
	ctx   *op.Context
	table string
	fail  bool
	side  op.Output
	batch *vec.Batch
	count int64
}

// NewRefuser returns the refuser of a table in a task.
func NewRefuser(ctx *op.Context, t *graph.TableSpec) *Refuser {
	r := &Refuser{ctx: ctx, table: t.Name, fail: t.Options["bad-records"] == "fail"}
	if ctx.Side != nil {
		r.side = ctx.Side(graph.TagBad)
	}
	if r.side != nil {
		r.batch = vec.NewBatch(graph.BadSchema)
	}
	return r
}

// Refuse deals with one record; from says where it came from (a topic, a stream entry, a file and offset). Its error, if any, fails the job.
func (r *Refuser) Refuse(from string, record []byte, reason error) error {
	r.count++
	r.ctx.Metrics.Bad.Add(1)
	r.ctx.Rejected.Record(from, record, reason)
	if r.fail {
		return fmt.Errorf("record from %s of table %s: %w (record: %s)", from, r.table, reason, clipTo(record, loggedBytes))
	}
	if r.count <= loggedInFull || r.count&(r.count-1) == 0 {
		r.ctx.Log.Warn("record refused", "table", r.table, "from", from, "reason", reason.Error(),
			"record", clipTo(record, loggedBytes), "refused_so_far", r.count)
	}
	if r.side == nil {
		return nil
	}
	b := r.batch
	b.Col(0).AppendString(from)
	b.Col(1).AppendString(reason.Error())
	b.Col(2).AppendBytes(record[:min(len(record), keptBytes)])
	vec.AppendValue(b.Col(3), r.ctx.Clock.Now().UnixMilli())
	b.SetRows(b.Rows() + 1)
	if b.Rows() == vec.MaxRows || len(b.Col(2).Data()) >= vec.TargetBytes {
		return r.Flush()
	}
	return nil
}

// Flush hands on what waits for the dead-letter table; call it at the end of a Poll.
func (r *Refuser) Flush() error {
	if r.side == nil || r.batch.Rows() == 0 {
		return nil
	}
	err := r.side.Emit(r.batch)
	r.batch.Reset()
	return err
}

// RowText is row i of b as an object, for a row that a sink refuses.
func RowText(b *vec.Batch, i int) []byte {
	out := []byte{'{'}
	for k, c := range b.Cols() {
		if k > 0 {
			out = append(out, ',')
		}
		out = append(AppendJSONString(out, []byte(b.Schema().Fields[k].Name)), ':')
		out = AppendJSON(out, c, i, TextStyle{Sep: ' '})
	}
	return append(out, '}')
}
