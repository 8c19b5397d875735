package filesystem

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/vec"
)

// constant is a column whose value is the same for all rows of a file: metadata, or a partition column.
type constant struct {
	column int
	key    string
	field  vec.Field
	// value has one row.
	value *vec.Col
	str   format.StringColumn
	col   *vec.Col
}

func newConstants(t *graph.TableSpec) ([]constant, error) {
	var out []constant
	for i, key := range t.Metadata {
		switch key {
		case "":
			continue
		case partitionKey, "file.path", "file.name", "file.size", "file.modification-time":
		default:
			return nil, fmt.Errorf("filesystem has no metadata %q", key)
		}
		out = append(out, constant{column: i, key: key, field: t.Schema.Fields[i], value: vec.NewCol(t.Schema.Fields[i].Type)})
	}
	return out, nil
}

func (c *constant) begin(b *vec.Batch) {
	c.col = b.Col(c.column)
	if c.col.Kind() == vec.String {
		c.str.Begin(c.col)
	}
}

func (c *constant) finish() {
	if c.col.Kind() == vec.String {
		c.str.Finish()
	}
}

// fillConstants sets the values for a file.
func (s *source) fillConstants(f file) error {
	for i := range s.consts {
		c := &s.consts[i]
		c.value.Reset()
		switch c.key {
		case "file.path":
			c.value.AppendString(strings.ToValidUTF8(f.path, "\uFFFD"))
		case "file.name":
			c.value.AppendString(strings.ToValidUTF8(filepath.Base(f.path), "\uFFFD"))
		case "file.size":
			vec.AppendValue(c.value, f.size)
		case "file.modification-time":
			vec.AppendValue(c.value, f.modified)
		default:
			if err := c.partition(f.path, defaultPartition(s.table)); err != nil {
				return err
			}
		}
	}
	return nil
}

// partition takes the value from the nearest directory named column=value.
func (c *constant) partition(path, null string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		name, value, ok := strings.Cut(filepath.Base(dir), "=")
		if ok && unescape(name) == c.field.Name {
			if value == null {
				c.value.AppendNull()
				return nil
			}
			if err := format.AppendText(c.value, []byte(unescape(value))); err != nil {
				return fmt.Errorf("%s: partition column %s: %w", path, c.field.Name, err)
			}
			return nil
		}
		if dir == filepath.Dir(dir) {
			return fmt.Errorf("%s is in no directory %s=…, which the partition column %s comes from", path, c.field.Name, c.field.Name)
		}
	}
}

func (s *source) appendConstants() {
	for i := range s.consts {
		c := &s.consts[i]
		if c.col.Kind() == vec.String && !c.value.IsNull(0) {
			c.str.Append(c.value.Bytes(0))
		} else {
			c.col.AppendFrom(c.value, 0)
		}
	}
}

// escaped are the characters that Hive writes as %XX in the name of a partition, besides control characters.
const escaped = "\"#%'*/:=?\\{[]^\x7f"

// escape appends text as it stands in the name of a partition's directory.
func escape(dst, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || strings.IndexByte(escaped, c) >= 0 {
			dst = fmt.Appendf(dst, "%%%02X", c)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

func unescape(name string) string {
	if s, err := url.PathUnescape(name); err == nil {
		return s
	}
	return name
}
