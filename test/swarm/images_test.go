//go:build swarm

package swarm

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bramble-stream/bramble/internal/image"
)

// foreign is an image of somebody else's program, made here from a Debian package so that it can be started as the image that
// the stack names.
type foreign struct {
	name string
	// programs are in the PATH, here and in the image, or elsewhere there: "redis-exporter:/exporter".
	programs []string
	// dirs are made for owner.
	dirs  []string
	owner int
	run   image.Run
}

// What a mosquitto or redis image has beside the server: the stack's commands and health checks use it.
var shell = []string{"sh", "cat"}

// foreigners are what deploy/stack.yml needs.
var foreigners = []foreign{
	{name: "test/mosquitto", programs: append([]string{"mosquitto", "mosquitto_passwd", "mosquitto_sub"}, shell...), dirs: []string{"mosquitto/data"}, owner: 1883},
	{name: "test/redis", programs: append([]string{"redis-server", "redis-cli"}, shell...), dirs: []string{"data"}, owner: 999, run: image.Run{WorkingDir: "/data"}},
	{
		name: "test/prometheus", programs: []string{"prometheus", "promtool"}, dirs: []string{"prometheus"}, owner: 65534,
		run: image.Run{User: "65534", Entrypoint: []string{"/bin/prometheus"}, WorkingDir: "/prometheus"},
	},
}

var library = regexp.MustCompile(`(?m)(/\S+) \(0x[0-9a-f]+\)$`)

// build makes the image: the programs, and the libraries that they load, where they expect them.
func (f foreign) build(t *testing.T, dir string) string {
	t.Helper()
	files := map[string]image.File{}
	var names []string
	add := func(file image.File) {
		for p := path.Dir(file.Path); p != "."; p = path.Dir(p) {
			if _, ok := files[p]; !ok {
				files[p] = image.File{Path: p, Mode: 0o755}
				names = append(names, p)
			}
		}
		if _, ok := files[file.Path]; !ok {
			names = append(names, file.Path)
		}
		files[file.Path] = file
	}
	copyIn := func(from, to string) {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		add(image.File{Path: strings.TrimPrefix(to, "/"), Mode: 0o755, Data: data})
	}
	for _, p := range f.programs {
		name, to, elsewhere := strings.Cut(p, ":")
		from, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("%v: run scripts/swarm-deps", err)
		}
		if !elsewhere {
			to = "/bin/" + name
		}
		copyIn(from, to)
		libs, _ := try(t, "ldd", from) // a static program has none
		for _, m := range library.FindAllStringSubmatch(libs, -1) {
			copyIn(m[1], m[1])
		}
	}
	for _, d := range f.dirs {
		add(image.File{Path: d, Mode: 0o755, Owner: f.owner})
	}
	add(image.File{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/:/bin/sh\n")})
	add(image.File{Path: "tmp", Mode: 0o1777})
	var list []image.File
	for _, n := range sortedByDepth(names) {
		list = append(list, files[n])
	}
	layer, err := image.NewLayer(time.Unix(0, 0), list...)
	if err != nil {
		t.Fatal(err)
	}
	run := f.run
	run.Env = []string{"PATH=/bin"}
	img, err := image.New(image.Platform{OS: "linux", Architecture: runtime.GOARCH}, time.Unix(0, 0), run, layer)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, path.Base(f.name)+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := image.Write(out, time.Unix(0, 0), []string{f.name + ":latest"}, img); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// sortedByDepth puts directories before what is in them.
func sortedByDepth(names []string) []string {
	var out []string
	for depth := range 10 {
		for _, n := range names {
			if strings.Count(n, "/") == depth {
				out = append(out, n)
			}
		}
	}
	return out
}

// ours are Bramble's images, all of them and the two of a cluster.
var (
	ours  = []string{"jobmanager", "taskmanager", "bramble"}
	pairs = ours[:2]
)

// load brings archives and Bramble's images for this machine to the nodes.
func load(nodes []*node, archives ...string) {
	for _, n := range nodes {
		for _, a := range archives {
			n.docker("load", "-q", "-i", a)
		}
		n.loadOurs(runtime.GOARCH, ours)
	}
}

// loadOurs brings Bramble's images of a platform ("arm_v7") to the node, as latest.
func (n *node) loadOurs(platform string, names []string) {
	for _, p := range names {
		n.docker("load", "-q", "-i", filepath.Join("../../dist/images", p+"_linux_"+platform+".tar"))
	}
}

// loadMore brings those that the stack is updated to: for 32-bit ARM as armv7, for 64-bit as arm64 and, the same as latest, as next.
func loadMore(nodes []*node) {
	for _, n := range nodes {
		for _, arch := range []struct{ file, tag string }{{"arm_v7", "armv7"}, {"arm64", "arm64"}, {runtime.GOARCH, "next"}} {
			n.loadOurs(arch.file, pairs)
			for _, p := range pairs {
				n.docker("tag", "bramble/"+p+":latest", "bramble/"+p+":"+arch.tag)
			}
		}
	}
}

// emulate lets this kernel start programs for ARM, as installing qemu-user-static does where there is systemd. It says whether it can.
func emulate(t *testing.T, name string) bool {
	t.Helper()
	const dir = "/proc/sys/fs/binfmt_misc"
	if _, err := os.Stat(dir + "/register"); err != nil {
		if out, err := try(t, "mount", "-t", "binfmt_misc", "none", dir); err != nil {
			t.Logf("no binfmt_misc: %v %s", err, out)
			return false
		}
	}
	if _, err := os.Stat(dir + "/" + name); err == nil {
		return true
	}
	rule, err := os.ReadFile("/usr/lib/binfmt.d/" + name + ".conf")
	if err != nil {
		t.Logf("%v: run scripts/swarm-deps", err)
		return false
	}
	if err := os.WriteFile(dir+"/register", []byte(strings.TrimSpace(string(rule))), 0o200); err != nil {
		t.Logf("register %s: %v", name, err)
		return false
	}
	t.Cleanup(func() { _ = os.WriteFile(dir+"/"+name, []byte("-1"), 0o200) }) // back as it was
	return true
}
