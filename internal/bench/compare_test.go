package bench

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	a := &Report{Results: []Result{
		{Suite: "nexmark", Name: "q0", Status: StatusOK, EventsPerSecond: 100, EventsPerCoreSecond: 50, CPUNanosPerEvent: 20, P99: 4, PeakBytes: 100, Checksum: "a", VerifiedEvents: 5},
		{Suite: "nexmark", Name: "q5", Status: StatusUnsupported},
		{Suite: "nexmark", Name: "q7", Status: StatusOK, EventsPerCoreSecond: 10},
	}}
	b := &Report{Results: []Result{
		{Suite: "nexmark", Name: "q7", Status: StatusOK, EventsPerCoreSecond: 80},
		{Suite: "nexmark", Name: "q5", Status: StatusOK, EventsPerSecond: 9},
		{Suite: "nexmark", Name: "q0", Status: StatusOK, EventsPerSecond: 300, EventsPerCoreSecond: 100, CPUNanosPerEvent: 10, P99: 2, PeakBytes: 50, Checksum: "b", VerifiedEvents: 5},
		{Suite: "mqtt", Name: "filter", Status: StatusOK},
	}}
	pairs := Compare(a, b)
	var names []string
	for _, p := range pairs {
		names = append(names, p.Suite+" "+p.Name)
	}
	if got := strings.Join(names, ", "); got != "nexmark q0, nexmark q5, nexmark q7, mqtt filter" {
		t.Fatal(got)
	}
	if r := pairs[0].Ratios(); r != (Ratios{Events: 3, PerCore: 2, CPU: 0.5, P99: 0.5, Memory: 0.5}) || !pairs[0].Different() {
		t.Errorf("%+v, different %t", r, pairs[0].Different())
	}
	if r := pairs[1].Ratios(); r != (Ratios{}) {
		t.Errorf("what was not supported has ratios: %+v", r)
	}
	if pairs[3].A != nil || pairs[3].Different() {
		t.Errorf("%+v", pairs[3])
	}
	if mean, n := GeometricMean(pairs, func(r Ratios) float64 { return r.PerCore }); math.Abs(mean-4) > 1e-9 || n != 2 {
		t.Errorf("mean %g of %d, want 4 of 2", mean, n)
	}
	if mean, n := GeometricMean(nil, func(r Ratios) float64 { return r.PerCore }); mean != 0 || n != 0 {
		t.Errorf("mean %g of %d for nothing", mean, n)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	want := &Report{Version: "x", Machine: Machine{Model: "Pi"}, Results: []Result{{Suite: "mqtt", Name: "filter", Status: StatusOK, P99: 1.5}}}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(write("good.json", string(data)))
	if err != nil || got.Results[0] != want.Results[0] || got.Machine.Model != "Pi" {
		t.Errorf("%+v, %v", got, err)
	}
	for name, text := range map[string]string{"text": "hello", "empty": "{}", "list": "[]"} {
		if _, err := Load(write(name, text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}
