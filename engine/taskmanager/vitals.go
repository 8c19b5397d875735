package taskmanager

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// vitals is what a heartbeat carries: how the process and its machine are.
func vitals() *pb.Heartbeat {
	return &pb.Heartbeat{
		MemoryUsedBytes: memoryUsed(), RssBytes: residentBytes(), TemperatureMillicelsius: temperature(),
		Goroutines: int32(runtime.NumGoroutine()), //nolint:gosec // far below 2^31
	}
}

// residentBytes is what the kernel says the process holds in memory, 0 where there is no /proc.
func residentBytes() int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// thermalZone is the file with the processor's temperature, "" without one. It is looked for once: zones do not come and go.
var thermalZone = sync.OnceValue(func() string { return findThermalZone("/sys/class/thermal") })

// findThermalZone prefers the zone whose type names the processor; a Pi has one only.
func findThermalZone(dir string) string {
	types, _ := filepath.Glob(filepath.Join(dir, "thermal_zone*", "type"))
	first := ""
	for _, path := range types {
		zone := filepath.Join(filepath.Dir(path), "temp")
		data, err := os.ReadFile(path)
		if err != nil || millicelsius(zone) == nil {
			continue
		}
		if kind := strings.ToLower(string(data)); strings.Contains(kind, "cpu") || strings.Contains(kind, "x86_pkg") || strings.Contains(kind, "soc") {
			return zone
		}
		if first == "" {
			first = zone
		}
	}
	return first
}

func temperature() *int32 {
	zone := thermalZone()
	if zone == "" {
		return nil
	}
	return millicelsius(zone)
}

// millicelsius reads a zone's file; nil when it holds no temperature that a machine can have.
func millicelsius(path string) *int32 {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	t, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 32)
	if err != nil || t < -50_000 || t > 200_000 {
		return nil
	}
	return new(int32(t))
}
