package optest

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Schema parses "a STRING, n BIGINT, ts TIMESTAMP" into a schema. It knows the kinds without parameters, DECIMAL(p,s) written as DECIMAL:p:s,
// and nothing else; it panics on a mistake, since it is test code that wrote it.
func Schema(text string) *vec.Schema {
	s := &vec.Schema{}
	for part := range strings.SplitSeq(text, ",") {
		f := strings.Fields(part)
		if len(f) != 2 {
			panic(fmt.Sprintf("optest: schema part %q is not 'name TYPE'", part))
		}
		s.Fields = append(s.Fields, vec.Field{Name: f[0], Type: typeOf(f[1])})
	}
	return s
}

func typeOf(name string) vec.Type {
	if rest, ok := strings.CutPrefix(name, "DECIMAL:"); ok {
		p, q, _ := strings.Cut(rest, ":")
		pi, err1 := strconv.Atoi(p)
		si, err2 := strconv.Atoi(q)
		if err1 != nil || err2 != nil {
			panic("optest: want DECIMAL:p:s, got " + name)
		}
		return vec.DecimalOf(uint8(pi), uint8(si))
	}
	for _, t := range []vec.Type{
		vec.TypeBool, vec.TypeInt8, vec.TypeInt16, vec.TypeInt32, vec.TypeInt64, vec.TypeFloat32, vec.TypeFloat64, vec.TypeString,
		vec.TypeBytes, vec.TypeDate, vec.TypeTime, vec.TypeTimestamp, vec.TypeTimestampLTZ,
	} {
		if t.Kind.String() == name {
			return t
		}
	}
	panic("optest: unknown type " + name)
}

// kindPrefixes are how a row's kind is written before it; an insert has none when printed.
var kindPrefixes = []string{"+I ", "-U ", "+U ", "-D "}

// cutKind splits the kind off a row's text.
func cutKind(text string) (vec.RowKind, string) {
	for k, p := range kindPrefixes {
		if rest, ok := strings.CutPrefix(text, p); ok {
			return vec.RowKind(k), rest
		}
	}
	return vec.Insert, text
}

// AppendRow appends a row in text to the columns of b (and counts it): "a, 1, NULL". Times are integers as stored, BYTES base64, and
// a string with a comma or that reads NULL stands in single quotes.
func AppendRow(b *vec.Batch, text string) error {
	kind, text := cutKind(text)
	cells := splitCells(text)
	if len(cells) != b.Width() {
		return fmt.Errorf("row %q has %d cells, the schema %s has %d", text, len(cells), b.Schema(), b.Width())
	}
	for i, c := range cells {
		if err := appendCell(b.Col(i), c); err != nil {
			return fmt.Errorf("row %q, column %s: %w", text, b.Schema().Fields[i].Name, err)
		}
	}
	n := b.Rows()
	if kind != vec.Insert || b.Kinds() != nil {
		b.EnsureKinds(n + 1)[n] = kind
	}
	b.SetRows(n + 1)
	return nil
}

// splitCells cuts a row at its commas outside quotes. Quotes stay in the cell.
func splitCells(text string) []string {
	var cells []string
	from, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\'':
			quoted = !quoted
		case text[i] == ',' && !quoted:
			cells = append(cells, strings.TrimSpace(text[from:i]))
			from = i + 1
		}
	}
	return append(cells, strings.TrimSpace(text[from:]))
}

func appendCell(c *vec.Col, s string) error {
	if s == "NULL" {
		c.AppendNull()
		return nil
	}
	switch k := c.Kind(); k {
	case vec.String:
		if len(s) >= 2 && s[0] == '\'' {
			s = s[1 : len(s)-1]
		}
		c.AppendString(s)
	case vec.Bytes:
		v, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return err
		}
		c.AppendBytes(v)
	case vec.Bool:
		v, err := strconv.ParseBool(s)
		if err != nil {
			return err
		}
		c.AppendBool(v)
	case vec.Float32, vec.Float64:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return err
		}
		if k == vec.Float32 {
			vec.AppendValue(c, float32(v))
		} else {
			vec.AppendValue(c, v)
		}
	case vec.Decimal:
		v, err := decimal128.FromString(s, int32(c.Type().Precision), int32(c.Type().Scale))
		if err != nil {
			return err
		}
		vec.AppendValue(c, v)
	default:
		return appendInt(c, s)
	}
	return nil
}

func appendInt(c *vec.Col, s string) error {
	w := c.Kind().Width()
	if w == 0 {
		return fmt.Errorf("optest cannot write a %s", c.Type())
	}
	v, err := strconv.ParseInt(s, 10, w*8)
	if err != nil {
		return err
	}
	switch w {
	case 1:
		vec.AppendValue(c, int8(v))
	case 2:
		vec.AppendValue(c, int16(v))
	case 4:
		vec.AppendValue(c, int32(v))
	default:
		vec.AppendValue(c, v)
	}
	return nil
}

