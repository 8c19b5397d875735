// Package vecarrow takes batches to Arrow records and back, without copying values where the layouts agree. It is apart from engine/vec so that programs
// which do not speak Arrow do not carry it.
package vecarrow

import (
	"fmt"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/bramble-stream/bramble/engine/vec"
)

// precisionKey is the key of Arrow field metadata that carries the precision of TIME, TIMESTAMP and TIMESTAMP_LTZ, which Arrow's types have not.
const precisionKey = "bramble.precision"

// ArrowType returns the Arrow type of a column of type t: INTERVAL DAY TO SECOND is duration[ms], TIMESTAMP_LTZ is timestamp[ms, UTC].
func ArrowType(t vec.Type) (arrow.DataType, error) {
	switch t.Kind {
	case vec.Null:
		return arrow.Null, nil
	case vec.Bool:
		return arrow.FixedWidthTypes.Boolean, nil
	case vec.Int8:
		return arrow.PrimitiveTypes.Int8, nil
	case vec.Int16:
		return arrow.PrimitiveTypes.Int16, nil
	case vec.Int32:
		return arrow.PrimitiveTypes.Int32, nil
	case vec.Int64:
		return arrow.PrimitiveTypes.Int64, nil
	case vec.Float32:
		return arrow.PrimitiveTypes.Float32, nil
	case vec.Float64:
		return arrow.PrimitiveTypes.Float64, nil
	case vec.Decimal:
		return &arrow.Decimal128Type{Precision: int32(t.Precision), Scale: int32(t.Scale)}, nil
	case vec.String:
		return arrow.BinaryTypes.String, nil
	case vec.Bytes:
		return arrow.BinaryTypes.Binary, nil
	case vec.Date:
		return arrow.FixedWidthTypes.Date32, nil
	case vec.Time:
		return arrow.FixedWidthTypes.Time32ms, nil
	case vec.Timestamp:
		return &arrow.TimestampType{Unit: arrow.Millisecond}, nil
	case vec.TimestampLTZ:
		return &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, nil
	case vec.IntervalYM:
		return arrow.FixedWidthTypes.MonthInterval, nil
	case vec.IntervalDT:
		return arrow.FixedWidthTypes.Duration_ms, nil
	}
	return arrowNested(t)
}

func arrowNested(t vec.Type) (arrow.DataType, error) {
	fields := make([]arrow.Field, len(t.Fields))
	for i, f := range t.Fields {
		af, err := arrowField(f, nil)
		if err != nil {
			return nil, err
		}
		fields[i] = af
	}
	switch t.Kind {
	case vec.Row:
		return arrow.StructOf(fields...), nil
	case vec.Array:
		return arrow.ListOfField(fields[0]), nil
	case vec.Map:
		fields[0].Nullable = false
		return arrow.MapOfFields(fields[0], fields[1]), nil
	}
	return nil, fmt.Errorf("no Arrow type for %s", t)
}

// arrowField is the Arrow field for f; dt overrides the type (for dictionary encoding).
func arrowField(f vec.Field, dt arrow.DataType) (arrow.Field, error) {
	if dt == nil {
		var err error
		if dt, err = ArrowType(f.Type); err != nil {
			return arrow.Field{}, err
		}
	}
	af := arrow.Field{Name: f.Name, Type: dt, Nullable: !f.Type.NotNull}
	if k := f.Type.Kind; k == vec.Time || k.IsTimestamp() {
		af.Metadata = arrow.NewMetadata([]string{precisionKey}, []string{strconv.Itoa(int(f.Type.Precision))})
	}
	return af, nil
}

// dictType is the Arrow type of dictionary-encoded columns.
var dictType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}

// ToArrow returns b's selected rows as an Arrow record. Without a selection no value is copied: the record shares the columns' memory and is
// valid as long as b is unchanged (Clone b first to keep it). With a selection the rows are copied once. Dictionary-encoded columns
// stay so; inside nested types they become plain strings. Row kinds are not part of the record.
func ToArrow(b *vec.Batch) (arrow.RecordBatch, error) {
	if b.Sel() != nil {
		b = b.Clone()
	}
	fields := make([]arrow.Field, b.Width())
	cols := make([]arrow.Array, b.Width())
	for i, c := range b.Cols() {
		data, err := arrowData(c, true)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", b.Schema().Fields[i].Name, err)
		}
		cols[i] = array.MakeFromData(data)
		if fields[i], err = arrowField(b.Schema().Fields[i], data.DataType()); err != nil {
			return nil, err
		}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, int64(b.Rows())), nil
}

