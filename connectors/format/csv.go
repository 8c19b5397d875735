package format

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// csvDialect is how fields stand in a line (RFC 4180 with options).
type csvDialect struct {
	delimiter, quote byte // quote 0: fields are never quoted
	null             string
	comments         bool
}

func newDialect(t *graph.TableSpec) (csvDialect, error) {
	d := csvDialect{delimiter: ',', quote: '"', null: t.Options["csv.null-literal"], comments: isTrue(t, "csv.allow-comments")}
	one := func(key string, into *byte) error {
		v, ok := t.Options[key]
		if !ok {
			return nil
		}
		if v == `\t` {
			v = "\t"
		}
		if len(v) != 1 || v[0] >= utf8.RuneSelf || v == "\n" || v == "\r" {
			return fmt.Errorf("option '%s' takes one ASCII character, not %q", key, v)
		}
		*into = v[0]
		return nil
	}
	if err := errors.Join(one("csv.field-delimiter", &d.delimiter), one("csv.quote-character", &d.quote)); err != nil {
		return d, err
	}
	if isTrue(t, "csv.disable-quote-character") {
		d.quote = 0
	}
	if d.delimiter == d.quote {
		return d, fmt.Errorf("'csv.field-delimiter' and 'csv.quote-character' are both %q", string(d.quote))
	}
	return d, nil
}

type csvDecoder struct {
	csvDialect
	fields  []vec.Field
	cols    []int
	bound   []*vec.Col
	strs    []StringColumn
	row     int
	lenient bool
	scratch []byte
}

func newCSVDecoder(t *graph.TableSpec) (*csvDecoder, error) {
	dialect, err := newDialect(t)
	if err != nil {
		return nil, err
	}
	d := &csvDecoder{csvDialect: dialect, cols: Columns(t), lenient: isTrue(t, "csv.ignore-parse-errors")}
	for _, c := range d.cols {
		d.fields = append(d.fields, t.Schema.Fields[c])
	}
	d.bound = make([]*vec.Col, len(d.cols))
	d.strs = make([]StringColumn, len(d.cols))
	return d, nil
}

func (d *csvDecoder) Begin(b *vec.Batch) {
	d.row = b.Rows()
	for i, c := range d.cols {
		d.bound[i] = b.Col(c)
		if d.fields[i].Type.Kind == vec.String {
			d.strs[i].Begin(d.bound[i])
		}
	}
}

func (d *csvDecoder) Finish() {
	for i := range d.strs {
		if d.fields[i].Type.Kind == vec.String {
			d.strs[i].Finish()
		}
	}
}

// Decode reads one record. An empty one, and a comment where those are allowed, is no row.
func (d *csvDecoder) Decode(msg []byte) (rows int, err error) {
	if len(msg) > MaxMessageBytes {
		return 0, ErrTooLong
	}
	line := bytes.TrimRight(msg, "\r\n")
	if len(line) == 0 || d.comments && line[0] == '#' {
		return 0, nil
	}
	if err := d.record(line); err != nil {
		for _, c := range d.bound {
			c.Truncate(d.row)
		}
		return 0, err
	}
	d.row++
	return 1, nil
}

func (d *csvDecoder) record(line []byte) error {
	for i := range d.fields {
		if line == nil {
			return fmt.Errorf("has %d fields, %d were expected", i, len(d.fields))
		}
		var field []byte
		var quoted bool
		var err error
		if field, line, quoted, err = d.next(line); err != nil {
			return &FieldError{d.fields[i].Name, err}
		}
		if err := d.value(i, field, quoted); err != nil {
			if !d.lenient {
				return &FieldError{d.fields[i].Name, err}
			}
			d.bound[i].Truncate(d.row)
			d.bound[i].AppendNull()
		}
	}
	if line != nil {
		return fmt.Errorf("has more than the %d fields expected", len(d.fields))
	}
	return nil
}

