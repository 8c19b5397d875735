package bench

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Machine says on what was measured. Everything that the system does not tell is empty.
type Machine struct {
	// Model is the board ("Raspberry Pi 4 Model B Rev 1.4"), CPU the processor.
	Model string `json:"model,omitempty"`
	CPU   string `json:"cpu,omitempty"`
	Cores int    `json:"cores"`
	// MHz is the highest clock; MHzNow what the first core ran at when looked at, after the last benchmark.
	MHz    int64 `json:"mhz,omitempty"`
	MHzNow int64 `json:"mhz_now,omitempty"`
	// Governor is the policy by which the clock changes.
	Governor    string `json:"governor,omitempty"`
	MemoryBytes int64  `json:"memory_bytes,omitempty"`
	// Disk is what kind of thing is under the directory for state.
	Disk string `json:"disk,omitempty"`
	// Throttled lists what has slowed the processor down; it is nil when nothing has, and when nothing can be known: see ThrottlingKnown.
	Throttled       []string `json:"throttled,omitempty"`
	ThrottlingKnown bool     `json:"throttling_known"`
	// Celsius is the hottest sensor after the last benchmark, 0 for unknown.
	Celsius  float64 `json:"celsius,omitempty"`
	OS       string  `json:"os"`
	Kernel   string  `json:"kernel,omitempty"`
	Go       string  `json:"go"`
	HostName string  `json:"host_name,omitempty"`
	// Load is the system's load average over a minute before the first benchmark: far above 0, others were at work.
	Load float64 `json:"load_before"`
}

// system is a machine's files below its root.
type system struct{ root fs.FS }

// text is a file's content without spaces and zero bytes around it, "" if it cannot be read.
func (s system) text(name string) string {
	b, err := fs.ReadFile(s.root, name)
	if err != nil {
		return ""
	}
	return strings.Trim(string(b), " \n\t\x00")
}

func (s system) number(name string) int64 {
	n, _ := strconv.ParseInt(s.text(name), 10, 64) // nonsense counts as unknown
	return n
}

// Describe looks at the machine whose files are below root; dir is the absolute directory for state.
func Describe(root fs.FS, dir string) Machine {
	s := system{root}
	m := Machine{
		Model: s.text("proc/device-tree/model"), Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Kernel: s.text("proc/sys/kernel/osrelease"), HostName: s.text("proc/sys/kernel/hostname"),
		MHz: s.number("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq") / 1000, Governor: s.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		MemoryBytes: s.memory(), Disk: s.disk(dir),
	}
	if m.Model == "" {
		m.Model = strings.TrimSpace(s.text("sys/class/dmi/id/sys_vendor") + " " + s.text("sys/class/dmi/id/product_name"))
	}
	var mhz float64
	for line := range strings.Lines(s.text("proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "model name":
			m.CPU = value
		case "Model": // a Pi's /proc/cpuinfo, where there is no device tree
			if m.Model == "" {
				m.Model = value
			}
		case "cpu MHz":
			mhz, _ = strconv.ParseFloat(value, 64)
		}
	}
	if m.MHz == 0 {
		m.MHz = int64(mhz)
	}
	if fields := strings.Fields(s.text("proc/loadavg")); len(fields) > 0 {
		m.Load, _ = strconv.ParseFloat(fields[0], 64)
	}
	m.Look(root)
	return m
}

// Look takes down what changes while benchmarks run: clock, temperature, throttling. What has been seen before stays.
func (m *Machine) Look(root fs.FS) {
	s := system{root}
	m.MHzNow = s.number("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq") / 1000
	zones, _ := fs.Glob(root, "sys/class/thermal/thermal_zone*/temp") // the pattern is right
	for _, z := range zones {
		m.Celsius = max(m.Celsius, float64(s.number(z))/1000)
	}
	found, known := s.throttled()
	m.ThrottlingKnown = m.ThrottlingKnown || known
	for _, f := range found {
		if !slices.Contains(m.Throttled, f) {
			m.Throttled = append(m.Throttled, f)
		}
	}
}

// firmwareBits are what the Pi's firmware reports: bit n now, bit n+16 at some time since the start.
var firmwareBits = [...]string{"under-voltage", "clock capped", "throttled", "soft temperature limit"}

