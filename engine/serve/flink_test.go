package serve

import (
	"testing"
	"time"
)

func TestRuntimeMeter(t *testing.T) {
	var m RuntimeMeter
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	if load := m.load(now, 10*time.Second); load != 0 {
		t.Errorf("load %g at the first look", load)
	}
	cores := float64(m.cores())
	if load := m.load(now.Add(10*time.Second), 15*time.Second); load != 0.5/cores {
		t.Errorf("5 of 10 seconds: load %g, want %g", load, 0.5/cores)
	}
	if load := m.load(now.Add(10*time.Second+time.Millisecond), 16*time.Second); load != 0.5/cores {
		t.Errorf("a moment later: load %g", load)
	}
	if load := m.load(now.Add(-time.Hour), 17*time.Second); load != 0.5/cores {
		t.Errorf("the clock set back: load %g", load)
	}
	if load := m.load(now.Add(-time.Hour+10*time.Second), 17*time.Second); load != 0 {
		t.Errorf("nothing done: load %g", load)
	}
	r := m.Read(time.Now())
	if r.HeapUsed <= 0 || r.HeapCommitted < r.HeapUsed || r.NonHeapUsed <= 0 || r.Threads < 2 || r.CPUTime < 0 {
		t.Errorf("%+v", r)
	}
}
