package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func sample(t *testing.T, arch string) *Image {
	t.Helper()
	base, err := NewLayer(noon, File{Path: "data", Mode: 0o750, Owner: 65532}, File{Path: "etc/zone", Mode: 0o644, Data: []byte("UTC")})
	if err != nil {
		t.Fatal(err)
	}
	prog, err := NewLayer(noon, File{Path: "prog", Mode: 0o755, Data: []byte("for " + arch)})
	if err != nil {
		t.Fatal(err)
	}
	img, err := New(Platform{Architecture: arch, OS: "linux"}, noon, Run{User: "65532", Entrypoint: []string{"/prog"}}, base, prog)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func untar(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	files := map[string]string{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := files[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		files[h.Name] = string(data)
	}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// follow reads a blob that a descriptor names, and compares digest and size.
func follow(t *testing.T, files map[string]string, d descriptor) string {
	t.Helper()
	data, ok := files[blobPath(d.Digest)]
	if !ok || digest([]byte(data)) != d.Digest || int64(len(data)) != d.Size {
		t.Fatalf("%s (%s): there %v, %d bytes of digest %s", d.Digest, d.MediaType, ok, len(data), digest([]byte(data)))
	}
	return data
}

func checkImage(t *testing.T, files map[string]string, d descriptor, arch string) {
	t.Helper()
	manifest := decode[struct {
		Config descriptor
		Layers []descriptor
	}](t, follow(t, files, d))
	config := decode[struct {
		Architecture string
		Config       Run
		RootFS       struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}](t, follow(t, files, manifest.Config))
	if config.Architecture != arch || config.Config.User != "65532" || len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		t.Fatalf("config %+v", config)
	}
	root := map[string]string{}
	for i, l := range manifest.Layers {
		z, err := gzip.NewReader(strings.NewReader(follow(t, files, l)))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if digest(plain) != config.RootFS.DiffIDs[i] {
			t.Errorf("layer %d: digest %s, config says %s", i, digest(plain), config.RootFS.DiffIDs[i])
		}
		maps.Copy(root, untar(t, bytes.NewReader(plain)))
	}
	if want := map[string]string{"data/": "", "etc/zone": "UTC", "prog": "for " + arch}; !maps.Equal(root, want) {
		t.Errorf("root %v, want %v", root, want)
	}
}

func TestArchiveOfOnePlatform(t *testing.T) {
	var out, again bytes.Buffer
	names := []string{"bramble/prog:1.0", "bramble/prog:latest"}
	for _, w := range []io.Writer{&out, &again} {
		if err := Write(w, noon, names, sample(t, "arm64")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("the same image gave other bytes")
	}
	files := untar(t, &out)
	top := decode[index](t, files["index.json"])
	if len(top.Manifests) != 1 || top.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.0" {
		t.Fatalf("index %+v", top)
	}
	checkImage(t, files, top.Manifests[0], "arm64")
	docker := decode[[]struct {
		Config   string
		RepoTags []string
		Layers   []string
	}](t, files["manifest.json"])
	if len(docker) != 1 || !slices.Equal(docker[0].RepoTags, names) {
		t.Fatalf("manifest.json %+v", docker)
	}
	for _, path := range append(docker[0].Layers, docker[0].Config) {
		if files[path] == "" {
			t.Errorf("manifest.json names %s, which is not there", path)
		}
	}
}

func TestArchiveOfSeveralPlatforms(t *testing.T) {
	var out bytes.Buffer
	if err := Write(&out, noon, []string{"bramble/prog"}, sample(t, "arm64"), sample(t, "arm")); err != nil {
		t.Fatal(err)
	}
	files := untar(t, &out)
	top := decode[index](t, files["index.json"])
	if len(top.Manifests) != 1 || top.Manifests[0].MediaType != typeIndex || top.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "latest" {
		t.Fatalf("index %+v", top)
	}
	list := decode[index](t, follow(t, files, top.Manifests[0]))
	if len(list.Manifests) != 2 {
		t.Fatalf("list %+v", list)
	}
	for i, arch := range []string{"arm64", "arm"} {
		if list.Manifests[i].Platform.Architecture != arch {
			t.Errorf("image %d is for %+v", i, list.Manifests[i].Platform)
		}
		checkImage(t, files, list.Manifests[i], arch)
	}
}
