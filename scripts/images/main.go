// Command images makes the container images of the programs in dist/linux_ARCH (make cross), without a container engine: for each
// program an archive a platform for `docker load`, and one of all platforms for registries. Images hold nothing but the
// program, certificate authorities, time zones and the directories it writes to, and run as a user of their own.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/internal/image"
)

// user owns the process and its directories: the number that "nonroot" has in other images made from nothing, too.
const user = 65532

// unpackedMax is what an image may take on a Pi's card, bytes.
const unpackedMax = 30 << 20

var platforms = []struct {
	dir string
	image.Platform
}{
	{"linux_amd64", image.Platform{OS: "linux", Architecture: "amd64"}},
	{"linux_arm64", image.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}},
	{"linux_arm", image.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
}

// program is what differs from image to image.
type program struct {
	name, title string
	ports       []string
	health      bool
}

var programs = []program{
	{"jobmanager", "Bramble jobmanager: accepts and coordinates jobs", []string{"6123/tcp", "8081/tcp", "9250/tcp"}, true},
	{"taskmanager", "Bramble taskmanager: runs tasks", []string{"6124/tcp", "9250/tcp"}, true},
	{"bramble", "Bramble command line", nil, false},
}

func main() {
	version := flag.String("version", "dev", "tag of the images")
	commit := flag.String("commit", "", "revision of the source, for the labels")
	created := flag.Int64("created", 0, "time of the images, seconds since 1970: the commit's, so that the same source gives the same images")
	dist := flag.String("dist", "dist", "directory with linux_ARCH/PROGRAM, and for images/")
	certs := flag.String("certs", "/etc/ssl/certs/ca-certificates.crt", "certificate authorities, PEM")
	zones := flag.String("zones", "/usr/local/go/lib/time/zoneinfo.zip", "time zones: lib/time/zoneinfo.zip of Go itself")
	flag.Parse()
	b := builder{version: tag(*version), commit: *commit, created: time.Unix(*created, 0).UTC(), dist: *dist}
	if err := b.run(*certs, *zones); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// tag makes what `git describe` says fit for a tag.
func tag(version string) string {
	t := regexp.MustCompile(`[^\w.-]`).ReplaceAllString(version, "-")
	return t[:min(len(t), 128)]
}

type builder struct {
	version, commit, dist string
	created               time.Time
}

func (b *builder) run(certs, zones string) error {
	ca, err := os.ReadFile(certs)
	if err != nil {
		return fmt.Errorf("%w\nhint: install ca-certificates (scripts/test-deps does), or name a PEM file with -certs", err)
	}
	zip, err := os.ReadFile(zones)
	if err != nil {
		return fmt.Errorf("%w\nhint: the file comes with Go: name it with -zones, as make images does", err)
	}
	// Shared by all programs, platforms and versions: an update sends only the program. Its time does not change, either.
	base, err := image.NewLayer(
		time.Unix(0, 0).UTC(),
		image.File{Path: "etc", Mode: 0o755},
		image.File{Path: "etc/passwd", Mode: 0o644, Data: fmt.Appendf(nil, "root:x:0:0:root:/:/\nbramble:x:%d:%[1]d:bramble:/data:/\n", user)},
		image.File{Path: "etc/group", Mode: 0o644, Data: fmt.Appendf(nil, "root:x:0:\nbramble:x:%d:\n", user)},
		image.File{Path: "etc/ssl", Mode: 0o755},
		image.File{Path: "etc/ssl/certs", Mode: 0o755},
		image.File{Path: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Data: ca},
		image.File{Path: "usr", Mode: 0o755},
		image.File{Path: "usr/share", Mode: 0o755},
		image.File{Path: "usr/share/zoneinfo.zip", Mode: 0o644, Data: zip},
		image.File{Path: "tmp", Mode: 0o1777},
		// A volume that is mounted there for the first time takes the owner from here.
		image.File{Path: "data", Mode: 0o750, Owner: user},
		image.File{Path: "checkpoints", Mode: 0o750, Owner: user},
	)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(b.dist, "images"), 0o750); err != nil {
		return err
	}
	for _, p := range programs {
		if err := b.program(p, base); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func (b *builder) program(p program, base *image.Layer) error {
	names := []string{"bramble/" + p.name + ":" + b.version, "bramble/" + p.name + ":latest"}
	var all []*image.Image
	for _, pl := range platforms {
		data, err := os.ReadFile(filepath.Join(b.dist, pl.dir, p.name))
		if err != nil {
			return fmt.Errorf("%w\nhint: run make cross first", err)
		}
		layer, err := image.NewLayer(b.created, image.File{Path: p.name, Mode: 0o755, Data: data})
		if err != nil {
			return err
		}
		img, err := image.New(pl.Platform, b.created, b.settings(p), base, layer)
		if err != nil {
			return err
		}
		all = append(all, img)
		file := fmt.Sprintf("%s_%s.tar", p.name, strings.Join(parts(pl.Platform), "_"))
		if err := b.save(file, names, img); err != nil {
			return err
		}
		unpacked, packed := img.Sizes()
		fmt.Printf("%-34s %6.2f MB, packed %5.2f MB\n", file, float64(unpacked)/1e6, float64(packed)/1e6)
		if unpacked > unpackedMax {
			return fmt.Errorf("%s takes %d bytes, more than %d", file, unpacked, unpackedMax)
		}
	}
	return b.save(p.name+"_all.tar", names, all...)
}

// parts name a platform as `docker` does, but arm64, whose variant nobody writes.
func parts(p image.Platform) []string {
	if p.Architecture == "arm" {
		return []string{p.OS, p.Architecture, p.Variant}
	}
	return []string{p.OS, p.Architecture}
}

func (b *builder) settings(p program) image.Run {
	r := image.Run{
		User: fmt.Sprintf("%d:%[1]d", user), Entrypoint: []string{"/" + p.name}, WorkingDir: "/data", StopSignal: "SIGTERM",
		Env: []string{"PATH=/", "HOME=/data", "ZONEINFO=/usr/share/zoneinfo.zip"},
		Labels: map[string]string{
			"org.opencontainers.image.title":       p.title,
			"org.opencontainers.image.version":     b.version,
			"org.opencontainers.image.created":     b.created.Format(time.RFC3339),
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.source":      "https://github.com/bramble-stream/bramble",
			"org.opencontainers.image.base.name":   "scratch",
			"org.opencontainers.image.description": "Stream processing for a bramble of small machines",
		},
		ExposedPorts: map[string]struct{}{},
	}
	if b.commit != "" {
		r.Labels["org.opencontainers.image.revision"] = b.commit
	}
	for _, port := range p.ports {
		r.ExposedPorts[port] = struct{}{}
	}
	if p.health {
		r.Env = append(r.Env, "BRAMBLE_DATA_DIR=/data")
		r.Health = &image.Health{
			Test: []string{"CMD", "/" + p.name, "--health"}, Interval: 10 * time.Second, Timeout: 8 * time.Second, StartPeriod: 30 * time.Second, Retries: 3,
		}
	}
	return r
}

// save writes an archive, whole or not at all.
func (b *builder) save(name string, names []string, images ...*image.Image) error {
	path := filepath.Join(b.dist, "images", name)
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	err = image.Write(f, b.created, names, images...)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
