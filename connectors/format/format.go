// Package format turns messages into columns and rows into messages: json, csv and raw. It does no I/O: connectors own
// the bytes before and after.
package format

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
)

// MaxMessageBytes bounds one message of any format; a longer one is refused as bad. Home brokers default to less.
const MaxMessageBytes = 16 << 20

// Decoder appends the rows of messages to a batch. It is used by one goroutine.
type Decoder interface {
	// Decode appends the rows of msg (usually one) to the format's columns of the batch given to Begin, and returns how many.
	// On an error the columns are as before: the record is bad as a whole. msg is not kept.
	Decode(msg []byte) (rows int, err error)
	// Begin starts a batch; rows already in it stay.
	Begin(b *vec.Batch)
	// Finish ends it: afterwards the columns are consistent. Metadata columns and SetRows are the connector's to fill.
	Finish()
}

// Encoder writes rows as messages.
type Encoder interface {
	// Encode appends the message for physical row i of b to dst.
	Encode(dst []byte, b *vec.Batch, i int) ([]byte, error)
}

// ErrTooLong refuses a message above MaxMessageBytes.
var ErrTooLong = errors.New("record is longer than 16 MiB")

// FieldError says which field of a record was not understood.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("field %q: %v", e.Field, e.Err)
}

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Err }

// Options are the WITH keys that a connector with a message format takes besides its own.
func Options() []op.Option {
	return []op.Option{
		{Key: "format", Kind: op.OptionEnum, Enum: []string{"json", "csv", "raw"}, Required: true, Doc: "how a message is laid out"},
		{Key: "json.ignore-parse-errors", Kind: op.OptionBool, Default: "false", Doc: "a field that does not fit its type becomes NULL instead of making the record bad"},
		{Key: "json.fail-on-missing-field", Kind: op.OptionBool, Default: "false", Doc: "a missing field makes the record bad instead of NULL"},
		{Key: "json.timestamp-format.standard", Kind: op.OptionEnum, Enum: []string{"SQL", "ISO-8601"}, Default: "SQL", Doc: "how timestamps are written; both, and epoch numbers, are read"},
		{Key: "json.timestamp-format.epoch-unit", Kind: op.OptionEnum, Enum: []string{"ms", "s"}, Default: "ms", Doc: "what a number means where a timestamp is expected"},
		{Key: "json.encode.ignore-null-fields", Kind: op.OptionBool, Default: "false", Doc: "leave NULL fields out of written objects"},
		{Key: "csv.field-delimiter", Kind: op.OptionString, Default: ",", Doc: "one character between fields; \\t is a tab"},
		{Key: "csv.quote-character", Kind: op.OptionString, Default: "\"", Doc: "one character around fields that hold delimiters"},
		{Key: "csv.disable-quote-character", Kind: op.OptionBool, Default: "false", Doc: "fields are never quoted"},
		{Key: "csv.null-literal", Kind: op.OptionString, Default: "", Doc: "the text that stands for NULL"},
		{Key: "csv.allow-comments", Kind: op.OptionBool, Default: "false", Doc: "lines that begin with # are skipped"},
		{Key: "csv.ignore-parse-errors", Kind: op.OptionBool, Default: "false", Doc: "a field that does not fit its type becomes NULL instead of making the record bad"},
		{Key: "raw.charset", Kind: op.OptionEnum, Enum: []string{"UTF-8"}, Default: "UTF-8", Doc: "of STRING columns"},
	}
}

// Columns returns the indexes of the table's columns that come from the format rather than from metadata.
func Columns(t *graph.TableSpec) []int {
	var cols []int
	for i := range t.Schema.Fields {
		if i >= len(t.Metadata) || t.Metadata[i] == "" {
			cols = append(cols, i)
		}
	}
	return cols
}

// Check refuses a schema that the table's format cannot carry.
func Check(t *graph.TableSpec) error {
	switch f := t.Options["format"]; f {
	case "raw":
		cols := Columns(t)
		if len(cols) > 1 {
			return fmt.Errorf("format raw carries one column, table %s has %d", t.Name, len(cols))
		}
		if len(cols) == 1 && t.Schema.Fields[cols[0]].Type.Kind.IsNested() {
			return fmt.Errorf("format raw cannot carry %s", t.Schema.Fields[cols[0]].Type)
		}
	case "csv":
		for _, i := range Columns(t) {
			if k := t.Schema.Fields[i].Type.Kind; k.IsNested() {
				return fmt.Errorf("format csv cannot carry column %s of type %s", t.Schema.Fields[i].Name, t.Schema.Fields[i].Type)
			}
		}
	case "json":
	default:
		return fmt.Errorf("unknown format %q: json, csv and raw are there", f)
	}
	return nil
}

// NewDecoder returns the decoder that the table's options ask for.
func NewDecoder(t *graph.TableSpec) (Decoder, error) {
	if err := Check(t); err != nil {
		return nil, err
	}
	switch t.Options["format"] {
	case "csv":
		return newCSVDecoder(t)
	case "raw":
		return &rawDecoder{cols: Columns(t), schema: t.Schema}, nil
	default:
		return newJSONDecoder(t), nil
	}
}

// NewEncoder returns the encoder that the table's options ask for.
func NewEncoder(t *graph.TableSpec) (Encoder, error) {
	if err := Check(t); err != nil {
		return nil, err
	}
	switch t.Options["format"] {
	case "csv":
		return newCSVEncoder(t)
	case "raw":
		return &rawEncoder{cols: Columns(t)}, nil
	default:
		return newJSONEncoder(t), nil
	}
}

func isTrue(t *graph.TableSpec, key string) bool { return strings.EqualFold(t.Options[key], "true") }

// Room reports whether the batch takes the rows of one more message: a JSON array may hold up to vec.MaxRows of them.
func Room(rows int, data int, msg []byte) bool {
	if rows == 0 {
		return true
	}
	if rows >= vec.MaxRows || data+len(msg) > vec.TargetBytes {
		return false
	}
	return len(msg) == 0 || msg[0] > '[' || trimmedFirst(msg) != '['
}

func trimmedFirst(msg []byte) byte {
	for _, c := range msg {
		if c > ' ' {
			return c
		}
	}
	return 0
}
