package bench

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBucketsAreWithoutGaps(t *testing.T) {
	next := int64(0)
	for b := range histogramBuckets - 1 {
		top := bucketTop(b)
		if bucketOf(next) != b || bucketOf(top) != b || bucketOf(top+1) != b+1 {
			t.Fatalf("bucket %d: from %d to %d, but those are in %d, %d and the next in %d", b, next, top, bucketOf(next), bucketOf(top), bucketOf(top+1))
		}
		if top > 64 && float64(top-next)/float64(next) > 1.0/64 {
			t.Fatalf("bucket %d is from %d to %d: too wide", b, next, top)
		}
		next = top + 1
	}
}

func TestQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h, a, b Histogram
	var all []int64
	for i := range 100_000 {
		v := int64(rng.ExpFloat64() * 1e6)
		if i%10_000 == 0 {
			v *= 50
		}
		all = append(all, v)
		h.Add(v, 1)
		if i%2 == 0 {
			a.Add(v, 1)
		} else {
			b.Add(v, 1)
		}
	}
	slices.Sort(all)
	a.Merge(&b)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.9999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/64)+1 {
			t.Errorf("quantile %g is %d, want %d", q, got, want)
		}
		if m := a.Quantile(q); m != got {
			t.Errorf("quantile %g of two merged is %d, want %d", q, m, got)
		}
	}
	if h.Max() != all[len(all)-1] || h.Count() != 100_000 {
		t.Errorf("max %d, count %d", h.Max(), h.Count())
	}
}

func TestHistogramAsJSON(t *testing.T) {
	var h, back Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty one has a median")
	}
	h.Add(-5, 1)
	h.Add(123456789, 3)
	h.Add(1<<60, 1)
	data, err := json.Marshal(&h)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if back != h {
		t.Errorf("%s came back otherwise", data)
	}
	if err := json.Unmarshal([]byte(`{"buckets":[-1,5,99999999,1,3]}`), &back); err != nil || back.Count() != 0 {
		t.Errorf("nonsense gave %d values, %v", back.Count(), err)
	}
}
