// Command sbom writes what programs are made of, as a software bill of materials in CycloneDX' JSON: the modules that Go has put into
// each binary, with versions and checksums. It asks nobody.
//
// usage: sbom VERSION PROGRAM...
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type component struct {
	Type       string     `json:"type"`
	BOMRef     string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

type bom struct {
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom VERSION PROGRAM...")
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, version string, programs []string) error {
	b := bom{Format: "CycloneDX", SpecVersion: "1.5", Version: 1}
	b.Metadata.Component = component{Type: "application", BOMRef: "release", Name: "bramble", Version: version}
	all := dependency{Ref: "release"}
	seen := map[string]bool{}
	for _, p := range programs {
		info, err := buildinfo.ReadFile(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if len(info.Deps) == 0 {
			return errors.New(p + " names no modules")
		}
		name := filepath.Base(p)
		b.Components = append(b.Components, component{Type: "application", BOMRef: name, Name: name, Version: version, Properties: settings(info)})
		all.DependsOn = append(all.DependsOn, name)
		of := dependency{Ref: name}
		for _, c := range append([]component{goItself(info)}, modules(info)...) {
			of.DependsOn = append(of.DependsOn, c.BOMRef)
			if !seen[c.BOMRef] {
				seen[c.BOMRef] = true
				b.Components = append(b.Components, c)
			}
		}
		b.Dependencies = append(b.Dependencies, of)
	}
	b.Dependencies = append([]dependency{all}, b.Dependencies...)
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(b)
}

// goItself is the standard library, which has faults like any other.
func goItself(info *debug.BuildInfo) component {
	version := strings.TrimPrefix(info.GoVersion, "go")
	ref := "pkg:golang/std@" + version
	return component{Type: "library", BOMRef: ref, Name: "std", Version: version, PURL: ref}
}

func modules(info *debug.BuildInfo) []component {
	var out []component
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		ref := "pkg:golang/" + m.Path + "@" + m.Version
		c := component{Type: "library", BOMRef: ref, Name: m.Path, Version: m.Version, PURL: ref}
		if m.Sum != "" {
			c.Properties = []property{{"go:sum", m.Sum}}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	return out
}

// settings are how the program was built, as far as it says.
func settings(info *debug.BuildInfo) []property {
	var out []property
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "GO") || s.Key == "CGO_ENABLED" || strings.HasPrefix(s.Key, "vcs.") {
			out = append(out, property{"go:build:" + s.Key, s.Value})
		}
	}
	return out
}
