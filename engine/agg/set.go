package agg

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/invariants"
)

// Set holds the accumulators of several aggregates for dense groups 0..Groups()-1. It is used by one goroutine.
//
// Order matters to FIRST_VALUE, LAST_VALUE and LISTAGG only, and is the order of calls: what is added, or merged from elsewhere, later
// is newer. Methods that take groups take one a row; a group may occur several times, save in AppendPartial, where each is one row.
type Set struct {
	specs   []Spec
	retract bool
	nodes   []node
	groups  int

	// Scratch, valid within a call.
	fsel    []int
	fgroups []int32
	iota    []int
	// spare holds one group while it is merged from bytes.
	spare *Set
}

// node is one accumulator with the aggregates that it answers: several when they share a distinct set.
type node struct {
	acc    acc
	filter int
	specs  []int
	// parts are the partial columns of specs. rbuf and pbuf are scratch for picking columns.
	parts      []int
	rbuf, pbuf []*vec.Col
}

// acc is the accumulators of one node. Every method takes the same meaning of groups as Set's; sel is never nil; resize has been called.
type acc interface {
	resize(groups int)
	add(cols []*vec.Col, sel []int, groups []int32)
	retract(cols []*vec.Col, sel []int, groups []int32)
	// merge combines src of other, newer, into dst; other has the same dynamic type.
	merge(dst []int32, other acc, src []int32)
	// partials and appendPartial take the columns of the node's specs one after the other; rows of partials are newer.
	partials(cols []*vec.Col, sel []int, groups []int32)
	appendPartial(dst []*vec.Col, groups []int32)
	// result appends to dst, one column a spec.
	result(dst []*vec.Col, groups []int32)
	encode(dst []byte, g int32) []byte
	// decode replaces g, which may hold anything; after an error g is as cleared.
	decode(src []byte, g int32) ([]byte, error)
	clear(g int32)
	memBytes() int64
	reset()
}

// New makes the accumulators of specs. With retract they can take rows back, which costs MIN, MAX, FIRST_VALUE, LAST_VALUE and
// LISTAGG the memory of all values of a group.
func New(specs []Spec, retract bool) (*Set, error) {
	s := &Set{specs: specs, retract: retract}
	shared := map[string]int{}
	// others are the arguments whose sets also aggregates other than COUNT go over.
	others := map[string]bool{}
	for _, sp := range specs {
		if isDistinct(sp) && (sp.Func != "COUNT" || retract) {
			others[keyOf(sp.Args, noFilter)] = true
		}
	}
	for i, sp := range specs {
		if err := Check(sp); err != nil {
			return nil, fmt.Errorf("aggregate %d: %w", i, err)
		}
		if !isDistinct(sp) {
			s.nodes = append(s.nodes, node{acc: newAcc(sp, retract), filter: sp.Filter, specs: []int{i}})
			continue
		}
		s.addDistinct(i, sp, shared, others)
	}
	s.placeParts()
	return s, nil
}

// noFilter in a key says that a set is for all filters.
const noFilter = -2

func keyOf(args []int, filter int) string { return fmt.Sprint(args, filter) }

// addDistinct makes the set of a DISTINCT aggregate, unless one before it has made it.
func (s *Set) addDistinct(i int, sp Spec, shared map[string]int, others map[string]bool) {
	key := keyOf(sp.Args, noFilter)
	counts := !others[key]
	if !counts {
		key = keyOf(sp.Args, sp.Filter)
	}
	at, ok := shared[key]
	if !ok || counts && len(s.nodes[at].specs) == countedMax {
		at = len(s.nodes)
		shared[key] = at
		n := node{acc: newDistinct(sp), filter: sp.Filter}
		if counts {
			n = node{acc: newCounted(sp), filter: -1}
		}
		s.nodes = append(s.nodes, n)
	}
	n := &s.nodes[at]
	n.specs = append(n.specs, i)
	switch a := n.acc.(type) {
	case *counted:
		a.addSpec(sp)
	case *distinct:
		a.addInner(sp, s.retract)
	}
}

