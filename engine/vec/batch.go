package vec

import "slices"

// MaxRows is the most rows a batch carries: large enough to spread the cost of a call over many
// rows, small enough that a batch of a few columns stays in a Pi's first two caches.
const MaxRows = 1024

// RowKind says what a row does to the table that a stream stands for; values as in Flink.
type RowKind uint8

// The row kinds, printed +I, -U, +U, -D.
const (
	Insert RowKind = iota
	UpdateBefore
	UpdateAfter
	Delete
)

// String is Flink's short form.
func (k RowKind) String() string {
	return [...]string{"+I", "-U", "+U", "-D"}[k&3]
}

// Retracts reports whether the row takes an earlier one back (-U, -D).
func (k RowKind) Retracts() bool { return k == UpdateBefore || k == Delete }

// Batch is up to MaxRows rows in columns. All columns have the same number of physical rows; a selection
// says which of them count. It is reused by its owner: whoever is lent one must Clone what it keeps.
type Batch struct {
	schema *Schema
	cols   []*Col
	n      int
	// sel lists the selected physical rows in ascending order. Invariant: when hasSel is false all n rows count.
	sel    []int
	hasSel bool
	// kinds has an entry a physical row, or is empty: all inserts.
	kinds []RowKind
}

// NewBatch returns an empty batch with a column for each field.
func NewBatch(s *Schema) *Batch {
	b := &Batch{schema: s, cols: make([]*Col, len(s.Fields))}
	for i, f := range s.Fields {
		b.cols[i] = NewCol(f.Type)
	}
	return b
}

// NewBatchOf returns a batch over the given columns without copying; each has n rows.
func NewBatchOf(s *Schema, n int, cols ...*Col) *Batch {
	return &Batch{schema: s, cols: cols, n: n}
}

// Schema names and types the columns.
func (b *Batch) Schema() *Schema { return b.schema }

// SetSchema renames the columns; types must be those the columns have.
func (b *Batch) SetSchema(s *Schema) { b.schema = s }

// Width is the number of columns.
func (b *Batch) Width() int { return len(b.cols) }

// Col returns column i.
func (b *Batch) Col(i int) *Col { return b.cols[i] }

// Cols returns all columns.
func (b *Batch) Cols() []*Col { return b.cols }

// Rows is the number of physical rows, selected or not.
func (b *Batch) Rows() int { return b.n }

// SetRows says how many physical rows the columns hold after they were appended to.
func (b *Batch) SetRows(n int) { b.n = n }

// Len is the number of selected rows.
func (b *Batch) Len() int {
	if b.hasSel {
		return len(b.sel)
	}
	return b.n
}

// Sel returns the selected physical rows in ascending order, or nil when all Rows() are selected.
// An empty selection is non-nil.
func (b *Batch) Sel() []int {
	if !b.hasSel {
		return nil
	}
	if b.sel == nil {
		return []int{}
	}
	return b.sel
}

// SetSel selects rows; nil selects all. The batch keeps a copy.
func (b *Batch) SetSel(sel []int) {
	b.hasSel = sel != nil
	b.sel = append(b.sel[:0], sel...)
}

// SelBuf returns an empty slice for building a selection in place, to be given to UseSel; it may alias the current Sel,
// which stays readable in ascending order while the new one is built behind it.
func (b *Batch) SelBuf() []int {
	if cap(b.sel) < b.n {
		ns := make([]int, len(b.sel), max(b.n, MaxRows))
		copy(ns, b.sel)
		b.sel = ns
	}
	return b.sel[:0]
}

// UseSel takes a selection that was built in SelBuf.
func (b *Batch) UseSel(sel []int) { b.sel, b.hasSel = sel, true }

// Kinds returns the row kind of each physical row, or nil: all inserts.
func (b *Batch) Kinds() []RowKind {
	if len(b.kinds) == 0 {
		return nil
	}
	return b.kinds
}

// Kind is the kind of physical row i.
func (b *Batch) Kind(i int) RowKind {
	if len(b.kinds) == 0 {
		return Insert
	}
	return b.kinds[i]
}

// SetKinds gives each physical row a kind; nil means all inserts. The batch keeps a copy.
func (b *Batch) SetKinds(k []RowKind) { b.kinds = append(b.kinds[:0], k...) }

// EnsureKinds materialises the kinds (missing ones are inserts), one for each of n physical rows, for writing.
func (b *Batch) EnsureKinds(n int) []RowKind {
	if len(b.kinds) < n {
		old := len(b.kinds)
		b.kinds = slices.Grow(b.kinds, n-old)[:n]
		clear(b.kinds[old:])
	}
	return b.kinds[:n]
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.n, b.hasSel = 0, false
	b.sel = b.sel[:0]
	b.kinds = b.kinds[:0]
	for _, c := range b.cols {
		c.Reset()
	}
}

// AppendBatch appends the selected rows of src, which has the same column types, with their kinds.
func (b *Batch) AppendBatch(src *Batch) { b.AppendRows(src, src.Sel()) }

// AppendRows appends the physical rows of src that sel lists (nil: all), with their kinds. b must have no selection.
func (b *Batch) AppendRows(src *Batch, sel []int) {
	n := len(sel)
	if sel == nil {
		n = src.n
	}
	if len(src.kinds) > 0 || len(b.kinds) > 0 {
		k := b.EnsureKinds(b.n + n)[b.n:]
		for j := range n {
			if sel != nil {
				k[j] = src.Kind(sel[j])
			} else {
				k[j] = src.Kind(j)
			}
		}
	}
	for i, c := range b.cols {
		c.AppendSel(src.cols[i], sel)
	}
	b.n += n
}

// Clone returns a compact deep copy: selected rows only.
func (b *Batch) Clone() *Batch {
	nb := NewBatch(b.schema)
	nb.AppendBatch(b)
	return nb
}

// MemSize is the bytes that the columns' buffers hold.
func (b *Batch) MemSize() int64 {
	var s int64
	for _, c := range b.cols {
		s += c.MemSize()
	}
	return s
}

// SetCol replaces column i by c, which has Rows() rows; the batch shares it. Views of a lent batch are made this way.
func (b *Batch) SetCol(i int, c *Col) { b.cols[i] = c }

// ViewOf makes b show the same rows and selection and kinds as src without copying values: columns are shared,
// the selection is b's own and may be narrowed. b's former columns are dropped.
func (b *Batch) ViewOf(src *Batch) {
	b.schema, b.n = src.schema, src.n
	b.cols = append(b.cols[:0], src.cols...)
	b.SetSel(src.Sel())
	b.SetKinds(src.kinds)
}

// TargetBytes is how many bytes of variable-length data a producer puts into a batch before it hands the batch on,
// full or not; it keeps int32 offsets far from overflow and a batch within a frame.
const TargetBytes = 1 << 20
