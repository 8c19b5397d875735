package vec

import (
	"testing"

	"pgregory.net/rapid"
)

func colText(c *Col) []string {
	out := make([]string, c.Len())
	for i := range out {
		out[i] = text(c, i)
	}
	return out
}

func pick(all []string, sel []int) []string {
	if sel == nil {
		return all
	}
	out := make([]string, len(sel))
	for k, i := range sel {
		out[k] = all[i]
	}
	return out
}

// TestAppend appends the rows of one column to another in each way, into fresh and into used memory.
func TestAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 2)
		src := drawCol(t, typ, rapid.IntRange(0, 130).Draw(t, "rows"))
		dst := drawCol(t, typ, rapid.IntRange(0, 70).Draw(t, "before"))
		if rapid.Bool().Draw(t, "reset") {
			dst.Reset()
		}
		before, all := colText(dst), colText(src)
		var sel []int
		if rapid.Bool().Draw(t, "some") {
			sel = drawSel(t, src.Len())
		}
		dst.AppendSel(src, sel)
		want := append(append([]string{}, before...), pick(all, sel)...)
		mustEqual(t, "AppendSel", colText(dst), want)
		for _, i := range drawSel(t, src.Len()) {
			dst.AppendFrom(src, i)
			want = append(want, all[i])
		}
		dst.AppendNull()
		want = append(want, "NULL")
		mustEqual(t, "AppendFrom", colText(dst), want)
		mustEqual(t, "source", colText(src), all)
		dst.Plain()
		mustEqual(t, "Plain", colText(dst), want)
		cut := rapid.IntRange(0, dst.Len()).Draw(t, "cut")
		dst.Truncate(cut)
		dst.AppendSel(src, nil)
		mustEqual(t, "Truncate", colText(dst), append(append([]string{}, want[:cut]...), all...))
	})
}

// TestCopyAndAlias checks that a copy is independent, and that Reset of an alias leaves its source alone.
func TestCopyAndAlias(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 2)
		src := drawCol(t, typ, rapid.IntRange(0, 130).Draw(t, "rows"))
		all := colText(src)
		cp := drawCol(t, drawType(t, 1), 3)
		cp.CopyFrom(src)
		var alias Col
		alias.Alias(src)
		mustEqual(t, "alias", colText(&alias), all)
		alias.Reset()
		for range 5 {
			appendDrawn(t, &alias, true)
		}
		mustEqual(t, "source of a reset alias", colText(src), all)
		mustEqual(t, "copy", colText(cp), all)
		b := NewBatchOf(NewSchema(Field{"c", typ}), src.Len(), src)
		Mangle(b)
		if src.Len() != len(all) {
			t.Fatalf("mangled to %d rows", src.Len())
		}
		colText(src)
		mustEqual(t, "copy of a mangled column", colText(cp), all)
	})
}

// TestBatchAppend checks Clone, AppendBatch, AppendRows and views with kinds and selections.
func TestBatchAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatchOf(t, 1)
		rows := rowsText(b)
		mustEqual(t, "Clone", rowsText(b.Clone()), rows)
		var view Batch
		view.ViewOf(b)
		mustEqual(t, "ViewOf", rowsText(&view), rows)
		keep := view.SelBuf()
		var want []string
		for k, i := range selOf(&view) {
			if k%3 == 0 {
				keep = append(keep, i)
				want = append(want, rows[k])
			}
		}
		view.UseSel(keep)
		mustEqual(t, "narrowed view", rowsText(&view), want)
		mustEqual(t, "batch under a view", rowsText(b), rows)
		sum := NewBatch(b.Schema())
		sum.AppendBatch(&view)
		sum.AppendBatch(b)
		sum.AppendRows(b, []int{})
		mustEqual(t, "AppendBatch", rowsText(sum), append(want, rows...))
		sum.Reset()
		sum.AppendBatch(b)
		mustEqual(t, "AppendBatch after Reset", rowsText(sum), rows)
	})
}

func selOf(b *Batch) []int {
	if s := b.Sel(); s != nil {
		return append([]int{}, s...)
	}
	out := make([]int, b.Rows())
	for i := range out {
		out[i] = i
	}
	return out
}

// TestHash checks that rows hash by value alone: whatever the encoding, the selection and the batch around them.
func TestHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatchOf(t, 1)
		sel := selOf(b)
		got := make([]uint64, len(sel))
		Hash(b.Cols(), b.Sel(), got)
		c := b.Clone()
		for _, col := range c.Cols() {
			col.Plain()
		}
		again := make([]uint64, len(sel))
		Hash(c.Cols(), nil, again)
		texts := map[string]uint64{}
		for k, s := range rowsText(c) {
			if got[k] != again[k] {
				t.Fatalf("row %d hashes to %x and %x", sel[k], got[k], again[k])
			}
			if h, ok := texts[s[2:]]; ok && h != got[k] {
				t.Fatalf("equal rows %s hash to %x and %x", s, h, got[k])
			}
			texts[s[2:]] = got[k]
		}
	})
}

