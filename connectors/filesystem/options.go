// Package filesystem reads and writes files of lines: local ones, or on a share that every taskmanager has mounted. It asks for
// nothing but create, write, rename, read, list and remove, which is what a CIFS share gives.
package filesystem

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bramble-stream/bramble/connectors/format"
	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/op"
	"github.com/bramble-stream/bramble/engine/vec"
	"github.com/bramble-stream/bramble/internal/duration"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// Connector returns the description of 'connector' = 'filesystem'.
func Connector() *op.Connector {
	return &op.Connector{
		Name: "filesystem",
		Options: append(format.Options(), []op.Option{
			{Key: "path", Required: true, Doc: "source: a file, a directory (with those below it), or a pattern with * ? [ ]; sink: a directory. " +
				"file:// may stand before it. Files and directories whose names begin with . or _ are not read; those that end in .gz are unpacked"},
			{Key: "source.monitor-interval", Kind: op.OptionDuration, Only: "source", Doc: "look for new files so often, without end (default: read what is there when the job starts). " +
				"A file is read once: it is to be complete when it appears, so write it under a name that begins with a dot and rename it"},
			{Key: "source.skip-lines", Kind: op.OptionInt, Default: "0", Only: "source", Doc: "lines to leave out at the beginning of each file, such as the header of a csv file"},
			{Key: "sink.rolling-policy.file-size", Kind: op.OptionMemory, Default: "128MB", Only: "sink", Doc: "a file of this size is finished and the next one begun"},
			{Key: "sink.rolling-policy.rollover-interval", Kind: op.OptionDuration, Default: "30 min", Only: "sink", Doc: "a file is open for so long at most. " +
				"With checkpoints, every checkpoint finishes the open files, and they appear when it is complete"},
			{Key: "partition.default-name", Default: "__HIVE_DEFAULT_PARTITION__", Doc: "stands for a partition column that is NULL or empty"},
		}...),
		Metadata: []op.MetadataKey{
			{Key: "file.path", Type: vec.TypeString, Doc: "path of the file that the row comes from"},
			{Key: "file.name", Type: vec.TypeString, Doc: "its name without directories"},
			{Key: "file.size", Type: vec.TypeInt64, Doc: "its size in bytes when it was opened"},
			{Key: "file.modification-time", Type: vec.TypeTimestampLTZ, Doc: "when it was last changed"},
		},
		Check:     check,
		Bounded:   func(t *graph.TableSpec) bool { return t.Options["source.monitor-interval"] == "" },
		Modes:     func(*graph.TableSpec) []graph.ChangelogMode { return []graph.ChangelogMode{graph.Append} },
		Splits:    splits,
		NewSource: func(t *graph.TableSpec) (op.Source, error) { return newSource(t) },
		NewSink:   func(t *graph.TableSpec) (op.Sink, error) { return newSink(t) },
	}
}

func check(t *graph.TableSpec, asSink bool) error {
	if asSink {
		_, err := newSink(t)
		return err
	}
	_, err := newSource(t)
	return err
}

// isPattern reports whether a path is a pattern.
func isPattern(path string) bool { return strings.ContainsAny(path, "*?[") }

// pathOf is the table's path without its scheme.
func pathOf(t *graph.TableSpec) (string, error) {
	p := t.Options["path"]
	if scheme, rest, ok := strings.Cut(p, ":"); ok && !strings.Contains(scheme, "/") {
		if scheme != "file" {
			return "", fmt.Errorf("'path' = '%s': only local files can be read and written, not %s:", p, scheme)
		}
		if after, ok := strings.CutPrefix(rest, "//"); ok {
			rest = strings.TrimPrefix(after, "localhost")
		}
		if !strings.HasPrefix(rest, "/") {
			return "", fmt.Errorf("'path' = '%s' names a host; expected file:///directory", p)
		}
		if un, err := url.PathUnescape(rest); err == nil {
			rest = un
		}
		p = rest
	}
	if p == "" {
		return "", errors.New("'path' is empty")
	}
	return filepath.Clean(p), nil
}

// forFormat is the table without its partition columns, which stand in the names of directories: the format does not see them.
func forFormat(t *graph.TableSpec) (*graph.TableSpec, error) {
	if len(t.PartitionKeys) == 0 {
		return t, nil
	}
	c := *t
	c.Metadata = make([]string, t.Schema.Len())
	copy(c.Metadata, t.Metadata)
	for _, k := range t.PartitionKeys {
		if f := t.Schema.Fields[k]; f.Type.Kind.IsNested() {
			return nil, fmt.Errorf("column %s of type %s cannot partition a table", f.Name, f.Type)
		}
		c.Metadata[k] = partitionKey
	}
	return &c, nil
}

// partitionKey marks a partition column in the Metadata of forFormat's copy.
const partitionKey = "partition"

func defaultPartition(t *graph.TableSpec) string {
	if v := t.Options["partition.default-name"]; v != "" {
		return v
	}
	return "__HIVE_DEFAULT_PARTITION__"
}

func skipLines(t *graph.TableSpec) (int64, error) {
	v := t.Options["source.skip-lines"]
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("option 'source.skip-lines' = '%s' is no number of lines", v)
	}
	return n, nil
}

// leastMonitor keeps a short interval from keeping a disk busy.
const leastMonitor = 10 * time.Millisecond

func monitorInterval(t *graph.TableSpec) (time.Duration, error) {
	v := t.Options["source.monitor-interval"]
	if v == "" {
		return 0, nil
	}
	d, err := duration.Parse(v)
	if err != nil {
		return 0, fmt.Errorf("option 'source.monitor-interval': %w", err)
	}
	return max(d, leastMonitor), nil
}

// splits makes a split of every file. A monitored directory is one split a task, which takes its share of the files by
// their names.
func splits(_ context.Context, t *graph.TableSpec, parallelism int) ([]op.Split, error) {
	path, err := pathOf(t)
	if err != nil {
		return nil, err
	}
	var out []op.Split
	if t.Options["source.monitor-interval"] != "" {
		for i := range parallelism {
			out = append(out, op.Split{ID: fmt.Sprintf("watch-%d-of-%d", i, parallelism)})
		}
		return out, nil
	}
	files, err := list(path)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		out = append(out, op.Split{ID: f.path})
	}
	sorting.By(out, func(a, b op.Split) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}
