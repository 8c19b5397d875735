package window

import (
	"fmt"
	"math"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
)

// timeMax bounds the times that windows are computed for: far beyond any calendar, and far enough from overflow that sums of a time and a size
// need no check. Times beyond it count as it.
const timeMax = int64(1) << 61

// sizeMax is the largest size, slide or gap: over a hundred thousand years.
const sizeMax = int64(1) << 52

// clamp brings a time into the range that windows are computed in.
func clamp(t int64) int64 { return min(max(t, -timeMax), timeMax) }

// floor returns the largest a <= t with a = off + k*step. t is clamped.
func floor(t, step, off int64) int64 {
	r := t%step - off%step
	if r < 0 {
		r += step
	}
	if r < 0 {
		r += step
	}
	if r >= step {
		r -= step
	}
	return t - r
}

// shape is the arithmetic of aligned windows (TUMBLE, HOP, CUMULATE). A window is [end-length, end). Windows are unions of slices: a slice is [e-slice, e),
// named by its end e, and each time is in one slice.
type shape struct {
	kind                       graph.WindowKind
	size, slide, slice, offset int64
}

// newShape checks a windowing of an aligned kind.
func newShape(w graph.Windowing) (shape, error) {
	s := shape{kind: w.Kind, size: w.SizeMS, slide: w.SlideMS, offset: w.OffsetMS}
	if w.Kind == graph.Tumble {
		s.slide = s.size
	}
	if s.size <= 0 || s.size > sizeMax {
		return s, fmt.Errorf("%s: size of %d ms", w.Kind, s.size)
	}
	if s.slide <= 0 || s.slide > sizeMax {
		return s, fmt.Errorf("%s: slide or step of %d ms", w.Kind, s.slide)
	}
	if s.offset > sizeMax || s.offset < -sizeMax {
		return s, fmt.Errorf("%s: offset of %d ms", w.Kind, s.offset)
	}
	switch w.Kind {
	case graph.Tumble:
		s.slice = s.size
	case graph.Hop:
		s.slice = gcd(s.size, s.slide)
	case graph.Cumulate:
		if s.size%s.slide != 0 {
			return s, fmt.Errorf("CUMULATE: size of %d ms is not a multiple of the step of %d ms", s.size, s.slide)
		}
		s.slice = s.slide
	default:
		return s, fmt.Errorf("%s is not an aligned window", w.Kind)
	}
	return s, nil
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// sliceEnd names the slice that a clamped time is in.
func (s *shape) sliceEnd(t int64) int64 { return floor(t, s.slice, s.offset) + s.slice }

// ends returns the first and the last end of the windows that the slice is part of, with s.slide between them. ok is false for a slice in the gap
// between windows (HOP with a slide above its size).
func (s *shape) ends(slice int64) (first, last int64, ok bool) {
	switch s.kind {
	case graph.Cumulate:
		return slice, floor(slice-s.slice, s.size, s.offset) + s.size, true
	case graph.Tumble:
		return slice, slice, true
	default:
		// starts lie in [slice-size, slice-s.slice]
		lastStart := floor(slice-s.slice, s.slide, s.offset)
		firstStart := floor(slice-s.size+s.slide-1, s.slide, s.offset)
		return firstStart + s.size, lastStart + s.size, firstStart <= lastStart
	}
}

// nextEnd returns the first end above closed of the windows that the slice is part of; ok is false when there is none.
func (s *shape) nextEnd(slice, closed int64) (end int64, ok bool) {
	first, last, ok := s.ends(slice)
	if !ok || last <= closed {
		return 0, false
	}
	if first > closed {
		return first, true
	}
	// first <= closed < last: the difference cannot overflow, windows are at most sizeMax long
	return first + ((closed-first)/s.slide+1)*s.slide, true
}

// start returns where the window with the given end begins.
func (s *shape) start(end int64) int64 {
	if s.kind == graph.Cumulate {
		return floor(end-1, s.size, s.offset)
	}
	return end - s.size
}

// closedBy returns the time at and before which window ends are closed when the watermark is wm: a window fires when wm >= end - 1.
func closedBy(wm stream.Time) int64 {
	if wm == math.MaxInt64 {
		return wm
	}
	return wm + 1
}
