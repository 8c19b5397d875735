// Package sample keeps a few of the rows that pass, for people to look at: those that leave an operator while somebody looks, and the newest that an
// operator has rejected. It makes text of a bounded number of them, whatever the rate, and knows neither where rows come from nor where they go.
package sample

import (
	"encoding/json"
	"strings"

	"github.com/bramble-stream/bramble/engine/vec"
)

// What a jobmanager asks a taskmanager for, by these names.
const (
	// Tail are rows that leave an operator.
	Tail = "tail"
	// Rejections are the newest that operators have rejected.
	Rejections = "rejected"
)

const (
	// cellBytesMax bounds a value, rowBytesMax a row: what is left of one is shown as an ellipsis.
	cellBytesMax = 2 << 10
	rowBytesMax  = 4 << 10
)

const ellipsis = "…"

// Cell appends physical row i of a column as JSON.
type Cell func(dst []byte, c *vec.Col, i int) []byte

// Column is one of a sample; Type is as SQL writes it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func columnsOf(s *vec.Schema) []Column {
	out := make([]Column, 0, s.Len())
	for _, f := range s.Fields {
		out = append(out, Column{f.Name, f.Type.String()})
	}
	return out
}

// array is a row as an array.
func (c Cell) array(b *vec.Batch, i int) []byte {
	out := []byte{'['}
	for k := range b.Width() {
		if k > 0 {
			out = append(out, ',')
		}
		out = c.bounded(out, b.Col(k), i)
	}
	return append(out, ']')
}

// object is a row as an object.
func (c Cell) object(b *vec.Batch, i int) []byte {
	out := []byte{'{'}
	for k := range b.Width() {
		if k > 0 {
			out = append(out, ',')
		}
		out = append(append(out, quoted(b.Schema().Fields[k].Name)...), ':')
		out = c.bounded(out, b.Col(k), i)
	}
	return append(out, '}')
}

// bounded appends a value to a row, or the beginning of one that is long.
func (c Cell) bounded(row []byte, col *vec.Col, i int) []byte {
	start := len(row)
	room := min(rowBytesMax-start, cellBytesMax)
	switch {
	case room <= 0:
		return append(row, quoted(ellipsis)...)
	case col.Kind() == vec.String && !col.IsNull(i) && len(col.Bytes(i)) > room:
		return append(row, quoted(clip(col.Bytes(i), room))...)
	}
	row = c(row, col, i)
	if len(row)-start <= room {
		return row
	}
	text := strings.TrimPrefix(clip(row[start:], room), `"`)
	return append(row[:start], quoted(text)...)
}

// clip is text without what is beyond most bytes.
func clip(text []byte, most int) string {
	if len(text) <= most {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:most]), "") + ellipsis
}

func quoted(s string) []byte {
	data, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`) // a string always has a text
	}
	return data
}

// physical is the k-th of the rows that sel lists, or the k-th row.
func physical(sel []int, k int) int {
	if sel == nil {
		return k
	}
	return sel[k]
}
