package rank

import (
	"time"

	"github.com/bramble-stream/bramble/engine/stream"
)

// zone says which local time is over when event time is an instant: windows over TIMESTAMP_LTZ have local bounds. The zero zone leaves times as
// they are.
type zone struct{ loc *time.Location }

// timeMax keeps sums of times and zone offsets from overflowing: some 140 million years.
const timeMax = 1 << 62

func newZone(loc *time.Location, ltz bool) zone {
	if !ltz || loc == time.UTC {
		return zone{}
	}
	return zone{loc}
}

// progress returns the local time that is over for good when the watermark is wm: all instants after wm have a later local time. When clocks are
// about to go back that is the time that they go back to, less one.
func (z zone) progress(wm stream.Time) stream.Time {
	if z.loc == nil || wm == stream.MinTime || wm == stream.MaxTime {
		return wm
	}
	next := time.UnixMilli(min(max(wm, -timeMax), timeMax) + 1).In(z.loc)
	_, offset := next.Zone()
	low := next.UnixMilli() + int64(offset)*1000
	if _, to := next.ZoneBounds(); !to.IsZero() && to.Sub(next) < 48*time.Hour {
		_, offset = to.In(z.loc).Zone()
		low = min(low, to.UnixMilli()+int64(offset)*1000)
	}
	return low - 1
}
