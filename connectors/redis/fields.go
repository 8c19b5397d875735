package redis

import (
	"fmt"
	"unicode/utf8"
	"unsafe"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// entryDecoder appends the row of one entry: fields holds names and values in turn.
type entryDecoder interface {
	Begin(b *vec.Batch)
	DecodeEntry(fields []any) (rows int, err error)
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

func (d *jsonEntry) DecodeEntry(fields []any) (int, error) {
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == d.field {
			s, _ := fields[i+1].(string)
			return d.Decode(unsafe.Slice(unsafe.StringData(s), len(s)))
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

func (d *fieldsEntry) DecodeEntry(fields []any) (int, error) {
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		value, _ := fields[i+1].(string)
		if err := d.field(name, value); err != nil {
			for _, c := range d.bound {
				c.Truncate(d.row)
			}
			return 0, fmt.Errorf("field %q: %w", name, err)
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

func (d *fieldsEntry) field(name, value string) error {
	k, ok := d.byName[name]
	if !ok {
		return nil
	}
	c := d.bound[k]
	c.Truncate(min(d.row, c.Len())) // a field that comes twice counts the last time
	text := unsafe.Slice(unsafe.StringData(value), len(value))
	if c.Kind() != vec.String {
		return format.AppendText(c, text)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("text is not valid UTF-8")
	}
	d.strs[k].Append(text)
	return nil
}

// entryBytes is the size of an entry's fields.
func entryBytes(fields []any) int {
	n := 0
	for _, f := range fields {
		s, _ := f.(string)
		n += len(s)
	}
	return n
}

// entryText shows an entry in a log or a dead-letter table.
func entryText(fields []any) []byte {
	var out []byte
	for i := 0; i+1 < len(fields); i += 2 {
		if i > 0 {
			out = append(out, ' ')
		}
		out = fmt.Appendf(out, "%v=%v", fields[i], fields[i+1])
	}
	return out
}
