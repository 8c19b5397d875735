package format

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"unsafe"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// maxShape bounds how many keys of an object are predicted.
const maxShape = 64

// jsonDecoder decodes objects straight into columns. It predicts that an object has the keys of the one before in the same
// order, so that a key costs one comparison; any other object decodes as well, by looking its keys up.
type jsonDecoder struct {
	root  jsonRow
	cols  []int
	row   int
	batch *vec.Batch
	z     scanner
	opts  jsonOptions
}

type jsonOptions struct {
	ignoreErrors, failOnMissing bool
	// epochScale multiplies a number where a timestamp is expected into milliseconds.
	epochScale int64
}

// jsonRow decodes an object: the record itself, or a ROW.
type jsonRow struct {
	fields []*jsonValue
	byName map[string]int
	shape  []predictedKey
}

// predictedKey is what stood at a position of the last object: the key with its quotes, and its field or -1.
type predictedKey struct {
	quoted []byte
	field  int
}

// jsonValue decodes one value into col.
type jsonValue struct {
	name string
	typ  vec.Type
	col  *vec.Col
	str  StringColumn
	row  *jsonRow
	kids []*jsonValue
	opts *jsonOptions
}

func newJSONDecoder(t *graph.TableSpec) *jsonDecoder {
	d := &jsonDecoder{cols: Columns(t), opts: jsonOptions{
		ignoreErrors:  isTrue(t, "json.ignore-parse-errors"),
		failOnMissing: isTrue(t, "json.fail-on-missing-field"),
		epochScale:    1,
	}}
	if t.Options["json.timestamp-format.epoch-unit"] == "s" {
		d.opts.epochScale = 1000
	}
	fields := make([]vec.Field, len(d.cols))
	for i, c := range d.cols {
		fields[i] = t.Schema.Fields[c]
	}
	d.root = newJSONRow(fields, &d.opts)
	return d
}

func newJSONRow(fields []vec.Field, o *jsonOptions) jsonRow {
	r := jsonRow{byName: make(map[string]int, len(fields))}
	for i, f := range fields {
		r.byName[f.Name] = i
		r.fields = append(r.fields, newJSONValue(f, o))
	}
	return r
}

func newJSONValue(f vec.Field, o *jsonOptions) *jsonValue {
	v := &jsonValue{name: f.Name, typ: f.Type, opts: o}
	switch f.Type.Kind {
	case vec.Row:
		r := newJSONRow(f.Type.Fields, o)
		v.row = &r
	case vec.Array, vec.Map:
		for _, k := range f.Type.Fields {
			v.kids = append(v.kids, newJSONValue(k, o))
		}
	default:
	}
	return v
}

// bind points the value, and what is nested in it, at the column of a batch.
func (v *jsonValue) bind(c *vec.Col, top bool) {
	v.col = c
	if v.typ.Kind == vec.String {
		// Only whole columns are dictionary-encoded: nested ones are seldom keys.
		if top {
			v.str.Begin(c)
		} else {
			v.str.dict.off = true
			v.str.col = c
		}
	}
	if v.row != nil {
		for i, f := range v.row.fields {
			f.bind(c.Kid(i), false)
		}
	}
	for i, k := range v.kids {
		k.bind(c.Kid(i), false)
	}
}

func (d *jsonDecoder) Begin(b *vec.Batch) {
	d.batch, d.row = b, b.Rows()
	for i, c := range d.cols {
		d.root.fields[i].bind(b.Col(c), true)
	}
}

func (d *jsonDecoder) Finish() {
	for _, f := range d.root.fields {
		if f.typ.Kind == vec.String {
			f.str.Finish()
		}
	}
}

func (d *jsonDecoder) Decode(msg []byte) (rows int, err error) {
	if len(msg) > MaxMessageBytes {
		return 0, ErrTooLong
	}
	z := &d.z
	z.s, z.i = msg, 0
	defer func() { z.s = nil }()
	if z.peek() == '[' {
		rows, err = d.array()
	} else if err = d.root.object(z, 0, d.row, &d.opts); err == nil {
		rows = 1
	}
	if z.space(); err == nil && z.i < len(z.s) {
		err = z.unexpected("the end")
	}
	if err != nil {
		for _, f := range d.root.fields {
			f.col.Truncate(d.row)
		}
		return 0, err
	}
	d.row += rows
	return rows, nil
}