func (d *csvDecoder) value(i int, field []byte, quoted bool) error {
	isString := d.fields[i].Type.Kind == vec.String
	if !quoted && string(field) == d.null && (d.null != "" || !isString) {
		d.bound[i].AppendNull()
		return nil
	}
	if !isString {
		return AppendText(d.bound[i], field)
	}
	if !utf8.Valid(field) {
		return errUTF8
	}
	d.strs[i].Append(field)
	return nil
}

// next cuts the first field off; rest is nil after the last.
func (d *csvDecoder) next(line []byte) (field, rest []byte, quoted bool, err error) {
	if d.quote == 0 || len(line) == 0 || line[0] != d.quote {
		if at := bytes.IndexByte(line, d.delimiter); at >= 0 {
			return line[:at], line[at+1:], false, nil
		}
		return line, nil, false, nil
	}
	out := d.scratch[:0]
	for i := 1; i < len(line); i++ {
		if line[i] != d.quote {
			out = append(out, line[i])
			continue
		}
		if i+1 < len(line) && line[i+1] == d.quote { // a doubled quote is one of the text
			out = append(out, d.quote)
			i++
			continue
		}
		d.scratch = out
		switch rest := line[i+1:]; {
		case len(rest) == 0:
			return out, nil, true, nil
		case rest[0] == d.delimiter:
			return out, rest[1:], true, nil
		default:
			return nil, nil, true, fmt.Errorf("text after the closing quote: %q", clip(rest))
		}
	}
	return nil, nil, true, errors.New("quote is not closed")
}

type csvEncoder struct {
	csvDialect
	cols []int
}

func newCSVEncoder(t *graph.TableSpec) (*csvEncoder, error) {
	d, err := newDialect(t)
	return &csvEncoder{csvDialect: d, cols: Columns(t)}, err
}

// Encode appends the row without a line end.
func (e *csvEncoder) Encode(dst []byte, b *vec.Batch, i int) ([]byte, error) {
	for k, ci := range e.cols {
		if k > 0 {
			dst = append(dst, e.delimiter)
		}
		c := b.Col(ci)
		if c.IsNull(i) {
			dst = append(dst, e.null...)
			continue
		}
		at := len(dst)
		dst = AppendValueText(dst, c, i, TextStyle{Sep: ' '})
		if e.mustQuote(c, dst[at:]) {
			dst = e.quoted(dst, at)
		}
	}
	return dst, nil
}

// mustQuote: text that would read back as something else.
func (e *csvEncoder) mustQuote(c *vec.Col, text []byte) bool {
	if e.quote == 0 {
		return false
	}
	if c.Kind() == vec.String && string(text) == e.null && e.null != "" {
		return true
	}
	return bytes.IndexByte(text, e.delimiter) >= 0 || bytes.IndexByte(text, e.quote) >= 0 || bytes.ContainsAny(text, "\r\n")
}

func (e *csvEncoder) quoted(dst []byte, at int) []byte {
	q := string(e.quote)
	text := strings.ReplaceAll(string(dst[at:]), q, q+q)
	return append(append(append(dst[:at], e.quote), text...), e.quote)
}

// Split cuts the first record off data, as bufio.SplitFunc does: records are lines, and for csv a quoted field may hold line ends.
// advance 0 asks for more data. The record comes without its line end.
func Split(t *graph.TableSpec) (func(data []byte, atEOF bool) (advance int, record []byte), error) {
	if t.Options["format"] != "csv" {
		return splitLine, nil
	}
	d, err := newDialect(t)
	if err != nil || d.quote == 0 {
		return splitLine, err
	}
	return func(data []byte, atEOF bool) (int, []byte) {
		inside := false
		for i, c := range data {
			switch {
			case c == d.quote:
				inside = !inside
			case c == '\n' && !inside:
				return i + 1, trimCR(data[:i])
			}
		}
		if atEOF {
			return len(data), trimCR(data)
		}
		return 0, nil
	}, nil
}

func splitLine(data []byte, atEOF bool) (int, []byte) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, trimCR(data[:i])
	}
	if atEOF {
		return len(data), trimCR(data)
	}
	return 0, nil
}

func trimCR(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}
