package vec_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/engine/vec/vecarrow"
)

// withoutKinds prints rows without their kinds, which Arrow does not carry.
func withoutKinds(b *vec.Batch) []string {
	rows := vec.RowsText(b)
	for i := range rows {
		rows[i] = rows[i][3:]
	}
	return rows
}

// TestArrowRoundTrip sends random batches through Arrow: whole and sliced.
func TestArrowRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := vec.DrawBatchOf(t, 2)
		want := withoutKinds(b)
		rec, err := vecarrow.ToArrow(b)
		if err != nil {
			t.Fatal(err)
		}
		back, err := vecarrow.FromArrow(rec)
		if err != nil {
			t.Fatal(err)
		}
		if !back.Schema().Equal(b.Schema()) {
			t.Fatalf("schema %s became %s", b.Schema(), back.Schema())
		}
		vec.MustEqual(t, "whole", withoutKinds(back), want)

		lo := rapid.IntRange(0, len(want)).Draw(t, "lo")
		hi := rapid.IntRange(lo, len(want)).Draw(t, "hi")
		slice, err := vecarrow.FromArrow(rec.NewSlice(int64(lo), int64(hi)))
		if err != nil {
			t.Fatal(err)
		}
		vec.MustEqual(t, "slice", withoutKinds(slice), want[lo:hi])
		vec.MustEqual(t, "clone of a slice", withoutKinds(slice.Clone()), want[lo:hi])

		back.Reset()
		vec.MustEqual(t, "original", withoutKinds(b), want)
	})
}

// TestArrowSharesMemory checks that plain columns cross both ways without a copy.
func TestArrowSharesMemory(t *testing.T) {
	s := vec.NewSchema(vec.Field{Name: "i", Type: vec.TypeInt64}, vec.Field{Name: "s", Type: vec.TypeString}, vec.Field{Name: "b", Type: vec.TypeBool})
	b := vec.NewBatch(s)
	for i := range 100 {
		vec.AppendValue(b.Col(0), int64(i))
		b.Col(1).AppendString("x")
		b.Col(2).AppendBool(i%2 == 0)
	}
	b.Col(0).SetNull(7)
	b.SetRows(100)
	rec, err := vecarrow.ToArrow(b)
	if err != nil {
		t.Fatal(err)
	}
	back, err := vecarrow.FromArrow(rec)
	if err != nil {
		t.Fatal(err)
	}
	vec.Values[int64](b.Col(0))[3] = -1
	b.Col(1).Data()[5] = 'y'
	b.Col(2).Bools().Put(9, true)
	b.Col(0).Valid().Clear(8)
	if got := vec.Text(back.Col(0), 3) + vec.Text(back.Col(1), 5) + vec.Text(back.Col(2), 9) + vec.Text(back.Col(0), 8); got != `-1"y"trueNULL` {
		t.Errorf("the batch from Arrow is a copy: %s", got)
	}
}

// TestFromArrowConverts reads layouts that are not ours.
func TestFromArrowConverts(t *testing.T) {
	mem := memory.NewGoAllocator()
	fields := []arrow.Field{
		{Name: "u8", Type: arrow.PrimitiveTypes.Uint8},
		{Name: "u16", Type: arrow.PrimitiveTypes.Uint16},
		{Name: "u32", Type: arrow.PrimitiveTypes.Uint32, Nullable: true},
		{Name: "d64", Type: arrow.FixedWidthTypes.Date64},
		{Name: "t32", Type: arrow.FixedWidthTypes.Time32s},
		{Name: "t64", Type: arrow.FixedWidthTypes.Time64us},
		{Name: "ts", Type: arrow.FixedWidthTypes.Timestamp_ns},
		{Name: "dur", Type: arrow.FixedWidthTypes.Duration_s},
		{Name: "ls", Type: arrow.BinaryTypes.LargeString, Nullable: true},
		{Name: "fb", Type: &arrow.FixedSizeBinaryType{ByteWidth: 2}},
		{Name: "dict", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String}, Nullable: true},
	}
	rb := array.NewRecordBuilder(mem, arrow.NewSchema(fields, nil))
	rb.Field(0).(*array.Uint8Builder).AppendValues([]uint8{255, 1}, nil)
	rb.Field(1).(*array.Uint16Builder).AppendValues([]uint16{65535, 1}, nil)
	rb.Field(2).(*array.Uint32Builder).AppendValues([]uint32{4294967295, 1}, []bool{true, false})
	rb.Field(3).(*array.Date64Builder).AppendValues([]arrow.Date64{86400000, -1}, nil)
	rb.Field(4).(*array.Time32Builder).AppendValues([]arrow.Time32{3, 4}, nil)
	rb.Field(5).(*array.Time64Builder).AppendValues([]arrow.Time64{3000, 4999}, nil)
	rb.Field(6).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{1_999_999, -1}, nil)
	rb.Field(7).(*array.DurationBuilder).AppendValues([]arrow.Duration{2, -3}, nil)
	rb.Field(8).(*array.LargeStringBuilder).AppendValues([]string{"a", ""}, []bool{true, false})
	rb.Field(9).(*array.FixedSizeBinaryBuilder).AppendValues([][]byte{[]byte("xy"), []byte("zz")}, nil)
	db := rb.Field(10).(*array.BinaryDictionaryBuilder)
	if err := db.AppendString("v"); err != nil {
		t.Fatal(err)
	}
	db.AppendNull()
	b, err := vecarrow.FromArrow(rb.NewRecordBatch())
	if err != nil {
		t.Fatal(err)
	}
	vec.MustEqual(t, "converted", withoutKinds(b), []string{
		`255 65535 4294967295 1 3000 3 1 2000 "a" "xy" "v"`,
		`1 1 NULL -1 4000 4 -1 -3000 NULL "zz" NULL`,
	})
	if _, err := vecarrow.FromArrow(array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "h", Type: arrow.FixedWidthTypes.Float16}}, nil), []arrow.Array{
		array.NewFloat16Builder(mem).NewArray(),
	}, 0)); err == nil {
		t.Error("a half float was taken")
	}
}