// newAcc makes the accumulator of a checked spec, DISTINCT aside.
func newAcc(sp Spec, retract bool) acc {
	switch sp.Func {
	case "COUNT":
		return &count{args: sp.Args}
	case "SUM", "AVG":
		return newSum(sp)
	case "MIN", "MAX":
		if retract {
			return newExtremes(sp)
		}
		return newExtreme(sp)
	case "FIRST_VALUE", "LAST_VALUE":
		if retract {
			return newList(sp)
		}
		return newEdge(sp)
	case "LISTAGG":
		if retract {
			return newList(sp)
		}
		return newConcat(sp)
	default:
		return newVariance(sp, retract)
	}
}

// Specs are what New was given.
func (s *Set) Specs() []Spec { return s.specs }

// Groups is the number of groups.
func (s *Set) Groups() int { return s.groups }

// Resize makes room for groups 0..n-1; new ones are empty. n only grows; Reset starts over.
func (s *Set) Resize(n int) {
	if n <= s.groups {
		return
	}
	s.groups = n
	for i := range s.nodes {
		s.nodes[i].acc.resize(n)
	}
}

// Add adds rows: groups[k] is the group of row sel[k] (sel nil: row k) of cols, which the specs' Args and Filter index.
func (s *Set) Add(cols []*vec.Col, sel []int, groups []int32) { s.apply(cols, sel, groups, false) }

// Retract takes rows back. The set was made with retract; rows that were never added leave counts below zero, until they are.
func (s *Set) Retract(cols []*vec.Col, sel []int, groups []int32) {
	invariants.Assertf(s.retract, "rows taken back from aggregates %v made without retract", s.specs)
	s.apply(cols, sel, groups, true)
}

func (s *Set) apply(cols []*vec.Col, sel []int, groups []int32, back bool) {
	if len(groups) == 0 {
		return
	}
	sel = s.sel(sel, len(groups))
	filtered := -1
	for i := range s.nodes {
		n := &s.nodes[i]
		rows, gs := sel, groups
		if n.filter >= 0 {
			if n.filter != filtered {
				s.filter(cols[n.filter], sel, groups)
				filtered = n.filter
			}
			rows, gs = s.fsel, s.fgroups
		}
		if back {
			n.acc.retract(cols, rows, gs)
		} else {
			n.acc.add(cols, rows, gs)
		}
	}
}

// sel returns sel, or 0..n-1 when it is nil.
func (s *Set) sel(sel []int, n int) []int {
	if sel != nil {
		return sel[:n]
	}
	for len(s.iota) < n {
		s.iota = append(s.iota, len(s.iota))
	}
	return s.iota[:n]
}

func (s *Set) filter(c *vec.Col, sel []int, groups []int32) {
	s.fsel, s.fgroups = s.fsel[:0], s.fgroups[:0]
	if c.Len() == 0 || c.Kind() != vec.Bool {
		return
	}
	bits, valid := c.Bools(), c.Valid()
	for k, i := range sel {
		if bits.Get(i) && (valid == nil || valid.Get(i)) {
			s.fsel = append(s.fsel, i)
			s.fgroups = append(s.fgroups, groups[k])
		}
	}
}

// PartialTypes are the columns of AppendPartial and AddPartial: those of each spec one after the other.
func (s *Set) PartialTypes() []vec.Type {
	var ts []vec.Type
	for _, sp := range s.specs {
		ts = append(ts, PartialTypes(sp)...)
	}
	return ts
}

// placeParts notes which partial columns belong to each node.
func (s *Set) placeParts() {
	first := make([]int, len(s.specs)+1)
	for i, sp := range s.specs {
		first[i+1] = first[i] + len(PartialTypes(sp))
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		for _, j := range n.specs {
			for at := first[j]; at < first[j+1]; at++ {
				n.parts = append(n.parts, at)
			}
		}
	}
}