// array reads a record that is an array of objects: a row each.
func (d *jsonDecoder) array() (rows int, err error) {
	z := &d.z
	z.i++
	if z.peek() == ']' {
		z.i++
		return 0, nil
	}
	for {
		if err := d.root.object(z, 1, d.row+rows, &d.opts); err != nil {
			return 0, err
		}
		if rows++; rows > vec.MaxRows {
			return 0, fmt.Errorf("array holds more than %d records", vec.MaxRows)
		}
		if done, err := z.next(']'); done || err != nil {
			return rows, err
		}
	}
}

// object appends one row, number row of the fields' columns.
func (r *jsonRow) object(z *scanner, depth, row int, o *jsonOptions) error {
	if z.peek() != '{' {
		return z.unexpected("an object")
	}
	if depth >= maxDepth {
		return errDepth
	}
	z.i++
	if z.peek() == '}' {
		z.i++
		return r.finish(row, o)
	}
	for k := 0; ; k++ {
		at, err := r.key(z, k)
		if err != nil {
			return err
		}
		if err := z.expect(':'); err != nil {
			return err
		}
		if at < 0 {
			if _, err := z.skip(depth + 1); err != nil {
				return err
			}
		} else if err := r.fields[at].field(z, depth+1, row); err != nil {
			return err
		}
		done, err := z.next('}')
		if err != nil {
			return err
		}
		if done {
			return r.finish(row, o)
		}
	}
}

// key reads the k-th key of an object and returns its field, -1 when nobody asked for it.
func (r *jsonRow) key(z *scanner, k int) (int, error) {
	if z.peek() != '"' {
		return 0, z.unexpected("a key")
	}
	if k < len(r.shape) {
		if p := &r.shape[k]; len(z.s)-z.i >= len(p.quoted) && bytes.Equal(z.s[z.i:z.i+len(p.quoted)], p.quoted) {
			z.i += len(p.quoted)
			return p.field, nil
		}
	}
	start := z.i
	name, err := z.str()
	if err != nil {
		return 0, err
	}
	at, ok := r.byName[string(name)]
	if !ok {
		at = -1
	}
	if quoted := z.s[start:z.i]; len(quoted) == len(name)+2 && len(name) <= maxDictValue {
		switch {
		case k < len(r.shape):
			r.shape[k].quoted = append(r.shape[k].quoted[:0], quoted...)
			r.shape[k].field = at
		case k == len(r.shape) && k < maxShape:
			r.shape = append(r.shape, predictedKey{bytes.Clone(quoted), at})
		}
	}
	return at, nil
}

// finish gives the fields that the object did not have a NULL.
func (r *jsonRow) finish(row int, o *jsonOptions) error {
	for _, f := range r.fields {
		if f.col.Len() > row {
			continue
		}
		if o.failOnMissing {
			return &FieldError{f.name, errors.New("is missing")}
		}
		f.col.AppendNull()
	}
	return nil
}

// field reads the value of a field. A key that comes twice counts the last time, as in other readers.
func (v *jsonValue) field(z *scanner, depth, row int) error {
	if v.col.Len() > row {
		v.col.Truncate(row)
	}
	start := z.i
	err := v.value(z, depth)
	if err == nil {
		return nil
	}
	if !v.opts.ignoreErrors {
		var fe *FieldError
		if errors.As(err, &fe) {
			return &FieldError{v.name + "." + fe.Field, fe.Err}
		}
		return &FieldError{v.name, err}
	}
	v.col.Truncate(row)
	z.i = start
	if _, err := z.skip(depth); err != nil {
		return err
	}
	v.col.AppendNull()
	return nil
}

