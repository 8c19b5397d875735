package bench

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func files(m map[string]string) fstest.MapFS {
	f := fstest.MapFS{}
	for name, text := range m {
		f[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return f
}

func TestDescribesAPi(t *testing.T) {
	root := files(map[string]string{
		"proc/device-tree/model":         "Raspberry Pi 4 Model B Rev 1.4\x00",
		"proc/cpuinfo":                   "processor\t: 0\nBogoMIPS\t: 108.00\nmodel name\t: Cortex-A72\n\nModel\t\t: Raspberry Pi 4\n",
		"proc/meminfo":                   "MemTotal:        3885396 kB\nMemFree: 1 kB\n",
		"proc/loadavg":                   "0.25 0.10 0.05 1/150 999\n",
		"proc/self/mountinfo":            "21 1 179:2 / / rw - ext4 /dev/root rw\n22 21 0:5 / /tmp rw - tmpfs tmpfs rw\n23 21 8:1 / /mnt/data rw - ext4 /dev/sda1 rw\n24 23 1:1 broken\n",
		"sys/dev/block/179:2/uevent":     "MAJOR=179\nDEVNAME=mmcblk0p2\n",
		"sys/block/mmcblk0/device/type":  "SD\n",
		"sys/block/sda/queue/rotational": "0\n",
		"sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq":  "1800000\n",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq":  "600000\n",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":  "ondemand\n",
		"sys/devices/platform/soc/soc:firmware/get_throttled":   "50005\n",
		"sys/class/thermal/thermal_zone0/temp":                  "81000\n",
		"sys/class/thermal/thermal_zone1/temp":                  "not a number\n",
		"sys/devices/system/cpu/cpu0/thermal_throttle/other":    "3",
		"sys/devices/system/cpu/cpu0/topology/physical_package": "0",
	})
	for dir, disk := range map[string]string{
		"/home/pi/bench": "SD card (mmcblk0p2, ext4)", "/tmp/x": "tmpfs", "/mnt/data": "SSD or USB stick (sda1, ext4)", "/mnt/database": "SD card (mmcblk0p2, ext4)",
	} {
		if got := Describe(root, dir).Disk; got != disk {
			t.Errorf("%s is on %q, want %q", dir, got, disk)
		}
	}
	m := Describe(root, "/")
	if m.Model != "Raspberry Pi 4 Model B Rev 1.4" || m.CPU != "Cortex-A72" || m.MHz != 1800 || m.MHzNow != 600 || m.Governor != "ondemand" ||
		m.MemoryBytes != 3885396<<10 || m.Celsius != 81 || m.Load != 0.25 {
		t.Errorf("%+v", m)
	}
	if want := []string{"under-voltage", "throttled"}; !slices.Equal(m.Throttled, want) || !m.ThrottlingKnown {
		t.Errorf("throttled: %q, known %t; want %q", m.Throttled, m.ThrottlingKnown, want)
	}
	m.Look(files(map[string]string{"sys/devices/platform/soc/soc:firmware/get_throttled": "0x80000"}))
	if want := "soft temperature limit since the start"; m.Throttled[len(m.Throttled)-1] != want {
		t.Errorf("after a second look %q", m.Throttled)
	}
	text := strings.Join(m.Lines(), "\n")
	for _, part := range []string{"Raspberry Pi 4 Model B", "1800 MHz", "3.7 GiB", "SD card", "SLOWED DOWN: under-voltage", "load before 0.25"} {
		if !strings.Contains(text, part) {
			t.Errorf("the description lacks %q:\n%s", part, text)
		}
	}
}

func TestDescribesAMachineThatTellsNothing(t *testing.T) {
	m := Describe(files(nil), "/")
	if m.Cores < 1 || m.ThrottlingKnown || m.Disk != "" {
		t.Errorf("%+v", m)
	}
	if text := strings.Join(m.Lines(), "\n"); !strings.Contains(text, "throttling unknown") || strings.HasPrefix(text, ",") {
		t.Error(text)
	}
}

func TestThrottledPC(t *testing.T) {
	m := Describe(files(map[string]string{
		"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0", "sys/devices/system/cpu/cpu11/thermal_throttle/core_throttle_count": "7",
		"sys/class/dmi/id/product_name": "NUC\n", "proc/cpuinfo": "cpu MHz\t\t: 2599.998\n",
	}), "/")
	if !m.ThrottlingKnown || !slices.Equal(m.Throttled, []string{"throttled since the start"}) || m.Model != "NUC" || m.MHz != 2599 {
		t.Errorf("%+v", m)
	}
}
