//go:build !linux

package blob

import "os"

// refresh is for network file systems on Linux.
func refresh(string) {}

// uncache is for Linux.
func uncache(*os.File, int64, int64) {}