// value appends one value to the column.
func (v *jsonValue) value(z *scanner, depth int) error {
	c := z.peek()
	if c == 'n' {
		if err := z.word("null"); err != nil {
			return err
		}
		v.col.AppendNull()
		return nil
	}
	switch v.typ.Kind {
	case vec.String:
		return v.text(z, c, depth)
	case vec.Row:
		if err := v.row.object(z, depth, v.col.Len(), v.opts); err != nil {
			return err
		}
		v.col.EndRow()
		return nil
	case vec.Array:
		return v.list(z, c, depth)
	case vec.Map:
		return v.object(z, c, depth)
	default:
		return v.scalar(z, c)
	}
}

func (v *jsonValue) text(z *scanner, c byte, depth int) error {
	if c == '"' {
		s, err := z.str()
		if err == nil {
			v.str.Append(s)
		}
		return err
	}
	raw, err := z.skip(depth) // numbers, booleans and nested values keep their JSON text
	if err == nil {
		v.str.Append(raw)
	}
	return err
}

func (v *jsonValue) list(z *scanner, c byte, depth int) error {
	if c != '[' {
		return fmt.Errorf("is not an array but begins with %q", c)
	}
	if depth >= maxDepth {
		return errDepth
	}
	z.i++
	if z.peek() == ']' {
		z.i++
		v.col.EndList()
		return nil
	}
	for {
		if err := v.kids[0].value(z, depth+1); err != nil {
			return err
		}
		done, err := z.next(']')
		if err != nil {
			return err
		}
		if done {
			v.col.EndList()
			return nil
		}
	}
}

// object reads an object into a MAP.
func (v *jsonValue) object(z *scanner, c byte, depth int) error {
	if c != '{' {
		return fmt.Errorf("is not an object but begins with %q", c)
	}
	if depth >= maxDepth {
		return errDepth
	}
	z.i++
	if z.peek() == '}' {
		z.i++
		v.col.EndList()
		return nil
	}
	for {
		if z.peek() != '"' {
			return z.unexpected("a key")
		}
		if err := v.kids[0].value(z, depth+1); err != nil {
			return err
		}
		if err := z.expect(':'); err != nil {
			return err
		}
		if err := v.kids[1].value(z, depth+1); err != nil {
			return err
		}
		done, err := z.next('}')
		if err != nil {
			return err
		}
		if done {
			v.col.EndList()
			return nil
		}
	}
}

// scalar appends a value that is neither text nor nested. Numbers and booleans may also come as strings.
func (v *jsonValue) scalar(z *scanner, c byte) error {
	var text []byte
	var err error
	quoted := false
	switch {
	case c == '"':
		quoted = true
		text, err = z.str()
	case c == 't':
		text, err = z.s[z.i:min(z.i+4, len(z.s))], z.word("true")
	case c == 'f':
		text, err = z.s[z.i:min(z.i+5, len(z.s))], z.word("false")
	case c == '{' || c == '[':
		return fmt.Errorf("is nested, where %s was expected", v.typ)
	default:
		text, err = z.number()
	}
	if err != nil {
		return err
	}
	if v.typ.Kind.IsTimestamp() && !quoted {
		return v.epoch(text)
	}
	return AppendText(v.col, text)
}

// epoch appends a number as a timestamp.
func (v *jsonValue) epoch(text []byte) error {
	n, exact := integer(text)
	if !exact {
		f, err := float(text)
		if err != nil || math.Abs(f) > float64(maxTimestampMS) {
			return fmt.Errorf("%s is no timestamp", text)
		}
		return appendTimestamp(v.col, int64(f*float64(v.opts.epochScale)), text)
	}
	if n > maxTimestampMS/v.opts.epochScale || n < minTimestampMS/v.opts.epochScale {
		return fmt.Errorf("timestamp %s lies outside the years 1 to 9999", text)
	}
	vec.AppendValue(v.col, n*v.opts.epochScale)
	return nil
}

// The range of timestamps in milliseconds: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999Z.
const (
	minTimestampMS int64 = -62135596800000
	maxTimestampMS int64 = 253402300799999
)

func appendTimestamp(c *vec.Col, ms int64, text []byte) error {
	if ms < minTimestampMS || ms > maxTimestampMS {
		return fmt.Errorf("timestamp %s lies outside the years 1 to 9999", text)
	}
	vec.AppendValue(c, ms)
	return nil
}

func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func foldEqual(b []byte, s string) bool { return strings.EqualFold(str(b), s) }
