package window

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/stream"
)

// naive lists the windows of an aligned kind that hold t, by trying every start nearby.
func naive(w graph.Windowing, t int64) [][2]int64 {
	var out [][2]int64
	mod := func(a, m int64) bool { return ((a-w.OffsetMS)%m+m)%m == 0 }
	for start := t - w.SizeMS - w.SlideMS; start <= t; start++ {
		switch w.Kind {
		case graph.Tumble:
			if mod(start, w.SizeMS) && t < start+w.SizeMS {
				out = append(out, [2]int64{start, start + w.SizeMS})
			}
		case graph.Hop:
			if mod(start, w.SlideMS) && t < start+w.SizeMS {
				out = append(out, [2]int64{start, start + w.SizeMS})
			}
		case graph.Cumulate:
			for end := start + w.SlideMS; end <= start+w.SizeMS && mod(start, w.SizeMS); end += w.SlideMS {
				if t < end {
					out = append(out, [2]int64{start, end})
				}
			}
		}
	}
	return out
}

func drawWindowing(t *rapid.T) graph.Windowing {
	w := graph.Windowing{
		Kind:     rapid.SampledFrom([]graph.WindowKind{graph.Tumble, graph.Hop, graph.Cumulate}).Draw(t, "kind"),
		SizeMS:   rapid.Int64Range(1, 40).Draw(t, "size"),
		OffsetMS: rapid.Int64Range(-50, 50).Draw(t, "offset"),
	}
	switch w.Kind {
	case graph.Hop:
		w.SlideMS = rapid.Int64Range(1, 50).Draw(t, "slide")
	case graph.Cumulate:
		w.SlideMS = w.SizeMS
		w.SizeMS *= rapid.Int64Range(1, 4).Draw(t, "steps")
	}
	return w
}

func TestShapeEqualsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindowing(t)
		s, err := newShape(w)
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.Int64Range(-200, 200).Draw(t, "at")
		var got [][2]int64
		slice := s.sliceEnd(at)
		if at >= slice || at < slice-s.slice {
			t.Fatalf("time %d in slice ending at %d of %d", at, slice, s.slice)
		}
		for end, ok := s.nextEnd(slice, stream.MinTime); ok; end, ok = s.nextEnd(slice, end) {
			got = append(got, [2]int64{s.start(end), end})
		}
		want := naive(w, at)
		slices.SortFunc(want, func(a, b [2]int64) int { return int(a[1] - b[1]) })
		if !slices.Equal(got, want) {
			t.Fatalf("%+v at %d: windows %v, want %v", w, at, got, want)
		}
	})
}

func TestShapeExtremeTimes(t *testing.T) {
	for _, w := range []graph.Windowing{
		{Kind: graph.Tumble, SizeMS: 1000, OffsetMS: -7},
		{Kind: graph.Hop, SizeMS: sizeMax, SlideMS: sizeMax - 1, OffsetMS: sizeMax},
		{Kind: graph.Cumulate, SizeMS: 10_000, SlideMS: 1000, OffsetMS: 3},
	} {
		s, err := newShape(w)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{stream.MinTime, stream.MinTime + 1, -1, 0, 1, stream.MaxTime - 1, stream.MaxTime} {
			at = clamp(at)
			e := s.sliceEnd(at)
			if at >= e || at < e-s.slice {
				t.Errorf("%v: time %d in slice ending at %d", w, at, e)
			}
			if _, last, ok := s.ends(e); ok && last < e {
				t.Errorf("%v: slice %d has last end %d", w, e, last)
			}
		}
	}
}

func TestShapeRefuses(t *testing.T) {
	for _, w := range []graph.Windowing{
		{Kind: graph.Tumble},
		{Kind: graph.Tumble, SizeMS: -1},
		{Kind: graph.Hop, SizeMS: 10},
		{Kind: graph.Session, GapMS: 1},
		{Kind: graph.Cumulate, SizeMS: 10, SlideMS: 3},
		{Kind: graph.Tumble, SizeMS: sizeMax + 1},
		{Kind: graph.Tumble, SizeMS: 5, OffsetMS: sizeMax + 1},
	} {
		if _, err := newShape(w); err == nil {
			t.Errorf("%+v: no error", w)
		}
	}
}

// TestZone checks the conversions against the time package, around the changes of clocks.
func TestZone(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/Los_Angeles", "Australia/Lord_Howe", "Asia/Kolkata", "UTC", "America/St_Johns"} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		z := newZone(loc, true)
		localOf := func(ms int64) int64 {
			_, off := time.UnixMilli(ms).In(loc).Zone()
			return ms + int64(off)*1000
		}
		const minute = 60_000
		for _, day := range []string{"2021-03-14", "2021-11-07", "2021-03-28", "2021-10-31", "2021-04-04", "2021-10-03", "2021-06-01"} {
			d, _ := time.Parse("2006-01-02", day)
			from := d.UnixMilli() - 30*60*minute
			to := from + 60*60*minute
			for at := from; at < to; at += 15 * minute {
				if z.local(at) != localOf(at) {
					t.Fatalf("%s: local(%d) = %d, want %d", name, at, z.local(at), localOf(at))
				}
				low := localOf(at + 1)
				last := stream.MinTime
				for later := at; later < at+4*60*minute; later += 5 * minute {
					low = min(low, localOf(later+1), localOf(later+5*minute))
				}
				if got := z.progress(at); got != low-1 {
					t.Fatalf("%s: progress(%s) = %d, want %d", name, time.UnixMilli(at).UTC(), got, low-1)
				}
				local := at
				for u := local - 16*60*minute; u < local+16*60*minute; u += 5 * minute {
					if localOf(u) <= local {
						last = u
					}
					if localOf(u+5*minute-1) <= local {
						last = u + 5*minute - 1
					}
				}
				if got := z.instant(local); got != last {
					t.Fatalf("%s: instant(%d) = %d, want %d", name, local, got, last)
				}
			}
		}
	}
}