// pick returns the listed columns in buf.
func pick(buf *[]*vec.Col, cols []*vec.Col, which []int) []*vec.Col {
	*buf = (*buf)[:0]
	for _, i := range which {
		*buf = append(*buf, cols[i])
	}
	return *buf
}

// AddPartial merges rows that AppendPartial made, of another set of the same specs.
func (s *Set) AddPartial(cols []*vec.Col, sel []int, groups []int32) {
	if len(groups) == 0 {
		return
	}
	sel = s.sel(sel, len(groups))
	for i := range s.nodes {
		n := &s.nodes[i]
		n.acc.partials(pick(&n.pbuf, cols, n.parts), sel, groups)
	}
}

// AppendPartial appends one row a group to dst, columns of PartialTypes. The set was made without retract.
func (s *Set) AppendPartial(dst []*vec.Col, groups []int32) {
	for i := range s.nodes {
		n := &s.nodes[i]
		n.acc.appendPartial(pick(&n.pbuf, dst, n.parts), groups)
	}
}

// AppendResult appends one row a group to dst, one column a spec, of its Type.
func (s *Set) AppendResult(dst []*vec.Col, groups []int32) {
	for i := range s.nodes {
		n := &s.nodes[i]
		n.acc.result(pick(&n.rbuf, dst, n.specs), groups)
	}
}

// Merge combines group src[k] of other, which is newer and was made with the same specs, into group dst[k]; other is not changed.
// other may be s itself, with src and dst different groups, which is slower.
func (s *Set) Merge(dst []int32, other *Set, src []int32) {
	if s == other {
		s.mergeOwn(dst, src)
		return
	}
	for i := range s.nodes {
		s.nodes[i].acc.merge(dst, other.nodes[i].acc, src)
	}
}

// mergeOwn goes by way of the spare set: lists of one store cannot be walked and extended at a time.
func (s *Set) mergeOwn(dst, src []int32) {
	if s.spare == nil {
		s.spare = s.like()
	}
	one := []int32{0}
	for k := range dst {
		s.spare.Reset()
		s.spare.Resize(1)
		s.spare.Merge(one, s, src[k:k+1])
		s.Merge(dst[k:k+1], s.spare, one)
	}
}

// like returns an empty set of the same specs.
func (s *Set) like() *Set {
	n, err := New(s.specs, s.retract)
	if err != nil {
		invariants.Failf("specs that made a set do not make another: %v", err)
	}
	return n
}

// Encode appends group g in a form that Decode and a Merger read, the same on every architecture.
func (s *Set) Encode(dst []byte, g int32) []byte {
	for i := range s.nodes {
		dst = s.nodes[i].acc.encode(dst, g)
	}
	return dst
}

// Decode replaces group g by what Encode wrote, and returns what follows it in src. After an error the group is empty.
func (s *Set) Decode(src []byte, g int32) ([]byte, error) {
	var err error
	for i := range s.nodes {
		if src, err = s.nodes[i].acc.decode(src, g); err != nil {
			s.Clear(g)
			return nil, fmt.Errorf("decode %s: %w", s.specs[s.nodes[i].specs[0]], err)
		}
	}
	return src, nil
}

// Clear empties group g.
func (s *Set) Clear(g int32) {
	for i := range s.nodes {
		s.nodes[i].acc.clear(g)
	}
}

// MemBytes is the memory that the accumulators hold, by capacity.
func (s *Set) MemBytes() int64 {
	var b int64
	for i := range s.nodes {
		b += s.nodes[i].acc.memBytes()
	}
	return b
}

// Reset drops all groups and keeps the memory.
func (s *Set) Reset() {
	s.groups = 0
	for i := range s.nodes {
		s.nodes[i].acc.reset()
	}
}
