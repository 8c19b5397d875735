package agg

import (
	"encoding/binary"

	"github.com/bramble-stream/bramble/engine/state/enc"
	"github.com/bramble-stream/bramble/engine/vec"
)

// edgeState is a value as enc.Word has it.
type edgeState struct {
	w   uint64
	set bool
}

// edge is FIRST_VALUE and LAST_VALUE of kinds that fit a word. NULLs are passed over, as in Flink.
type edge struct {
	arg  int
	last bool
	st   []edgeState
}

var _ acc = (*edge)(nil)

func newEdge(sp Spec) acc {
	last := sp.Func == "LAST_VALUE"
	if enc.IsWord(sp.ArgTypes[0].Kind) {
		return &edge{arg: sp.Args[0], last: last}
	}
	return &edgeBlob{arg: sp.Args[0], last: last}
}

func (a *edge) resize(groups int) { a.st = grow(a.st, groups) }

func (a *edge) add(cols []*vec.Col, sel []int, groups []int32) { a.fold(cols[a.arg], sel, groups) }

// retract does nothing: newAcc makes a list where rows can be taken back.
func (a *edge) retract([]*vec.Col, []int, []int32) {}

func (a *edge) fold(c *vec.Col, sel []int, groups []int32) {
	for k, g := range groups {
		if s := &a.st[g]; a.last || !s.set {
			if i := sel[k]; !c.IsNull(i) {
				*s = edgeState{enc.Word(c, i), true}
			}
		}
	}
}

func (a *edge) merge(dst []int32, other acc, src []int32) {
	o := other.(*edge)
	for k, g := range dst {
		if n := o.st[src[k]]; n.set && (a.last || !a.st[g].set) {
			a.st[g] = n
		}
	}
}

func (a *edge) partials(cols []*vec.Col, sel []int, groups []int32) { a.fold(cols[0], sel, groups) }

func (a *edge) appendPartial(dst []*vec.Col, groups []int32) { a.result(dst, groups) }

func (a *edge) result(dst []*vec.Col, groups []int32) {
	for _, c := range dst {
		for _, g := range groups {
			if s := a.st[g]; s.set {
				enc.AppendWord(c, s.w)
			} else {
				c.AppendNull()
			}
		}
	}
}

func (a *edge) encode(dst []byte, g int32) []byte {
	s := a.st[g]
	if !s.set {
		return append(dst, 0)
	}
	return binary.LittleEndian.AppendUint64(append(dst, 1), s.w)
}

func (a *edge) decode(src []byte, g int32) ([]byte, error) {
	a.st[g] = edgeState{}
	switch {
	case len(src) >= 1 && src[0] == 0:
		return src[1:], nil
	case len(src) >= 9 && src[0] == 1:
		a.st[g] = edgeState{binary.LittleEndian.Uint64(src[1:]), true}
		return src[9:], nil
	}
	return nil, enc.ErrCorrupt
}

func (a *edge) clear(g int32)   { a.st[g] = edgeState{} }
func (a *edge) memBytes() int64 { return 16 * int64(cap(a.st)) }
func (a *edge) reset()          { a.st = a.st[:0] }

// edgeBlob is FIRST_VALUE and LAST_VALUE of all other kinds.
type edgeBlob struct {
	arg  int
	last bool
	v    blobs
	buf  []byte
}

var _ acc = (*edgeBlob)(nil)

func (a *edgeBlob) resize(groups int) { a.v.resize(groups) }

func (a *edgeBlob) add(cols []*vec.Col, sel []int, groups []int32) { a.fold(cols[a.arg], sel, groups) }

// retract does nothing: newAcc makes a list where rows can be taken back.
func (a *edgeBlob) retract([]*vec.Col, []int, []int32) {}

func (a *edgeBlob) fold(c *vec.Col, sel []int, groups []int32) {
	for k, g := range groups {
		if a.last || a.v.at[g].n == 0 {
			if i := sel[k]; !c.IsNull(i) {
				a.v.set(g, loadBlob(c, i, &a.buf))
			}
		}
	}
}

func (a *edgeBlob) merge(dst []int32, other acc, src []int32) {
	o := other.(*edgeBlob)
	for k, g := range dst {
		if b, ok := o.v.get(src[k]); ok && (a.last || a.v.at[g].n == 0) {
			a.v.set(g, b)
		}
	}
}

func (a *edgeBlob) partials(cols []*vec.Col, sel []int, groups []int32) { a.fold(cols[0], sel, groups) }
func (a *edgeBlob) appendPartial(dst []*vec.Col, groups []int32)        { a.result(dst, groups) }
func (a *edgeBlob) result(dst []*vec.Col, groups []int32)               { blobResult(&a.v, dst, groups) }

func (a *edgeBlob) encode(dst []byte, g int32) []byte { return blobEncode(&a.v, dst, g) }

func (a *edgeBlob) decode(src []byte, g int32) ([]byte, error) { return blobDecode(&a.v, src, g) }
func (a *edgeBlob) clear(g int32)                              { a.v.clear(g) }
func (a *edgeBlob) memBytes() int64                            { return a.v.memBytes() }
func (a *edgeBlob) reset()                                     { a.v.reset() }

// concat is LISTAGG without rows taken back: the text so far. NULLs are left out.
type concat struct {
	arg int
	sep string
	v   blobs
}

var _ acc = (*concat)(nil)

func newConcat(sp Spec) acc { return &concat{arg: sp.Args[0], sep: sp.Separator} }

func (a *concat) resize(groups int) { a.v.resize(groups) }

func (a *concat) add(cols []*vec.Col, sel []int, groups []int32) { a.fold(cols[a.arg], sel, groups) }

// retract does nothing: newAcc makes a list where rows can be taken back.
func (a *concat) retract([]*vec.Col, []int, []int32) {}

func (a *concat) fold(c *vec.Col, sel []int, groups []int32) {
	for k, g := range groups {
		if i := sel[k]; !c.IsNull(i) {
			a.v.add(g, a.sep, c.Bytes(i))
		}
	}
}

func (a *concat) merge(dst []int32, other acc, src []int32) {
	o := other.(*concat)
	for k, g := range dst {
		if b, ok := o.v.get(src[k]); ok {
			a.v.add(g, a.sep, b)
		}
	}
}

func (a *concat) partials(cols []*vec.Col, sel []int, groups []int32) { a.fold(cols[0], sel, groups) }
func (a *concat) appendPartial(dst []*vec.Col, groups []int32)        { a.result(dst, groups) }
func (a *concat) result(dst []*vec.Col, groups []int32)               { blobResult(&a.v, dst, groups) }

func (a *concat) encode(dst []byte, g int32) []byte { return blobEncode(&a.v, dst, g) }

func (a *concat) decode(src []byte, g int32) ([]byte, error) { return blobDecode(&a.v, src, g) }
func (a *concat) clear(g int32)                              { a.v.clear(g) }
func (a *concat) memBytes() int64                            { return a.v.memBytes() }
func (a *concat) reset()                                     { a.v.reset() }