// arrowData wraps a column's buffers. Dictionaries are kept at the top only: Arrow's types of nested columns do not say which child has one.
func arrowData(c *vec.Col, top bool) (*array.Data, error) {
	if c.Dict() != nil && !top {
		plain := &vec.Col{}
		plain.CopyFrom(c)
		plain.Plain()
		c = plain
	}
	bufs, kidTypes := c.Buffers(), c.Type().Fields
	dt, err := ArrowType(c.Type())
	if err != nil {
		return nil, err
	}
	nulls := 0
	var valid *memory.Buffer
	if len(bufs.Valid) > 0 {
		nulls = c.Len() - bufs.Valid.Count(c.Len())
		valid = memory.NewBufferBytes(vec.BytesOf(bufs.Valid[:vec.BitmapWords(c.Len())]))
	}
	data := memory.NewBufferBytes(bufs.Data)
	switch k := c.Kind(); {
	case c.Dict() != nil:
		values := array.NewData(arrow.BinaryTypes.String, c.Dict().Len(), []*memory.Buffer{
			nil,
			memory.NewBufferBytes(vec.BytesOf(dictOffsets(c.Dict()))), memory.NewBufferBytes(c.Dict().Data),
		}, nil, 0, 0)
		return array.NewDataWithDictionary(dictType, c.Len(), []*memory.Buffer{valid, data}, nulls, 0, values), nil
	case k == vec.Null:
		return array.NewData(dt, c.Len(), []*memory.Buffer{nil}, nil, c.Len(), 0), nil
	case k.IsBinaryLike():
		return array.NewData(dt, c.Len(), []*memory.Buffer{valid, memory.NewBufferBytes(vec.BytesOf(bufs.Offsets)), data}, nil, nulls, 0), nil
	case !k.IsNested():
		return array.NewData(dt, c.Len(), []*memory.Buffer{valid, data}, nil, nulls, 0), nil
	}
	kids := make([]arrow.ArrayData, len(kidTypes))
	for i := range kidTypes {
		d, err := arrowData(c.Kid(i), false)
		if err != nil {
			return nil, err
		}
		kids[i] = d
	}
	switch c.Kind() {
	case vec.Row:
		return array.NewData(dt, c.Len(), []*memory.Buffer{valid}, kids, nulls, 0), nil
	case vec.Map:
		entries := array.NewData(dt.(*arrow.MapType).Elem(), c.Kid(0).Len(), []*memory.Buffer{nil}, kids, 0, 0)
		kids = []arrow.ArrayData{entries}
	}
	return array.NewData(dt, c.Len(), []*memory.Buffer{valid, memory.NewBufferBytes(vec.BytesOf(bufs.Offsets))}, kids, nulls, 0), nil
}

// dictOffsets gives an empty dictionary the one offset that Arrow expects.
func dictOffsets(d *vec.Dict) []int32 {
	if len(d.Offsets) == 0 {
		return []int32{0}
	}
	return d.Offsets
}

// TypeOfArrow returns the type of columns that FromArrow makes of an Arrow field. Types without a counterpart are an error.
func TypeOfArrow(f arrow.Field) (vec.Type, error) {
	t, err := typeOfArrow(f)
	t.NotNull = !f.Nullable
	return t, err
}