// TestHashIsStable pins values: state and partitioning rely on them.
func TestHashIsStable(t *testing.T) {
	i, s := NewCol(TypeInt64), NewCol(TypeString)
	AppendValue(i, int64(42))
	i.AppendNull()
	s.AppendString("sensor-1")
	s.AppendString("")
	out := make([]uint64, 2)
	Hash([]*Col{i, s}, nil, out)
	if want := [2]uint64{0x47732fa782c323a1, 0x1bde9363ef05f439}; [2]uint64(out) != want {
		t.Errorf("hashes %#x, want %#x", out, want)
	}
	n := NewCol(TypeInt32)
	AppendValue(n, int32(42))
	a, b := make([]uint64, 1), make([]uint64, 1)
	Hash([]*Col{n}, nil, a)
	Hash([]*Col{i}, nil, b)
	if a[0] != b[0] {
		t.Error("INT and BIGINT of one value hash differently")
	}
}

func TestResize(t *testing.T) {
	c := NewCol(TypeInt64)
	c.Resize(3)
	copy(Values[int64](c), []int64{1, 2, 3})
	c.SetNull(1)
	c.Resize(200)
	for i := 3; i < 200; i++ {
		if c.IsNull(i) {
			t.Fatalf("new row %d is NULL", i)
		}
	}
	if !c.IsNull(1) || c.IsNull(2) || Values[int64](c)[2] != 3 {
		t.Error("Resize lost rows")
	}
	c.Resize(2)
	c.Resize(130)
	if c.IsNull(129) || !c.IsNull(1) {
		t.Error("shrinking and growing lost validity")
	}
	c.Resize(0)
	c.Resize(5)
	for i := range 5 {
		if c.IsNull(i) {
			t.Errorf("row %d of a refilled column is NULL", i)
		}
	}
}

func TestBitmap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Bool(), 1, 200).Draw(t, "bits")
		b := make(Bitmap, bitmapWords(len(want)))
		count := 0
		for i, v := range want {
			b.Put(i, v)
			if v {
				count++
			}
		}
		for i, v := range want {
			if b.Get(i) != v {
				t.Fatalf("bit %d", i)
			}
		}
		if b.Count(len(want)) != count {
			t.Fatalf("count %d, want %d", b.Count(len(want)), count)
		}
		b.Fill(len(want), true)
		if b.Count(len(want)) != len(want) {
			t.Fatal("Fill")
		}
	})
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	s := NewSchema(Field{"a", TypeInt64}, Field{"s", TypeString}, Field{"d", DecimalOf(10, 2)}, Field{"r", ArrayOf(TypeInt32)})
	src, dst := NewBatch(s), NewBatch(s)
	for i := range MaxRows {
		AppendValue(src.Col(0), int64(i))
		src.Col(1).AppendString("text")
		src.Col(2).AppendNull()
		AppendValue(src.Col(3).Kid(0), int32(i))
		src.Col(3).EndList()
	}
	src.SetRows(MaxRows)
	dst.AppendBatch(src)
	if n := testing.AllocsPerRun(10, func() {
		dst.Reset()
		dst.AppendBatch(src)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTypeString(t *testing.T) {
	typ := RowOf(Field{"a", DecimalOf(5, 2)}, Field{"m", MapOf(TypeString, ArrayOf(TypeTimestamp))})
	typ.NotNull = true
	want := "ROW<`a` DECIMAL(5, 2), `m` MAP<STRING, ARRAY<TIMESTAMP(3)>>> NOT NULL"
	if got := typ.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !typ.Equal(typ.Nullable()) || typ.Equal(TypeInt32) {
		t.Error("Equal")
	}
}

func TestValidity(t *testing.T) {
	a, b := NewCol(TypeInt64), NewCol(TypeInt64)
	a.Resize(70)
	b.Resize(70)
	a.SetNull(3)
	b.CopyValidFrom(a)
	b.SetNull(69)
	if !b.IsNull(3) || !b.IsNull(69) || a.IsNull(69) {
		t.Error("CopyValidFrom")
	}
	var c Col
	c.AliasValid(b, a.Valid())
	if c.IsNull(69) || !c.IsNull(3) || c.Len() != 70 {
		t.Error("AliasValid")
	}
	b.ClearValid()
	if b.HasNulls() || b.IsNull(3) {
		t.Error("ClearValid")
	}
	if n := b.MemSize(); n < 70*8 || n > 10000 {
		t.Errorf("MemSize is %d", n)
	}
}
