package print

import (
	"strconv"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/civil"
)

// AppendRow appends physical row i of b as Flink writes a row: its kind, then the values in brackets.
func AppendRow(dst []byte, b *vec.Batch, i int) []byte {
	dst = append(dst, b.Kind(i).String()...)
	dst = append(dst, '[')
	for k, c := range b.Cols() {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendValue(dst, c, i)
	}
	return append(dst, ']')
}

func appendValue(dst []byte, c *vec.Col, i int) []byte {
	if c.IsNull(i) {
		return append(dst, "null"...)
	}
	switch c.Kind() {
	case vec.Time:
		return appendTime(dst, int64(vec.Values[int32](c)[i]), false)
	case vec.Timestamp:
		return appendTimestamp(dst, vec.Values[int64](c)[i], false)
	case vec.TimestampLTZ:
		return append(appendTimestamp(dst, vec.Values[int64](c)[i], true), 'Z')
	case vec.Bytes:
		return appendBytes(dst, c.Bytes(i))
	case vec.Row:
		dst = append(dst, "+I["...)
		for f := range c.Type().Fields {
			if f > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendValue(dst, c.Kid(f), i)
		}
		return append(dst, ']')
	case vec.Array, vec.Map:
		return appendList(dst, c, i)
	default:
		return format.AppendValueText(dst, c, i, format.TextStyle{Sep: 'T'})
	}
}

// appendList writes [a, b] or {k=v, k=v}.
func appendList(dst []byte, c *vec.Col, i int) []byte {
	open, end := byte('['), byte(']')
	if c.Kind() == vec.Map {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	lo, hi := c.Range(i)
	for e := lo; e < hi; e++ {
		if e > lo {
			dst = append(dst, ", "...)
		}
		dst = appendValue(dst, c.Kid(0), e)
		if c.Kind() == vec.Map {
			dst = append(dst, '=')
			dst = appendValue(dst, c.Kid(1), e)
		}
	}
	return append(dst, end)
}

// appendBytes writes signed bytes as Java shows an array of them.
func appendBytes(dst, b []byte) []byte {
	dst = append(dst, '[')
	for k, v := range b {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		dst = strconv.AppendInt(dst, int64(int8(v)), 10)
	}
	return append(dst, ']')
}

const dayMS = 24 * 60 * 60 * 1000

func appendTimestamp(dst []byte, ms int64, seconds bool) []byte {
	dst = civil.AppendDate(dst, civil.FloorDiv(ms, dayMS))
	dst = append(dst, 'T')
	return appendTime(dst, civil.FloorMod(ms, dayMS), seconds)
}

// appendTime leaves out seconds that are zero (unless asked for) and a zero fraction, as Java does.
func appendTime(dst []byte, ms int64, seconds bool) []byte {
	at := len(dst)
	if ms%1000 != 0 {
		return civil.AppendTime(dst, ms, 3)
	}
	dst = civil.AppendTime(dst, ms, 0)
	if !seconds && ms%60000 == 0 {
		dst = dst[:at+len("00:00")]
	}
	return dst
}
