// Package image makes container images from files, without a container engine: an image is a tar of files and some JSON. It knows
// nothing of Bramble, pulls and pushes nothing, and the same input gives the same bytes.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Media types of the OCI image format.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// File is a file of an image, or a directory where Data is nil.
type File struct {
	// Path has no slash before it.
	Path string
	// Mode are the permission bits.
	Mode int64
	// Owner is user and group.
	Owner int
	Data  []byte
}

// Platform is what programs run on.
type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

// Health is how an engine asks a container for its health. Times are nanoseconds, as engines want them.
type Health struct {
	Test        []string      `json:"Test"`
	Interval    time.Duration `json:"Interval"`
	Timeout     time.Duration `json:"Timeout"`
	StartPeriod time.Duration `json:"StartPeriod"`
	Retries     int           `json:"Retries"`
}

// Run is how containers of an image are started, in the words of the image format. Health is Docker's addition to it.
type Run struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	Health       *Health             `json:"Healthcheck,omitempty"`
}

// Layer is a compressed tar of files.
type Layer struct {
	gz     []byte
	diffID string
	// Size is that of the files, bytes.
	Size int64
}

// NewLayer packs files. Their time is created, so that a layer of the same files stays the same layer.
func NewLayer(created time.Time, files ...File) (*Layer, error) {
	var plain bytes.Buffer
	l := &Layer{}
	w := tar.NewWriter(&plain)
	for _, f := range files {
		h := &tar.Header{
			Name: f.Path, Mode: f.Mode, Uid: f.Owner, Gid: f.Owner, ModTime: created, Typeflag: tar.TypeReg,
			Size: int64(len(f.Data)), Format: tar.FormatPAX,
		}
		if f.Data == nil {
			h.Typeflag, h.Name = tar.TypeDir, f.Path+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("layer: %s: %w", f.Path, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("layer: %s: %w", f.Path, err)
		}
		l.Size += h.Size
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	l.diffID = digest(plain.Bytes())
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := plain.WriteTo(z); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	l.gz = packed.Bytes()
	return l, nil
}

// Image is an image for one platform.
type Image struct {
	Platform Platform
	layers   []*Layer
	config   []byte
	manifest []byte
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *Platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// New puts layers together; a later one lies over an earlier one.
func New(p Platform, created time.Time, run Run, layers ...*Layer) (*Image, error) {
	img := &Image{Platform: p, layers: layers}
	type rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	type step struct {
		Created   time.Time `json:"created"`
		CreatedBy string    `json:"created_by"`
	}
	config := struct {
		Platform
		Created time.Time `json:"created"`
		Config  Run       `json:"config"`
		RootFS  rootFS    `json:"rootfs"`
		History []step    `json:"history"`
	}{Platform: p, Created: created.UTC(), Config: run, RootFS: rootFS{Type: "layers"}}
	manifest := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}{SchemaVersion: 2, MediaType: typeManifest}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.diffID)
		config.History = append(config.History, step{created.UTC(), "make images"})
		manifest.Layers = append(manifest.Layers, describe(typeLayer, l.gz))
	}
	var err error
	if img.config, err = json.Marshal(config); err != nil {
		return nil, err
	}
	manifest.Config = describe(typeConfig, img.config)
	img.manifest, err = json.Marshal(manifest)
	return img, err
}

// Sizes are what an engine keeps of the image, and what is sent to it, bytes.
func (img *Image) Sizes() (unpacked, packed int64) {
	for _, l := range img.layers {
		unpacked += l.Size
		packed += int64(len(l.gz))
	}
	return unpacked, packed
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func describe(mediaType string, b []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: digest(b), Size: int64(len(b))}
}

// archive is a tar in the layout of OCI: blobs under their digests, each once.
type archive struct {
	w       *tar.Writer
	created time.Time
	written map[string]bool
}

func (a *archive) add(name string, data []byte) error {
	if a.written[name] {
		return nil
	}
	a.written[name] = true
	if err := a.w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: a.created, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := a.w.Write(data)
	return err
}

func blobPath(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }

// Write makes an archive of the same image for one or several platforms. names are those the image is to have, such as
// "bramble/jobmanager:1.0"; the first one counts where there can be only one. With one platform any `docker load` takes the archive; with several it is for registries
// (crane push, skopeo copy) and for engines that keep images for several platforms.
func Write(w io.Writer, created time.Time, names []string, images ...*Image) error {
	a := &archive{w: tar.NewWriter(w), created: created, written: map[string]bool{}}
	err := a.write(names, images)
	if err == nil {
		err = a.w.Close()
	}
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

func (a *archive) write(names []string, images []*Image) error {
	list := index{SchemaVersion: 2, MediaType: typeIndex}
	for _, img := range images {
		for _, l := range img.layers {
			if err := a.add(blobPath(digest(l.gz)), l.gz); err != nil {
				return err
			}
		}
		for _, b := range [][]byte{img.config, img.manifest} {
			if err := a.add(blobPath(digest(b)), b); err != nil {
				return err
			}
		}
		d := describe(typeManifest, img.manifest)
		d.Platform = &img.Platform
		list.Manifests = append(list.Manifests, d)
	}
	top := list
	if len(images) > 1 {
		b, err := json.Marshal(list)
		if err != nil {
			return err
		}
		if err := a.add(blobPath(digest(b)), b); err != nil {
			return err
		}
		top.Manifests = []descriptor{describe(typeIndex, b)}
	} else if err := a.dockerManifest(names, images[0]); err != nil {
		return err
	}
	top.Manifests[0].Annotations = map[string]string{"io.containerd.image.name": "docker.io/" + names[0], "org.opencontainers.image.ref.name": tagOf(names[0])}
	b, err := json.Marshal(top)
	if err != nil {
		return err
	}
	if err := a.add("index.json", b); err != nil {
		return err
	}
	return a.add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

func tagOf(name string) string {
	for i := len(name) - 1; i >= 0 && name[i] != '/'; i-- {
		if name[i] == ':' {
			return name[i+1:]
		}
	}
	return "latest"
}

// dockerManifest is what `docker load` has read since before there was OCI.
func (a *archive) dockerManifest(names []string, img *Image) error {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	e := entry{Config: blobPath(digest(img.config)), RepoTags: names}
	for _, l := range img.layers {
		e.Layers = append(e.Layers, blobPath(digest(l.gz)))
	}
	b, err := json.Marshal([]entry{e})
	if err != nil {
		return err
	}
	return a.add("manifest.json", b)
}
