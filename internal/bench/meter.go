package bench

import (
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
)

// peakBytes is the most memory that this process has held since resetPeak, 0 where the system does not tell.
func peakBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64) // the kernel writes it
			return kb << 10
		}
	}
	return 0
}

// resetPeak makes peakBytes count from now on, where the kernel can.
func resetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // else the peak is that of the process, which is what it says
}

// allocations counts objects and bytes that this process has taken from the heap.
type allocations struct {
	Objects, Bytes uint64
}

func allocated() allocations {
	s := [2]metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s[:])
	if s[0].Value.Kind() != metrics.KindUint64 || s[1].Value.Kind() != metrics.KindUint64 {
		return allocations{}
	}
	return allocations{s[0].Value.Uint64(), s[1].Value.Uint64()}
}