func (s system) throttled() (found []string, known bool) {
	for _, pattern := range []string{"sys/devices/platform/*/*firmware*/get_throttled", "sys/devices/platform/*firmware*/get_throttled"} {
		files, _ := fs.Glob(s.root, pattern)
		for _, f := range files {
			bits, err := strconv.ParseUint(strings.TrimPrefix(s.text(f), "0x"), 16, 64)
			if err != nil {
				continue
			}
			known = true
			for i, what := range firmwareBits {
				switch {
				case bits>>i&1 != 0:
					found = append(found, what)
				case bits>>(16+i)&1 != 0:
					found = append(found, what+" since the start")
				}
			}
		}
	}
	files, _ := fs.Glob(s.root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
	for _, f := range files {
		known = true
		if s.number(f) > 0 && !slices.Contains(found, "throttled since the start") {
			found = append(found, "throttled since the start")
		}
	}
	return found, known
}

func (s system) memory() int64 {
	for line := range strings.Lines(s.text("proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// disk says what the file system that dir is on lies on.
func (s system) disk(dir string) string {
	var device, kind, source string
	longest := -1
	for line := range strings.Lines(s.text("proc/self/mountinfo")) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if len(f) < 5 || dash < 0 || len(f) < dash+3 {
			continue
		}
		at := f[4]
		if rel, err := filepath.Rel(at, dir); err != nil || rel == ".." || strings.HasPrefix(rel, "../") || len(at) < longest {
			continue
		}
		longest, device, kind, source = len(at), f[2], f[dash+1], f[dash+2]
	}
	if longest < 0 {
		return ""
	}
	name := path.Base(source)
	for line := range strings.Lines(s.text("sys/dev/block/" + device + "/uevent")) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			name = n // /dev/root is the name of none
		}
	}
	what := s.device(name)
	if what == "" {
		return kind
	}
	return fmt.Sprintf("%s (%s, %s)", what, name, kind)
}

// device is what a block device's name tells.
func (s system) device(name string) string {
	whole := strings.TrimRight(name, "0123456789")
	switch {
	case strings.HasPrefix(name, "mmcblk"):
		card, _, _ := strings.Cut(name, "p")
		if s.text("sys/block/"+card+"/device/type") == "MMC" {
			return "eMMC"
		}
		return "SD card"
	case strings.HasPrefix(name, "nvme"):
		return "NVMe"
	case strings.HasPrefix(name, "vd"), strings.HasPrefix(name, "xvd"):
		return "virtual disk"
	case strings.HasPrefix(name, "sd"):
		if s.text("sys/block/"+whole+"/queue/rotational") == "1" {
			return "hard disk"
		}
		return "SSD or USB stick"
	}
	return ""
}

// Lines describes the machine for people.
func (m *Machine) Lines() []string {
	name := m.Model
	if m.CPU != "" {
		name = strings.TrimPrefix(name+", "+m.CPU, ", ")
	}
	cores := fmt.Sprintf("%d cores", m.Cores)
	if m.MHz > 0 {
		cores += fmt.Sprintf(" at %d MHz", m.MHz)
	}
	if m.Governor != "" {
		cores += " (" + m.Governor + ")"
	}
	parts := []string{cores}
	if m.MemoryBytes > 0 {
		parts = append(parts, fmt.Sprintf("%.1f GiB", float64(m.MemoryBytes)/(1<<30)))
	}
	if m.Disk != "" {
		parts = append(parts, m.Disk)
	}
	lines := []string{strings.TrimPrefix(name+", ", ", ") + strings.Join(parts, ", ")}
	second := m.OS
	if m.Kernel != "" {
		second += ", Linux " + m.Kernel
	}
	second += ", " + m.Go
	if m.Load > 0 {
		second += fmt.Sprintf(", load before %.2f", m.Load)
	}
	if m.Celsius > 0 {
		second += fmt.Sprintf(", %.0f °C", m.Celsius)
	}
	if m.MHzNow > 0 && m.MHzNow != m.MHz {
		second += fmt.Sprintf(", %d MHz at the end", m.MHzNow)
	}
	switch {
	case len(m.Throttled) > 0:
		second += ", SLOWED DOWN: " + strings.Join(m.Throttled, ", ")
	case m.ThrottlingKnown:
		second += ", never throttled"
	default:
		second += ", throttling unknown"
	}
	return append(lines, second)
}