func typeOfArrow(f arrow.Field) (vec.Type, error) {
	precision := uint8(3)
	if v, ok := f.Metadata.GetValue(precisionKey); ok {
		if p, err := strconv.ParseUint(v, 10, 8); err == nil {
			precision = uint8(p)
		}
	}
	switch dt := f.Type.(type) {
	case *arrow.NullType:
		return vec.TypeNull, nil
	case *arrow.BooleanType:
		return vec.TypeBool, nil
	case *arrow.Int8Type:
		return vec.TypeInt8, nil
	case *arrow.Int16Type, *arrow.Uint8Type:
		return vec.TypeInt16, nil
	case *arrow.Int32Type, *arrow.Uint16Type:
		return vec.TypeInt32, nil
	case *arrow.Int64Type, *arrow.Uint32Type:
		return vec.TypeInt64, nil
	case *arrow.Float32Type:
		return vec.TypeFloat32, nil
	case *arrow.Float64Type:
		return vec.TypeFloat64, nil
	case *arrow.Decimal128Type:
		if dt.Precision < 1 || dt.Precision > 38 || dt.Scale < 0 || dt.Scale > dt.Precision {
			break
		}
		return vec.DecimalOf(uint8(dt.Precision), uint8(dt.Scale)), nil
	case *arrow.StringType, *arrow.LargeStringType:
		return vec.TypeString, nil
	case *arrow.BinaryType, *arrow.LargeBinaryType, *arrow.FixedSizeBinaryType:
		return vec.TypeBytes, nil
	case *arrow.Date32Type, *arrow.Date64Type:
		return vec.TypeDate, nil
	case *arrow.Time32Type, *arrow.Time64Type:
		return vec.Type{Kind: vec.Time, Precision: precision}, nil
	case *arrow.TimestampType:
		if dt.TimeZone != "" {
			return vec.Type{Kind: vec.TimestampLTZ, Precision: precision}, nil
		}
		return vec.Type{Kind: vec.Timestamp, Precision: precision}, nil
	case *arrow.MonthIntervalType:
		return vec.TypeIntervalYM, nil
	case *arrow.DurationType:
		return vec.TypeIntervalDT, nil
	case *arrow.DictionaryType:
		if dt.ValueType.ID() == arrow.STRING {
			return vec.TypeString, nil
		}
	case *arrow.StructType:
		fields, err := typesOfArrow(dt.Fields())
		return vec.RowOf(fields...), err
	case *arrow.ListType:
		fields, err := typesOfArrow([]arrow.Field{dt.ElemField()})
		return vec.Type{Kind: vec.Array, Fields: fields}, err
	case *arrow.MapType:
		fields, err := typesOfArrow([]arrow.Field{dt.KeyField(), dt.ItemField()})
		return vec.Type{Kind: vec.Map, Fields: fields}, err
	}
	return vec.Type{}, fmt.Errorf("Arrow type %s is not supported", f.Type)
}

func typesOfArrow(fields []arrow.Field) ([]vec.Field, error) {
	out := make([]vec.Field, len(fields))
	for i, f := range fields {
		t, err := TypeOfArrow(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		out[i] = vec.Field{Name: f.Name, Type: t}
	}
	return out, nil
}

// FromArrow returns a batch over rec. Values, offsets and dictionary codes of int32 are shared with rec where its buffers are aligned and the
// physical types are ours; validity and BOOLEAN are shared where they begin at a multiple of 64 rows; other units, widths and
// 64-bit offsets are converted. rec must live, and stay unchanged, as long as the batch; Reset of
// the batch lets go of shared memory; before that, its columns must not be appended to or written.
func FromArrow(rec arrow.RecordBatch) (*vec.Batch, error) {
	fields, err := typesOfArrow(rec.Schema().Fields())
	if err != nil {
		return nil, err
	}
	cols := make([]*vec.Col, len(fields))
	for i := range cols {
		if cols[i], err = colFromArrow(rec.Column(i).Data(), fields[i].Type); err != nil {
			return nil, fmt.Errorf("column %s: %w", fields[i].Name, err)
		}
	}
	return vec.NewBatchOf(vec.NewSchema(fields...), int(rec.NumRows()), cols...), nil
}

// share returns the part of a buffer that holds n values of T from offset off, or nil when it is not aligned for them. Its capacity is its length, so
// that an append moves away from it.
func share[T int8 | int16 | int32 | int64 | uint64 | vec.Num](buf *memory.Buffer, off, n int) []T {
	if n == 0 || buf == nil {
		return nil
	}
	var zero T
	size := int(unsafe.Sizeof(zero))
	b := buf.Bytes()
	if len(b) < (off+n)*size || uintptr(unsafe.Pointer(&b[0]))%uintptr(min(size, 8)) != 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[off*size])), n)
}

