// Package proto holds the schema of everything that crosses a process boundary, and how
// its Go code is generated. It contains no code itself: the packages below it do, and
// their *.pb.go files are checked in so that building Bramble needs Go alone.
//
// After changing a .proto file run `go generate ./proto/...` (or `make generate`). That
// lints the schema first; buf and the plugins are pinned in tools/go.mod, and no protoc
// is needed.
package proto

//go:generate go tool -modfile=../tools/go.mod buf lint
//go:generate go tool -modfile=../tools/go.mod buf generate
