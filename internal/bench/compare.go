package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
)

// Load reads a report that `bramble bench -o json` has written.
func Load(path string) (*Report, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s is no report of `bramble bench -o json`: %w", path, err)
	}
	if len(r.Results) == 0 {
		return nil, fmt.Errorf("%s has no results", path)
	}
	return &r, nil
}

// Pair is what two reports have of one benchmark. A or B is nil where a report has none.
type Pair struct {
	Suite string  `json:"suite"`
	Name  string  `json:"name"`
	A     *Result `json:"a,omitempty"`
	B     *Result `json:"b,omitempty"`
}

// Ratios are B's figures by A's, 0 where one of them is not known: above 1, B has more.
type Ratios struct {
	Events  float64 `json:"events_per_s,omitempty"`
	PerCore float64 `json:"events_per_core_s,omitempty"`
	CPU     float64 `json:"cpu_ns_per_event,omitempty"`
	P99     float64 `json:"p99_ms,omitempty"`
	P9999   float64 `json:"p9999_ms,omitempty"`
	Memory  float64 `json:"peak_bytes,omitempty"`
}

// MarshalJSON puts the ratios beside the results.
func (p *Pair) MarshalJSON() ([]byte, error) {
	type plain Pair
	return json.Marshal(struct {
		*plain
		Ratios    Ratios `json:"b_by_a"`
		Different bool   `json:"different_rows,omitempty"`
	}{(*plain)(p), p.Ratios(), p.Different()})
}

// Ratios compares the two.
func (p *Pair) Ratios() Ratios {
	if p.A == nil || p.B == nil || p.A.Status != StatusOK || p.B.Status != StatusOK {
		return Ratios{}
	}
	return Ratios{
		ratio(p.A.EventsPerSecond, p.B.EventsPerSecond), ratio(p.A.EventsPerCoreSecond, p.B.EventsPerCoreSecond),
		ratio(p.A.CPUNanosPerEvent, p.B.CPUNanosPerEvent), ratio(p.A.P99, p.B.P99), ratio(p.A.P9999, p.B.P9999),
		ratio(float64(p.A.PeakBytes), float64(p.B.PeakBytes)),
	}
}

func ratio(a, b float64) float64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	return b / a
}

// Different reports whether the two gave different rows to the same events.
func (p *Pair) Different() bool {
	return p.A != nil && p.B != nil && p.A.Checksum != "" && p.B.Checksum != "" && p.A.VerifiedEvents == p.B.VerifiedEvents && p.A.Checksum != p.B.Checksum
}

// Compare pairs the results of two reports, in the order of a, then what only b has.
func Compare(a, b *Report) []*Pair {
	type key struct{ suite, name string }
	find := map[key]*Result{}
	for i := range b.Results {
		r := &b.Results[i]
		find[key{r.Suite, r.Name}] = r
	}
	var out []*Pair
	for i := range a.Results {
		r := &a.Results[i]
		k := key{r.Suite, r.Name}
		out = append(out, &Pair{r.Suite, r.Name, r, find[k]})
		delete(find, k)
	}
	for i := range b.Results {
		if r := &b.Results[i]; find[key{r.Suite, r.Name}] == r {
			out = append(out, &Pair{r.Suite, r.Name, nil, r})
		}
	}
	return out
}

// GeometricMean is that of a ratio over the pairs that have it, 0 for none, and of how many.
func GeometricMean(pairs []*Pair, of func(Ratios) float64) (mean float64, n int) {
	sum := 0.0
	for _, p := range pairs {
		if v := of(p.Ratios()); v > 0 {
			sum += math.Log(v)
			n++
		}
	}
	if n == 0 {
		return 0, 0
	}
	return math.Exp(sum / float64(n)), n
}
