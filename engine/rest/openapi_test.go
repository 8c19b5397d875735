package rest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write the schemas of openapi.yaml anew")

// marker ends the part of openapi.yaml that people write.
const marker = "    # What follows is made of the Go types: go test ./engine/rest -run TestOpenAPISchemas -update\n"

// TestOpenAPISchemas compares the schemas of the document with the types that answers are made of.
func TestOpenAPISchemas(t *testing.T) {
	head, tail, ok := bytes.Cut(openAPIDocument, []byte(marker))
	if !ok {
		t.Fatalf("openapi.yaml has no line %q", marker)
	}
	var want strings.Builder
	for _, file := range []string{"model.go", "server.go", "../inspect/flame.go"} {
		writeSchemas(t, &want, file)
	}
	if *update {
		if err := os.WriteFile("openapi.yaml", []byte(string(head)+marker+want.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(tail) != want.String() {
		t.Error("the schemas are not those of the Go types; run with -update")
	}
}

// writeSchemas writes the structs of a file whose fields have names in JSON.
func writeSchemas(t *testing.T, b *strings.Builder, file string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, spec := range g.Specs {
			ts, _ := spec.(*ast.TypeSpec)
			if st, ok := ts.Type.(*ast.StructType); ok {
				writeSchema(b, ts.Name.Name, describe(g.Doc), st)
			}
		}
	}
}

func describe(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

func writeSchema(b *strings.Builder, name, doc string, st *ast.StructType) {
	var required, lines, embedded []string
	for _, f := range st.Fields.List {
		if f.Tag == nil {
			if id, ok := f.Type.(*ast.Ident); ok && len(f.Names) == 0 {
				embedded = append(embedded, id.Name)
			}
			continue
		}
		tag, _ := strconv.Unquote(f.Tag.Value)
		key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		if key == "" || key == "-" {
			continue
		}
		required = append(required, key)
		line := fmt.Sprintf("        %s: %s", key, schemaOf(f.Type))
		if d := describe(f.Doc); d != "" {
			line = strings.TrimSuffix(line, "}") + ", description: " + strconv.Quote(d) + "}"
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "    %s:\n      description: %s\n", name, strconv.Quote(doc))
	if len(embedded) > 0 {
		b.WriteString("      allOf:\n")
		for _, e := range embedded {
			fmt.Fprintf(b, "        - {$ref: \"#/components/schemas/%s\"}\n", e)
		}
	}
	fmt.Fprintf(b, "      type: object\n      required: [%s]\n      properties:\n%s\n", strings.Join(required, ", "), strings.Join(lines, "\n"))
}

var scalars = map[string]string{
	"string": "string", "bool": "boolean", "int": "integer", "int32": "integer", "int64": "integer", "uint64": "integer", "float64": "number",
}

// schemaOf is the schema of a Go type, on one line.
func schemaOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if s := scalars[e.Name]; s != "" {
			return "{type: " + s + "}"
		}
		return `{$ref: "#/components/schemas/` + e.Name + `"}`
	case *ast.StarExpr:
		id, _ := e.X.(*ast.Ident)
		if s := scalars[id.Name]; s != "" {
			return "{type: [" + s + `, "null"]}`
		}
		return `{anyOf: [{$ref: "#/components/schemas/` + id.Name + `"}, {type: "null"}]}`
	case *ast.ArrayType:
		of := e.Elt
		if p, ok := of.(*ast.StarExpr); ok {
			of = p.X // lists have no holes
		}
		return "{type: array, items: " + schemaOf(of) + "}"
	case *ast.MapType:
		return "{type: object, additionalProperties: " + schemaOf(e.Value) + "}"
	}
	return "{}"
}

func document(t *testing.T) map[string]any {
	t.Helper()
	var d map[string]any
	if err := yaml.Unmarshal(openAPIDocument, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpenAPIRoutes compares the document's paths with the routes.
func TestOpenAPIRoutes(t *testing.T) {
	s, _ := newFake(t, Access{})
	var documented []string
	paths, _ := document(t)["paths"].(map[string]any)
	for path, item := range paths {
		methods, _ := item.(map[string]any)
		for method := range methods {
			if method != "parameters" {
				documented = append(documented, strings.ToUpper(method)+" "+path)
			}
		}
	}
	for _, r := range s.own {
		if !slices.Contains(documented, r) {
			t.Errorf("openapi.yaml has no %s", r)
		}
	}
	for _, d := range documented {
		if !slices.Contains(s.own, d) {
			t.Errorf("there is no %s, but openapi.yaml has it", d)
		}
	}
}

// TestOpenAPIAnswers compares answers with the document.
func TestOpenAPIAnswers(t *testing.T) {
	s, _ := newFake(t, Access{})
	doc := document(t)
	for _, c := range []struct{ method, path, pattern, body, code string }{
		{"GET", "/api/v1/session", "/api/v1/session", "", "200"},
		{"GET", "/api/v1/cluster", "/api/v1/cluster", "", "200"},
		{"GET", "/api/v1/jobs/" + jobID, "/api/v1/jobs/{id}", "", "200"},
		{"GET", "/api/v1/jobs/" + doneID, "/api/v1/jobs/{id}", "", "200"},
		{"GET", "/api/v1/jobs/" + jobID + "/series", "/api/v1/jobs/{id}/series", "", "200"},
		{"GET", "/api/v1/jobs/77", "/api/v1/jobs/{id}", "", "404"},
		{"POST", "/api/v1/jobs", "/api/v1/jobs", `{"script":"x"}`, "200"},
		{"POST", "/api/v1/jobs", "/api/v1/jobs", `{"script":"a;\nSELECT tmep"}`, "400"},
		{"POST", "/api/v1/jobs/" + jobID + "/cancel", "/api/v1/jobs/{id}/cancel", "", "202"},
		{"POST", "/api/v1/sql/validate", "/api/v1/sql/validate", `{"script":"x"}`, "200"},
		{"POST", "/api/v1/sql/validate", "/api/v1/sql/validate", `{"script":"a;\nSELECT tmep"}`, "200"},
		{"POST", "/api/v1/sql/complete", "/api/v1/sql/complete", `{"script":"x","line":1,"column":2}`, "200"},
		{"GET", "/api/v1/examples", "/api/v1/examples", "", "200"},
	} {
		w := call(t, s, c.method, c.path, c.body)
		schema := at(doc, "paths", c.pattern, strings.ToLower(c.method), "responses", c.code)
		schema = at(resolve(doc, schema), "content", "application/json", "schema")
		var v any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || fmt.Sprint(w.Code) != c.code || schema == nil {
			t.Errorf("%s %s: %d %s, schema %v", c.method, c.path, w.Code, w.Body, schema)
			continue
		}
		for _, f := range conforms(doc, "", schema, v, true) {
			t.Errorf("%s %s: %s", c.method, c.path, f)
		}
	}
	s.Wait()
	if f := conforms(doc, "", at(doc, "components", "schemas", "Session"), map[string]any{"version": 1.0}, true); len(f) < 2 {
		t.Errorf("a session that is none passes: %v", f)
	}
}

// at follows keys into a document.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// resolve follows a reference.
func resolve(doc, schema any) any {
	if ref, ok := at(schema, "$ref").(string); ok {
		return resolve(doc, at(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...))
	}
	return schema
}

// conforms returns how a value differs from a schema. strict wants no further keys.
func conforms(doc any, where string, schema, v any, strict bool) []string {
	schema = resolve(doc, schema)
	if schema == nil {
		return []string{where + ": there is no schema"}
	}
	if choices, ok := at(schema, "anyOf").([]any); ok {
		var last []string
		for _, c := range choices {
			if last = conforms(doc, where, c, v, strict); len(last) == 0 {
				return nil
			}
		}
		return last
	}
	if values, ok := at(schema, "enum").([]any); ok && !slices.Contains(values, v) {
		return []string{fmt.Sprintf("%s: %v is none of %v", where, v, values)}
	}
	var types []any
	switch t := at(schema, "type").(type) {
	case string:
		types = []any{t}
	case []any:
		types = t
	}
	if kind := kindOf(v); !slices.Contains(types, any(kind)) && (kind != "integer" || !slices.Contains(types, any("number"))) {
		return []string{fmt.Sprintf("%s: %v is %s, want %v", where, v, kind, types)}
	}
	var faults []string
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			faults = append(faults, conforms(doc, fmt.Sprintf("%s[%d]", where, i), at(schema, "items"), e, strict)...)
		}
	case map[string]any:
		faults = conformsObject(doc, where, schema, v, strict)
	}
	return faults
}

func conformsObject(doc any, where string, schema any, v map[string]any, strict bool) []string {
	var faults []string
	known := map[string]any{}
	collect(doc, schema, known)
	for _, r := range requiredOf(doc, schema) {
		if _, ok := v[r]; !ok {
			faults = append(faults, where+"."+r+" is missing")
		}
	}
	for k, e := range v {
		s, ok := known[k]
		if !ok {
			s = at(schema, "additionalProperties")
		}
		switch {
		case s != nil:
			faults = append(faults, conforms(doc, where+"."+k, s, e, strict)...)
		case strict:
			faults = append(faults, where+"."+k+" is not in the document")
		}
	}
	return faults
}

// collect gathers the properties of a schema and of those that it contains.
func collect(doc, schema any, into map[string]any) {
	schema = resolve(doc, schema)
	all, _ := at(schema, "allOf").([]any)
	for _, s := range all {
		collect(doc, s, into)
	}
	properties, _ := at(schema, "properties").(map[string]any)
	maps.Copy(into, properties)
}

func requiredOf(doc, schema any) []string {
	schema = resolve(doc, schema)
	var keys []string
	all, _ := at(schema, "allOf").([]any)
	for _, s := range all {
		keys = append(keys, requiredOf(doc, s)...)
	}
	own, _ := at(schema, "required").([]any)
	for _, k := range own {
		keys = append(keys, fmt.Sprint(k))
	}
	return keys
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
