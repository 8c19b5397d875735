package optest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/bramble-stream/bramble/engine/vec"
)

// Selection says which physical rows of input batches are selected.
type Selection uint8

// The selections.
const (
	// AllRows has no selection vector.
	AllRows Selection = iota
	// RandomRows leaves copies of other rows unselected between the selected ones.
	RandomRows
	// PoisonedRows has unselected rows that hold NULLs and extreme values: whoever touches them overflows or crashes.
	PoisonedRows
)

// Restore says when the operator is replaced by one restored from a snapshot.
type Restore uint8

// The restores.
const (
	NoRestore Restore = iota
	// AtBarriers restores at BarrierEvents, Always also after each batch and event.
	AtBarriers
	Always
)

// Config is one way to run an operator. The result must not depend on it.
type Config struct {
	// Batch is the most rows in an input batch.
	Batch   int
	Sel     Selection
	Restore Restore
	// Nulls materialises validity bitmaps where nothing is NULL; Dict encodes STRING columns with dictionaries.
	Nulls, Dict bool
	// Tasks is how many instances share the keys (cases with Keys only); Rescale changes their number at each restore.
	Tasks   int
	Rescale bool
	// MemoryBytes is the operator's budget.
	MemoryBytes int64
	// Pebble keeps state in Pebble instead of in memory.
	Pebble bool
	Seed   uint64
}

// String names the config in test output.
func (c Config) String() string {
	return fmt.Sprintf("batch=%d,sel=%d,restore=%d,nulls=%v,dict=%v,tasks=%d,rescale=%v,memory=%d,pebble=%v", c.Batch, c.Sel, c.Restore,
		c.Nulls, c.Dict, c.Tasks, c.Rescale, c.MemoryBytes, c.Pebble)
}

// Plenty and Scarce are memory budgets: nothing is spilled, everything is.
const (
	Plenty = 64 << 20
	Scarce = 1
)

// Default is the plainest Config.
func Default() Config { return Config{Batch: vec.MaxRows, Tasks: 1, MemoryBytes: Plenty} }

// Configs returns the matrix: every batch size with every selection and every restore, the other dimensions spread over them so that each
// pair occurs.
func Configs() []Config {
	var all []Config
	for b, batch := range []int{1, 2, 7, vec.MaxRows} {
		for _, sel := range []Selection{AllRows, RandomRows, PoisonedRows} {
			for _, restore := range []Restore{NoRestore, AtBarriers, Always} {
				for v := range 2 {
					k := len(all)
					c := Config{
						Batch: batch, Sel: sel, Restore: restore, Nulls: (k+b)%3 == 0, Dict: v == 1, Tasks: 1 + (k/2)%3,
						Rescale: (k+v)%5 < 2, MemoryBytes: Plenty, Pebble: k%8 == 3, Seed: uint64(k),
					}
					if (k/3+v)%3 == 0 {
						c.MemoryBytes = Scarce
					}
					all = append(all, c)
				}
			}
		}
	}
	return all
}

// dress gives the plain rows of b the form that the config asks for.
func (c Config) dress(b *vec.Batch, rng *rand.Rand) *vec.Batch {
	out := b
	if c.Sel != AllRows {
		out = c.spread(b, rng)
	}
	for i, col := range out.Cols() {
		if c.Dict && col.Kind() == vec.String {
			// a new identity each time: the dictionary is a new one each time
			out.SetCol(i, Encode(col, rng.Uint64()))
		}
		if c.Nulls {
			out.Col(i).EnsureValid()
		}
	}
	return out
}

// spread puts unselected rows between those of b.
func (c Config) spread(b *vec.Batch, rng *rand.Rand) *vec.Batch {
	out := vec.NewBatch(b.Schema())
	sel := []int{}
	for i := range b.Rows() {
		for rng.IntN(3) == 0 {
			if c.Sel == RandomRows {
				out.AppendRows(b, []int{rng.IntN(b.Rows())})
			} else {
				appendPoison(out, rng.IntN(2) == 0)
			}
		}
		sel = append(sel, out.Rows())
		out.AppendRows(b, []int{i})
	}
	out.SetSel(slices.Clip(sel))
	return out
}

// appendPoison appends a row of NULLs or of extreme values.
func appendPoison(b *vec.Batch, null bool) {
	for _, col := range b.Cols() {
		switch k := col.Kind(); {
		case null || k.IsNested():
			col.AppendNull()
		case k.IsBinaryLike():
			col.AppendString("\xff poison")
		case k == vec.Bool:
			col.AppendBool(true)
		case k == vec.Float32:
			vec.AppendValue(col, float32(1e38))
		case k == vec.Float64:
			vec.AppendValue(col, 1e308)
		case k == vec.Decimal:
			vec.AppendValue(col, vec.Num{})
		default:
			extreme := [...]string{1: "-128", 2: "-32768", 4: "-2147483648", 8: "-9223372036854775808"}[k.Width()]
			if err := appendInt(col, extreme); err != nil {
				panic(err)
			}
		}
	}
	n := b.Rows()
	if b.Kinds() != nil {
		b.EnsureKinds(n + 1)[n] = vec.Delete
	}
	b.SetRows(n + 1)
}
