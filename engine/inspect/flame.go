package inspect

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/bramble-stream/bramble/internal/sorting"
)

// Frame is a function in a flame graph: Value are the milliseconds of CPU time in it and in what it called.
type Frame struct {
	Name     string   `json:"name"`
	Value    int64    `json:"value"`
	Children []*Frame `json:"children"`
}

// profileBytesMax bounds an unpacked profile.
const profileBytesMax = 64 << 20

// errProfile says that a profile is none.
var errProfile = errors.New("inspect: not a CPU profile")

// The fields of pprof's messages that matter here.
const (
	fieldSample, fieldLocation, fieldFunction, fieldString = 2, 4, 5, 6
	// of a sample
	fieldLocationID, fieldValue, fieldLabel = 1, 2, 3
	// of a label
	fieldKey, fieldText = 1, 2
	// of a location, of its lines, and of a function
	fieldID, fieldLine, fieldName = 1, 4, 2
)

type sample struct {
	// locations has the innermost first.
	locations []uint64
	// nanos is CPU time, the second value.
	nanos int64
	// labels are pairs of texts, by their numbers: key and value.
	labels []uint64
}

type location struct {
	id uint64
	// functions has the innermost first: more than one where some were inlined.
	functions []uint64
}

// The labels of goroutines that run tasks, for FlameOf.
const (
	LabelJob    = "job"
	LabelVertex = "vertex"
	LabelTask   = "task"
)

// Flame makes a flame graph of a CPU profile in the format of pprof. Children have the largest first.
func Flame(data []byte) (*Frame, error) { return FlameOf(data, nil) }

// FlameOf makes one of the samples of goroutines that have all of these labels.
func FlameOf(data []byte, labels map[string]string) (*Frame, error) {
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProfile, err)
	}
	raw, err := io.ReadAll(io.LimitReader(zr, profileBytesMax))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProfile, err)
	}
	var samples []sample
	locations, functions := map[uint64][]uint64{}, map[uint64]uint64{}
	var texts []string
	err = fields(raw, func(field int32, bytes []byte, _ uint64) error {
		switch field {
		case fieldSample:
			s, err := readSample(bytes)
			samples = append(samples, s)
			return err
		case fieldLocation:
			l, err := readLocation(bytes)
			locations[l.id] = l.functions
			return err
		case fieldFunction:
			var id, name uint64
			err := fields(bytes, func(f int32, _ []byte, v uint64) error {
				switch f {
				case fieldID:
					id = v
				case fieldName:
					name = v
				}
				return nil
			})
			functions[id] = name
			return err
		case fieldString:
			texts = append(texts, string(bytes))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	name := func(function uint64) string {
		if i := functions[function]; i < uint64(len(texts)) && i > 0 {
			return texts[i]
		}
		return "?"
	}
	text := func(i uint64) string {
		if i < uint64(len(texts)) {
			return texts[i]
		}
		return ""
	}
	samples = slices.DeleteFunc(samples, func(s sample) bool {
		has := 0
		for l := 0; l+1 < len(s.labels); l += 2 {
			if want, ok := labels[text(s.labels[l])]; ok && want == text(s.labels[l+1]) {
				has++
			}
		}
		return has < len(labels)
	})
	return build(samples, locations, name), nil
}

// Add adds another graph of the same kind.
func (f *Frame) Add(more *Frame) {
	f.Value += more.Value
	for _, c := range more.Children {
		f.child(c.Name).Add(c)
	}
	slices.SortStableFunc(f.Children, func(a, b *Frame) int { return cmp.Compare(b.Value, a.Value) })
	if f.Children == nil {
		f.Children = []*Frame{}
	}
}

func build(samples []sample, locations map[uint64][]uint64, name func(uint64) string) *Frame {
	root := &Frame{Name: "all"}
	for _, s := range samples {
		at := root
		at.Value += s.nanos
		for _, l := range slices.Backward(s.locations) {
			for _, f := range slices.Backward(locations[l]) {
				at = at.child(name(f))
				at.Value += s.nanos
			}
		}
	}
	root.finish()
	return root
}

func (f *Frame) child(name string) *Frame {
	for _, c := range f.Children {
		if c.Name == name {
			return c
		}
	}
	c := &Frame{Name: name}
	f.Children = append(f.Children, c)
	return c
}

// finish makes nanoseconds milliseconds, and sorts.
func (f *Frame) finish() {
	f.Value /= 1e6
	sorting.StableBy(f.Children, func(a, b *Frame) int { return cmp.Compare(b.Value, a.Value) })
	if f.Children == nil {
		f.Children = []*Frame{}
	}
	for _, c := range f.Children {
		c.finish()
	}
}

func readSample(data []byte) (sample, error) {
	var s sample
	var values []uint64
	err := fields(data, func(f int32, packed []byte, v uint64) error {
		switch f {
		case fieldLocationID:
			return numbers(&s.locations, packed, v)
		case fieldValue:
			return numbers(&values, packed, v)
		case fieldLabel:
			var key, text uint64
			err := fields(packed, func(f int32, _ []byte, v uint64) error {
				switch f {
				case fieldKey:
					key = v
				case fieldText:
					text = v
				}
				return nil
			})
			s.labels = append(s.labels, key, text)
			return err
		}
		return nil
	})
	if len(values) > 1 {
		s.nanos = int64(values[1]) //nolint:gosec // a time
	}
	return s, err
}

func readLocation(data []byte) (location, error) {
	var l location
	err := fields(data, func(f int32, bytes []byte, v uint64) error {
		switch f {
		case fieldID:
			l.id = v
		case fieldLine:
			return fields(bytes, func(f int32, _ []byte, v uint64) error {
				if f == fieldID {
					l.functions = append(l.functions, v)
				}
				return nil
			})
		}
		return nil
	})
	return l, err
}

// numbers adds a repeated field's numbers: packed ones, or one that stands alone.
func numbers(to *[]uint64, packed []byte, alone uint64) error {
	if packed == nil {
		*to = append(*to, alone)
		return nil
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return errProfile
		}
		*to = append(*to, v)
		packed = packed[n:]
	}
	return nil
}

// fields calls f for each field of a message: with bytes, or with a number and nil.
func fields(data []byte, f func(field int32, bytes []byte, number uint64) error) error {
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errProfile
		}
		data = data[n:]
		var err error
		switch kind {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(data); n >= 0 {
				err = f(int32(field), nil, v)
			}
		case protowire.BytesType:
			var v []byte
			if v, n = protowire.ConsumeBytes(data); n >= 0 {
				err = f(int32(field), v, 0) // not nil, also when it is empty
			}
		default:
			n = protowire.ConsumeFieldValue(field, kind, data)
		}
		if n < 0 {
			return errProfile
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
