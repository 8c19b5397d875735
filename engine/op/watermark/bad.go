package watermark

import (
	"strconv"
	"time"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/engine/vec"
)

// recordMax bounds how much of a refused row is kept.
const recordMax = 1024

// badRows writes refused rows to the side output for bad records.
type badRows struct {
	out    op.Output
	source string
	batch  *vec.Batch
	text   []byte
}

func newBadRows(out op.Output, source string) *badRows {
	return &badRows{out: out, source: source, batch: vec.NewBatch(graph.BadSchema)}
}

// add notes physical row i of b; flush emits what is noted.
func (r *badRows) add(b *vec.Batch, i int, isNull bool, now stream.Time) error {
	reason := "time attribute is too far in the future"
	if isNull {
		reason = "time attribute is NULL"
	}
	r.text = r.text[:0]
	for c, col := range b.Cols() {
		if c > 0 {
			r.text = append(r.text, ", "...)
		}
		r.text = append(r.text, b.Schema().Fields[c].Name...)
		r.text = append(r.text, '=')
		r.text = appendText(r.text, col, i)
	}
	r.batch.Col(0).AppendString(r.source)
	r.batch.Col(1).AppendString(reason)
	r.batch.Col(2).AppendBytes(r.text[:min(len(r.text), recordMax)])
	vec.AppendValue(r.batch.Col(3), now)
	r.batch.SetRows(r.batch.Rows() + 1)
	if r.batch.Rows() == vec.MaxRows {
		return r.flush()
	}
	return nil
}

func (r *badRows) flush() error {
	if r.batch.Rows() == 0 {
		return nil
	}
	err := r.out.Emit(r.batch)
	r.batch.Reset()
	return err
}

// appendText writes a value for a person to read.
func appendText(dst []byte, c *vec.Col, i int) []byte {
	if c.IsNull(i) {
		return append(dst, "NULL"...)
	}
	switch c.Kind() {
	case vec.String, vec.Bytes:
		return append(dst, c.Bytes(i)...)
	case vec.Bool:
		return strconv.AppendBool(dst, c.Bools().Get(i))
	case vec.Int8:
		return strconv.AppendInt(dst, int64(vec.Values[int8](c)[i]), 10)
	case vec.Int16:
		return strconv.AppendInt(dst, int64(vec.Values[int16](c)[i]), 10)
	case vec.Int32, vec.Date, vec.Time, vec.IntervalYM:
		return strconv.AppendInt(dst, int64(vec.Values[int32](c)[i]), 10)
	case vec.Int64, vec.IntervalDT:
		return strconv.AppendInt(dst, vec.Values[int64](c)[i], 10)
	case vec.Timestamp, vec.TimestampLTZ:
		return time.UnixMilli(vec.Values[int64](c)[i]).UTC().AppendFormat(dst, "2006-01-02 15:04:05.000")
	case vec.Float32:
		return strconv.AppendFloat(dst, float64(vec.Values[float32](c)[i]), 'g', -1, 32)
	case vec.Float64:
		return strconv.AppendFloat(dst, vec.Values[float64](c)[i], 'g', -1, 64)
	case vec.Decimal:
		return append(dst, vec.Values[vec.Num](c)[i].ToString(int32(c.Type().Scale))...)
	default:
		return append(dst, c.Kind().String()...)
	}
}
