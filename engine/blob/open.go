package blob

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Options are the settings of a kind of storage, as from a configuration file: "s3.endpoint", "s3.secret-key". A value may be
// ${file:/path} or ${NAME} of the environment, whole.
type Options struct {
	Values map[string]string
	// Env and ReadFile are os.Getenv and os.ReadFile if nil.
	Env      func(name string) string
	ReadFile func(path string) ([]byte, error)
}

// Opener opens a kind of storage. It names no secret in its errors.
type Opener func(ctx context.Context, u *url.URL, o Options) (Store, error)

// Openers are kinds by the scheme of their URIs.
type Openers map[string]Opener

// mems are the stores of mem://NAME, which live as long as the process.
var mems sync.Map

// Open opens file:///directory, mem://name (the same store for all of a process who name it) and what more has: give it {"s3": s3.Open}.
// An absolute path without a scheme is a directory, too.
func Open(ctx context.Context, uri string, o Options, more Openers) (Store, error) {
	if filepath.IsAbs(uri) {
		return NewFile(uri)
	}
	u, err := url.Parse(uri)
	if err != nil {
		// url.Error repeats the text, which may hold what somebody took for the place of a password.
		return nil, fmt.Errorf("%w: storage location is not a URI", ErrPermanent)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: storage location %s holds credentials: give them by file or environment", ErrPermanent, u.Redacted())
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return nil, fmt.Errorf("%w: storage location %s names host %q: write file:///path", ErrPermanent, uri, u.Host)
		}
		return NewFile(filepath.FromSlash(u.Path))
	case "mem":
		m, _ := mems.LoadOrStore(u.Host+u.Path, NewMem())
		return m.(*Mem), nil
	}
	if open := more[u.Scheme]; open != nil {
		return open(ctx, u, o)
	}
	known := []string{"file", "mem"}
	for s := range more {
		known = append(known, s)
	}
	slices.Sort(known)
	return nil, fmt.Errorf("%w: storage location %q has scheme %q; known are %s", ErrPermanent, uri, u.Scheme, strings.Join(known, ", "))
}

// Value is the option key, or else the first of the environment's variables that is set.
func (o Options) Value(key string, env ...string) (string, error) {
	get := o.Env
	if get == nil {
		get = os.Getenv
	}
	v, ok := o.Values[key]
	for i := 0; !ok && i < len(env); i++ {
		v = get(env[i])
		ok = v != ""
	}
	ref, isRef := strings.CutPrefix(v, "${")
	ref, closed := strings.CutSuffix(ref, "}")
	if !isRef || !closed {
		return v, nil
	}
	file, isFile := strings.CutPrefix(ref, "file:")
	if !isFile {
		if v = get(ref); v == "" {
			return "", fmt.Errorf("%w: option %s names %s of the environment, which is not set", ErrPermanent, key, ref)
		}
		return v, nil
	}
	read := o.ReadFile
	if read == nil {
		read = os.ReadFile
	}
	b, err := read(file)
	if err != nil {
		return "", fmt.Errorf("option %s: %w", key, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
