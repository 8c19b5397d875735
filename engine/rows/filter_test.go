package rows

import (
	"encoding/binary"
	"testing"
)

func TestFilters(t *testing.T) {
	var f filters
	key := func(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
	const n = 50_000
	for i := range n {
		f.add(key(i))
		f.add(key(i))
	}
	for i := range n {
		if !f.mayHave(key(i)) {
			t.Fatalf("key %d is not known", i)
		}
	}
	wrong := 0
	for i := n; i < 2*n; i++ {
		if f.mayHave(key(i)) {
			wrong++
		}
	}
	if wrong > n/20 {
		t.Errorf("%d of %d keys that are not there are taken to be", wrong, n)
	}
	if len(f.list) != 4 {
		t.Errorf("%d filters for %d keys", len(f.list), n)
	}
	if f.limit(1 << 20); f.blind {
		t.Error("a filter below the limit is given up")
	}
	if f.limit(1000); !f.blind || !f.mayHave(key(n)) {
		t.Error("a filter beyond the limit is kept")
	}
}
