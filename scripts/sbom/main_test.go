package main

import (
	"bytes"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

func TestModules(t *testing.T) {
	got := modules(&debug.BuildInfo{Deps: []*debug.Module{
		{Path: "example.org/b", Version: "v1.2.3", Sum: "h1:abc="},
		{Path: "example.org/a", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v1.0.1"}},
	}})
	if len(got) != 2 || got[0].PURL != "pkg:golang/example.org/b@v1.2.3" || got[0].Properties[0].Value != "h1:abc=" || got[1].PURL != "pkg:golang/example.org/fork@v1.0.1" {
		t.Errorf("%+v", got)
	}
}

func TestOnlyProgramsWithModules(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{self: "no modules", "main.go": "main.go"} {
		if err := run(&bytes.Buffer{}, "1.0", []string{path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
