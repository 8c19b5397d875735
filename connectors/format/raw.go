package format

import (
	"github.com/bramble-stream/bramble/engine/vec"
)

// rawDecoder puts the whole message into one column: as it is for STRING and BYTES, as text for the other types.
type rawDecoder struct {
	cols   []int
	schema *vec.Schema
	col    *vec.Col
	str    StringColumn
}

func (d *rawDecoder) Begin(b *vec.Batch) {
	if len(d.cols) == 0 {
		return
	}
	d.col = b.Col(d.cols[0])
	if d.col.Kind() == vec.String {
		d.str.Begin(d.col)
	}
}

func (d *rawDecoder) Finish() {
	if d.col != nil && d.col.Kind() == vec.String {
		d.str.Finish()
	}
}

func (d *rawDecoder) Decode(msg []byte) (rows int, err error) {
	switch {
	case len(msg) > MaxMessageBytes:
		return 0, ErrTooLong
	case d.col == nil:
		return 1, nil
	case d.col.Kind() == vec.Bytes:
		d.col.AppendBytes(msg)
		return 1, nil
	case d.col.Kind() == vec.String:
		if err := checkUTF8(msg); err != nil {
			return 0, err
		}
		d.str.Append(msg)
		return 1, nil
	default:
		if err := AppendText(d.col, msg); err != nil {
			return 0, &FieldError{d.schema.Fields[d.cols[0]].Name, err}
		}
		return 1, nil
	}
}

// rawEncoder writes the one column as it is; NULL is an empty message.
type rawEncoder struct{ cols []int }

func (e *rawEncoder) Encode(dst []byte, b *vec.Batch, i int) ([]byte, error) {
	if len(e.cols) == 0 || b.Col(e.cols[0]).IsNull(i) {
		return dst, nil
	}
	c := b.Col(e.cols[0])
	if c.Kind().IsBinaryLike() {
		return append(dst, c.Bytes(i)...), nil
	}
	return AppendValueText(dst, c, i, TextStyle{Sep: ' '}), nil
}