// FormatRow prints physical row i of b as AppendRow reads it; inserts have no prefix.
func FormatRow(b *vec.Batch, i int) string {
	var s strings.Builder
	if k := b.Kind(i); k != vec.Insert {
		s.WriteString(kindPrefixes[k])
	}
	for j, c := range b.Cols() {
		if j > 0 {
			s.WriteString(", ")
		}
		s.WriteString(FormatCell(c, i))
	}
	return s.String()
}

// FormatCell prints one value.
func FormatCell(c *vec.Col, i int) string {
	if c.IsNull(i) {
		return "NULL"
	}
	switch k := c.Kind(); k {
	case vec.String:
		s := strings.Clone(c.Str(i))
		if s == "NULL" || strings.Contains(s, ",") || s != strings.TrimSpace(s) {
			return "'" + s + "'"
		}
		return s
	case vec.Bytes:
		return base64.StdEncoding.EncodeToString(c.Bytes(i))
	case vec.Bool:
		return strconv.FormatBool(c.Bools().Get(i))
	case vec.Float32:
		return strconv.FormatFloat(float64(vec.Values[float32](c)[i]), 'g', -1, 32)
	case vec.Float64:
		return strconv.FormatFloat(vec.Values[float64](c)[i], 'g', -1, 64)
	case vec.Decimal:
		return vec.Values[vec.Num](c)[i].ToString(int32(c.Type().Scale))
	default:
		return formatInt(c, i)
	}
}

func formatInt(c *vec.Col, i int) string {
	var v int64
	switch c.Kind().Width() {
	case 1:
		v = int64(vec.Values[int8](c)[i])
	case 2:
		v = int64(vec.Values[int16](c)[i])
	case 4:
		v = int64(vec.Values[int32](c)[i])
	case 8:
		v = vec.Values[int64](c)[i]
	default:
		return "?" + c.Type().String()
	}
	return strconv.FormatInt(v, 10)
}

// Batch makes a batch of rows in text. It panics on a mistake in them.
func Batch(s *vec.Schema, rows ...string) *vec.Batch {
	b := vec.NewBatch(s)
	for _, r := range rows {
		if err := AppendRow(b, r); err != nil {
			panic(err)
		}
	}
	return b
}

// FormatBatch prints the selected rows.
func FormatBatch(b *vec.Batch) []string {
	var out []string
	if sel := b.Sel(); sel != nil {
		for _, i := range sel {
			out = append(out, FormatRow(b, i))
		}
		return out
	}
	for i := range b.Rows() {
		out = append(out, FormatRow(b, i))
	}
	return out
}

// Encode returns a copy of a plain STRING column that is dictionary-encoded, under the given dictionary identity.
func Encode(c *vec.Col, id uint64) *vec.Col {
	d := &vec.Dict{ID: id, Offsets: []int32{0}}
	codes := map[string]int32{}
	out := vec.NewCol(c.Type())
	list := make([]int32, c.Len())
	for i := range c.Len() {
		if c.IsNull(i) {
			continue
		}
		s := strings.Clone(c.Str(i))
		code, ok := codes[s]
		if !ok {
			code = int32(len(codes))
			codes[s] = code
			d.Data = append(d.Data, s...)
			d.Offsets = append(d.Offsets, int32(len(d.Data)))
		}
		list[i] = code
	}
	if d.Len() == 0 { // all NULL: codes need something to point at
		d.Offsets = append(d.Offsets, 0)
	}
	out.SetDict(d)
	out.Resize(c.Len())
	copy(out.Codes(), list)
	out.CopyValidFrom(c)
	return out
}

// Deface overwrites everything that b's columns hold, so that whoever kept a reference to a lent batch is found out.
// Dictionaries are left alone: they are immutable by contract.
func Deface(b *vec.Batch) {
	for _, c := range b.Cols() {
		defaceCol(c)
	}
	for i := range b.Kinds() {
		b.Kinds()[i] = vec.UpdateBefore
	}
	for i := range b.Sel() {
		b.Sel()[i] = 0
	}
}

func defaceCol(c *vec.Col) {
	switch {
	case c.Dict() != nil:
		clear(c.Codes())
	case c.Kind().IsBinaryLike():
		for i := range c.Data() {
			c.Data()[i] = '#'
		}
		clear(c.Offsets())
	case c.Kind() == vec.Bool:
		c.Bools().Fill(c.Len(), true)
	case c.Kind().Width() > 0 && c.Len() > 0:
		v := vec.Values[int8](c)
		all := unsafe.Slice(unsafe.SliceData(v), c.Len()*c.Kind().Width())
		for i := range all {
			all[i] = -77
		}
	case c.Kind().IsNested():
		for i := range c.Type().Fields {
			defaceCol(c.Kid(i))
		}
	}
	if v := c.Valid(); v != nil {
		v.Fill(c.Len(), false)
	}
}
