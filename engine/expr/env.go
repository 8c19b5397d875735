package expr

import (
	"io"
	"math"
	"time"
)

// Env is what expressions take from outside. The zero Env is valid: UTC, no watermark, no clock and no randomness
// (functions that need those fail to compile then).
type Env struct {
	// Now is the wall clock.
	Now func() time.Time
	// Location is the session's time zone (table.local-time-zone); nil is UTC.
	Location *time.Location
	// Watermark is the current watermark in ms, math.MinInt64 when there is none; nil means none ever.
	Watermark func() int64
	// Rand is a source of random bytes.
	Rand io.Reader
}

// complete returns env with defaults filled in.
func (env *Env) complete() *Env {
	e := Env{}
	if env != nil {
		e = *env
	}
	if e.Location == nil {
		e.Location = time.UTC
	}
	if e.Watermark == nil {
		e.Watermark = func() int64 { return math.MinInt64 }
	}
	return &e
}
