package taskmanager

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestThermalZone(t *testing.T) {
	dir := t.TempDir()
	for i, zone := range []struct{ kind, temp string }{{"acpitz", "20000"}, {"cpu-thermal", "nonsense"}, {"x86_pkg_temp", "48312"}} {
		at := filepath.Join(dir, "thermal_zone"+string(rune('0'+i)))
		if err := os.MkdirAll(at, 0o750); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"type": zone.kind, "temp": zone.temp} {
			if err := os.WriteFile(filepath.Join(at, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	zone := findThermalZone(dir)
	if got := millicelsius(zone); got == nil || *got != 48312 {
		t.Errorf("zone %s, temperature %v", zone, got)
	}
	if zone := findThermalZone(filepath.Join(dir, "none")); zone != "" {
		t.Errorf("a zone out of nothing: %s", zone)
	}
}

func TestVitals(t *testing.T) {
	v := vitals()
	if v.MemoryUsedBytes <= 0 || v.Goroutines <= 0 || runtime.GOOS == "linux" && v.RssBytes <= 0 {
		t.Errorf("vitals: %v", v)
	}
}
