package format

import (
	"math"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// jsonEncoder writes a row as an object on one line, its keys in the table's order.
type jsonEncoder struct {
	cols     []int
	keys     [][]byte // `"name":`
	style    TextStyle
	skipNull bool
}

func newJSONEncoder(t *graph.TableSpec) *jsonEncoder {
	e := &jsonEncoder{cols: Columns(t), style: TextStyle{Sep: ' '}, skipNull: isTrue(t, "json.encode.ignore-null-fields")}
	if t.Options["json.timestamp-format.standard"] == "ISO-8601" {
		e.style.Sep = 'T'
	}
	for _, c := range e.cols {
		e.keys = append(e.keys, append(AppendJSONString(nil, []byte(t.Schema.Fields[c].Name)), ':'))
	}
	return e
}

func (e *jsonEncoder) Encode(dst []byte, b *vec.Batch, i int) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	for k, ci := range e.cols {
		c := b.Col(ci)
		if e.skipNull && c.IsNull(i) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, e.keys[k]...)
		dst = AppendJSON(dst, c, i, e.style)
	}
	return append(dst, '}'), nil
}

// AppendJSON appends the JSON of physical row i: text for times, base64 for BYTES, objects for ROW and MAP.
// What JSON has no number for (NaN, infinities) is written as a string, as Flink does.
func AppendJSON(dst []byte, c *vec.Col, i int, style TextStyle) []byte {
	if c.IsNull(i) {
		return append(dst, "null"...)
	}
	t := c.Type()
	switch t.Kind {
	case vec.String:
		return AppendJSONString(dst, c.Bytes(i))
	case vec.Bool, vec.Int8, vec.Int16, vec.Int32, vec.Int64, vec.Decimal, vec.IntervalYM, vec.IntervalDT:
		return AppendValueText(dst, c, i, style)
	case vec.Float32:
		return jsonFloat(dst, float64(vec.Values[float32](c)[i]), 32)
	case vec.Float64:
		return jsonFloat(dst, vec.Values[float64](c)[i], 64)
	case vec.Row:
		dst = append(dst, '{')
		for f, field := range t.Fields {
			if f > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendJSONString(dst, []byte(field.Name)), ':')
			dst = AppendJSON(dst, c.Kid(f), i, style)
		}
		return append(dst, '}')
	case vec.Array:
		dst = append(dst, '[')
		lo, hi := c.Range(i)
		for e := lo; e < hi; e++ {
			if e > lo {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, c.Kid(0), e, style)
		}
		return append(dst, ']')
	case vec.Map:
		dst = append(dst, '{')
		lo, hi := c.Range(i)
		for e := lo; e < hi; e++ {
			if e > lo {
				dst = append(dst, ',')
			}
			dst = jsonKey(dst, c.Kid(0), e, style)
			dst = append(dst, ':')
			dst = AppendJSON(dst, c.Kid(1), e, style)
		}
		return append(dst, '}')
	default:
		dst = append(dst, '"')
		dst = AppendValueText(dst, c, i, style)
		return append(dst, '"')
	}
}

func jsonKey(dst []byte, c *vec.Col, i int, style TextStyle) []byte {
	if c.IsNull(i) {
		return append(dst, `""`...)
	}
	return AppendJSONString(dst, AppendValueText(nil, c, i, style))
}

func jsonFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case f != f:
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	default:
		return appendFloat(dst, f, bits)
	}
}

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s quoted and escaped; bytes that are no UTF-8 become U+FFFD.
func AppendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