// bitsFromArrow returns n bits from offset off: shared when that is at a word's beginning and the words are whole, else copied.
func bitsFromArrow(buf *memory.Buffer, off, n int) vec.Bitmap {
	words := vec.BitmapWords(n)
	if off%64 == 0 {
		if w := share[uint64](buf, off/64, words); w != nil {
			return w
		}
	}
	out := make(vec.Bitmap, words)
	b := buf.Bytes()
	for i := range n {
		if b[(off+i)>>3]>>(uint(off+i)&7)&1 != 0 {
			out.Set(i)
		}
	}
	return out
}

// bytesFromArrow returns the bytes of n values of the width from offset off, shared if aligned, else copied.
func bytesFromArrow(buf *memory.Buffer, off, n, width int) []byte {
	if n == 0 {
		return nil
	}
	b := buf.Bytes()[off*width : (off+n)*width : (off+n)*width]
	if uintptr(unsafe.Pointer(&b[0]))%uintptr(min(width, 8)) == 0 {
		return b
	}
	out := vec.Aligned(len(b))
	copy(out, b)
	return out
}

// parts are a column in the making.
type parts struct {
	vec.Buffers
	typ  vec.Type
	n    int
	dict *vec.Dict
	kids []*vec.Col
	// whole, when set, is the column itself.
	whole *vec.Col
}

func (p *parts) isNull(i int) bool { return len(p.Valid) > 0 && !p.Valid.Get(i) }

func colFromArrow(d arrow.ArrayData, t vec.Type) (*vec.Col, error) {
	p := &parts{typ: t, n: d.Len()}
	if err := p.fill(d); err != nil {
		return nil, err
	}
	if p.whole != nil {
		return p.whole, nil
	}
	return vec.Borrow(t, p.n, p.Buffers, p.dict, p.kids), nil
}

func (p *parts) fill(d arrow.ArrayData) error {
	bufs, off, n := d.Buffers(), d.Offset(), d.Len()
	if p.typ.Kind == vec.Null {
		return nil
	}
	if len(bufs) > 0 && bufs[0] != nil && bufs[0].Len() > 0 && n > 0 && d.NullN() != 0 {
		p.Valid = bitsFromArrow(bufs[0], off, n)
	}
	if done, err := p.convert(d); done || err != nil {
		return err
	}
	switch k := p.typ.Kind; {
	case k == vec.Bool:
		if n > 0 {
			p.Data = vec.BytesOf(bitsFromArrow(bufs[1], off, n))
		}
	case k.Width() > 0:
		p.Data = bytesFromArrow(bufs[1], off, n, k.Width())
	case k.IsBinaryLike():
		p.Offsets = offsetsFromArrow(bufs[1], off, n)
		if len(bufs) > 2 && bufs[2] != nil {
			b := bufs[2].Bytes()
			p.Data = b[:len(b):len(b)]
		}
	default:
		return p.nested(d)
	}
	return nil
}

func offsetsFromArrow(buf *memory.Buffer, off, n int) []int32 {
	if buf == nil || buf.Len() == 0 {
		return make([]int32, n+1)
	}
	if o := share[int32](buf, off, n+1); o != nil {
		return o
	}
	b := bytesFromArrow(buf, off, n+1, 4)
	return unsafe.Slice((*int32)(unsafe.Pointer(&b[0])), n+1)
}

// nested fills the children of a nested column. A ROW's children begin at its offset, those of lists at 0.
func (p *parts) nested(d arrow.ArrayData) error {
	kids := d.Children()
	switch p.typ.Kind {
	case vec.Map:
		p.Offsets = offsetsFromArrow(d.Buffers()[1], d.Offset(), p.n)
		entries := kids[0]
		kids = make([]arrow.ArrayData, 2)
		for i, k := range entries.Children() {
			kids[i] = array.NewSliceData(k, int64(entries.Offset()), int64(entries.Offset()+entries.Len()))
		}
	case vec.Array:
		p.Offsets = offsetsFromArrow(d.Buffers()[1], d.Offset(), p.n)
	default:
		sliced := make([]arrow.ArrayData, len(kids))
		for i, k := range kids {
			sliced[i] = array.NewSliceData(k, int64(d.Offset()), int64(d.Offset()+p.n))
		}
		kids = sliced
	}
	p.kids = make([]*vec.Col, len(kids))
	for i, k := range kids {
		kid, err := colFromArrow(k, p.typ.Fields[i].Type)
		if err != nil {
			return err
		}
		p.kids[i] = kid
	}
	return nil
}
