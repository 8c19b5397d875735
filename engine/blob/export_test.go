package blob

import (
	"context"
	"time"
)

// KindOf is kindOf.
func KindOf(err error) error { return kindOf(err) }

// SetLink replaces os.Link.
func SetLink(f *File, link func(from, to string) error) { f.link = link }

// SetSystem replaces os.Rename, os.Remove and Sleep.
func SetSystem(f *File, rename func(from, to string) error, remove func(string) error, sleep func(context.Context, time.Duration) error) {
	f.rename, f.remove, f.sleep = rename, remove, sleep
}
