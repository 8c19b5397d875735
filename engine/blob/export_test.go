package blob

// KindOf is kindOf.
func KindOf(err error) error { return kindOf(err) }

// SetLink replaces os.Link.
func SetLink(f *File, link func(from, to string) error) { f.link = link }
