package filesystem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// file is what a listing says of one.
type file struct {
	path string
	size int64
	// modified is in ms since the epoch.
	modified int64
}

// errNothing says that a path names nothing that could be read.
var errNothing = errors.New("nothing to read")

// list returns the files that a path names: itself, those that a pattern matches, those below a directory. Hidden ones are left out.
func list(path string) ([]file, error) {
	roots := []string{path}
	if isPattern(path) {
		var err error
		if roots, err = filepath.Glob(path); err != nil {
			return nil, fmt.Errorf("'path' = '%s': %w", path, err)
		}
		if len(roots) == 0 {
			return nil, fmt.Errorf("%w: no file matches %s", errNothing, path)
		}
	}
	var out []file
	for _, root := range roots {
		if isPattern(path) && isHidden(root) {
			continue
		}
		if err := listBelow(root, &out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// isHidden: names that begin with . or _ are other programs' business, or not finished.
func isHidden(path string) bool {
	name := filepath.Base(path)
	return name != "." && name != ".." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_"))
}

func listBelow(root string, out *[]file) error {
	info, err := os.Stat(root) // follows a link, which WalkDir would not at the root
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errNothing, err)
	} else if err != nil {
		return err
	}
	if !info.IsDir() {
		*out = append(*out, file{root, info.Size(), info.ModTime().UnixMilli()})
		return nil
	}
	// With a / at the end a link to a directory is walked.
	return filepath.WalkDir(root+string(filepath.Separator), func(p string, d fs.DirEntry, err error) error {
		p = filepath.Clean(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since its directory was read
		case err != nil:
			return err
		case p != filepath.Clean(root) && isHidden(p):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		info, err := os.Stat(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && info.Mode().IsRegular() {
			*out = append(*out, file{p, info.Size(), info.ModTime().UnixMilli()})
		}
		return err
	})
}
