package redis

import (
	"fmt"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// entryDecoder appends the row of one entry: fields holds names and values in turn.
type entryDecoder interface {
	Begin(b *vec.Batch)
	DecodeEntry(fields [][]byte) (rows int, err error)
	Finish()
}

func newEntryDecoder(t *graph.TableSpec) (entryDecoder, error) {
	if t.Options["format"] == "json" {
		d, err := format.NewDecoder(t)
		name := t.Options["json.field"]
		if name == "" {
			name = "data"
		}
		return &jsonEntry{d, name}, err
	}
	d := &fieldsEntry{cols: format.Columns(t), byName: map[string]int{}}
	d.bound = make([]*vec.Col, len(d.cols))
	d.strs = make([]format.StringColumn, len(d.cols))
	for k, c := range d.cols {
		d.names = append(d.names, t.Schema.Fields[c].Name)
		d.byName[d.names[k]] = k
	}
	return d, nil
}

// jsonEntry reads the object in one field.
type jsonEntry struct {
	format.Decoder
	field string
}

func (d *jsonEntry) DecodeEntry(fields [][]byte) (int, error) {
	for i := 0; i+1 < len(fields); i += 2 {
		if string(fields[i]) == d.field {
			return d.Decode(fields[i+1])
		}
	}
	return 0, fmt.Errorf("entry has no field %q", d.field)
}

// fieldsEntry reads a column from each field of its name; a field that is not there is NULL.
type fieldsEntry struct {
	cols   []int
	names  []string
	byName map[string]int
	bound  []*vec.Col
	strs   []format.StringColumn
	row    int
}

func (d *fieldsEntry) Begin(b *vec.Batch) {
	d.row = b.Rows()
	for k, c := range d.cols {
		d.bound[k] = b.Col(c)
		if d.bound[k].Kind() == vec.String {
			d.strs[k].Begin(d.bound[k])
		}
	}
}

func (d *fieldsEntry) Finish() {
	for k, c := range d.bound {
		if c.Kind() == vec.String {
			d.strs[k].Finish()
		}
	}
}

func (d *fieldsEntry) DecodeEntry(fields [][]byte) (int, error) {
	for i := 0; i+1 < len(fields); i += 2 {
		if err := d.field(fields[i], fields[i+1]); err != nil {
			for _, c := range d.bound {
				c.Truncate(d.row)
			}
			return 0, fmt.Errorf("field %q: %w", fields[i], err)
		}
	}
	for _, c := range d.bound {
		if c.Len() == d.row {
			c.AppendNull()
		}
	}
	d.row++
	return 1, nil
}

func (d *fieldsEntry) field(name, value []byte) error {
	k, ok := d.byName[string(name)]
	if !ok {
		return nil
	}
	c := d.bound[k]
	c.Truncate(min(d.row, c.Len())) // a field that comes twice counts the last time
	if c.Kind() != vec.String {
		return format.AppendText(c, value)
	}
	if !utf8.Valid(value) {
		return fmt.Errorf("text is not valid UTF-8")
	}
	d.strs[k].Append(value)
	return nil
}

// entryBytes is the size of an entry's fields.
func entryBytes(fields [][]byte) int {
	n := 0
	for _, f := range fields {
		n += len(f)
	}
	return n
}

// entryText shows an entry in a log or a dead-letter table.
func entryText(fields [][]byte) []byte {
	var out []byte
	for i := 0; i+1 < len(fields); i += 2 {
		if i > 0 {
			out = append(out, ' ')
		}
		out = fmt.Appendf(out, "%s=%s", fields[i], fields[i+1])
	}
	return out
}
