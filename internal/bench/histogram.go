package bench

import (
	"encoding/json"
	"math/bits"
)

// Histogram counts times in nanoseconds with a relative error of at most one in 64, whatever their size: each power of two is
// divided into 64 parts, as in Gil Tene's HdrHistogram. The zero value is empty. It is not safe for concurrent use.
type Histogram struct {
	counts [histogramBuckets]int64
	total  int64
	max    int64
}

const (
	// subBits: 64 parts a power of two.
	subBits = 6
	// Values of 2^42 ns, over an hour, and above share the last bucket.
	histogramBuckets = (42 - subBits + 1) << subBits
)

func bucketOf(v int64) int {
	if v < 1<<subBits {
		return int(max(v, 0))
	}
	shift := bits.Len64(uint64(v)) - 1 - subBits
	return min((shift+1)<<subBits+int(v>>shift)&(1<<subBits-1), histogramBuckets-1)
}

// bucketTop is the greatest value of a bucket.
func bucketTop(b int) int64 {
	if b < 1<<subBits {
		return int64(b)
	}
	shift := b>>subBits - 1
	return (int64(b&(1<<subBits-1)|1<<subBits)+1)<<shift - 1
}

// Add counts n values of v ns; one below 0, which clocks that are set back make, counts as 0.
func (h *Histogram) Add(v, n int64) {
	v = max(v, 0)
	h.counts[bucketOf(v)] += n
	h.total += n
	h.max = max(h.max, v)
}

// Merge adds what o has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Count is how many values there are, Max the greatest.
func (h *Histogram) Count() int64 { return h.total }

// Max is the greatest value, exactly.
func (h *Histogram) Max() int64 { return h.max }

// Quantile returns a value that the share q of all are at most, 0 when there is none. It is never below the true one, and above it by
// one in 64 at most.
func (h *Histogram) Quantile(q float64) int64 {
	if h.total == 0 {
		return 0
	}
	rank := min(int64(q*float64(h.total))+1, h.total)
	for b, n := range h.counts {
		if rank -= n; rank <= 0 {
			return min(bucketTop(b), h.max)
		}
	}
	return h.max
}

// histogramJSON has only the buckets that are not empty: their number and count in turn.
type histogramJSON struct {
	Buckets []int64 `json:"buckets,omitempty"`
	Max     int64   `json:"max_ns,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	out := histogramJSON{Max: h.max}
	for b, n := range h.counts {
		if n > 0 {
			out.Buckets = append(out.Buckets, int64(b), n)
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var in histogramJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*h = Histogram{max: in.Max}
	for i := 0; i+1 < len(in.Buckets); i += 2 {
		if b := in.Buckets[i]; b >= 0 && b < histogramBuckets {
			h.counts[b] += in.Buckets[i+1]
			h.total += in.Buckets[i+1]
		}
	}
	return nil
}
