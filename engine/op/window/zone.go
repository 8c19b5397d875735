package window

import (
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
)

// zone converts between instants (UTC ms) and local wall-clock time (ms as if it were UTC). Windows over TIMESTAMP_LTZ are computed in local time, so
// that a day is a day also when the clocks change; the zero zone leaves times as they are.
type zone struct {
	loc *time.Location
	// [from, to) is where offset holds. Invariant: from == to when nothing is cached.
	from, to, offset int64
}

// newZone returns the zone for loc; nil or UTC convert nothing.
func newZone(loc *time.Location, ltz bool) zone {
	if !ltz || loc == nil || loc == time.UTC {
		return zone{}
	}
	return zone{loc: loc}
}

// look makes the cache hold for t.
func (z *zone) look(t int64) {
	at := time.UnixMilli(clamp(t)).In(z.loc)
	_, seconds := at.Zone()
	from, to := at.ZoneBounds()
	z.from, z.to, z.offset = stream.MinTime, stream.MaxTime, int64(seconds)*1000
	if !from.IsZero() {
		z.from = from.UnixMilli()
	}
	if !to.IsZero() {
		z.to = to.UnixMilli()
	}
}

// local returns the local time of an instant.
func (z *zone) local(t int64) int64 {
	t = clamp(t)
	if z.loc == nil {
		return t
	}
	if t < z.from || t >= z.to {
		z.look(t)
	}
	return t + z.offset
}

// progress returns the local time that is over for good when the watermark is wm: all instants after wm have a later local time. When clocks are about
// to go back that is the time that they go back to, less one.
func (z *zone) progress(wm stream.Time) stream.Time {
	if z.loc == nil || wm == stream.MinTime || wm == stream.MaxTime {
		return wm
	}
	next := clamp(wm) + 1
	low := z.local(next)
	to := z.to
	if to != stream.MaxTime && to-next < 48*3600*1000 {
		low = min(low, z.local(to))
	}
	return low - 1
}

// instant returns the last instant whose local time is not above the given one: after it, that local time is over for good.
func (z *zone) instant(local int64) int64 {
	local = clamp(local)
	if z.loc == nil {
		return local
	}
	const day = 24 * 3600 * 1000
	z.look(local - day)
	early, bound := z.offset, z.to
	z.look(local + day)
	late := z.offset
	if t := local - late; t >= z.from {
		return t
	}
	if t := local - early; t < bound {
		return t
	}
	return bound - 1 // the local time was skipped when clocks went forward at bound
}

// steady reports whether the offset is the same from lo to hi.
func (z *zone) steady(lo, hi int64) bool {
	if z.loc == nil {
		return true
	}
	z.local(lo)
	return clamp(hi) < z.to
}
