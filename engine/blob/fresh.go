package blob

import "context"

// freshKey marks contexts of Fresh.
type freshKey struct{}

// Fresh has Open read what storage holds, and not what this machine remembers of it: an object that was written here is in the page cache, where damage of the
// disk, or on the server, does not show. It costs a read of the disk.
func Fresh(ctx context.Context) context.Context { return context.WithValue(ctx, freshKey{}, true) }

func isFresh(ctx context.Context) bool { return ctx.Value(freshKey{}) != nil }
