package parse

import "reflect"

// Walk calls visit for n and, as long as visit returns true, for the nodes
// inside it, in the order in which the tree holds them (mostly that of the
// source). It visits expressions, queries, tables, statements and their parts
// that are pointers to nodes; names, types and options are not descended into.
// Walk is for planning, not for hot paths.
func Walk(n Node, visit func(Node) bool) {
	if n == nil || reflect.ValueOf(n).Kind() == reflect.Pointer && reflect.ValueOf(n).IsNil() {
		return
	}
	if visit(n) {
		walkFields(reflect.ValueOf(n), visit)
	}
}

// walkFields finds the nodes in a struct, or in what points to one. Reflection
// keeps this true for every node, also for those added later.
func walkFields(v reflect.Value, visit func(Node) bool) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for _, f := range v.Fields() {
		switch f.Kind() {
		case reflect.Interface, reflect.Pointer:
			walkValue(f, visit)
		case reflect.Slice:
			for j := range f.Len() {
				walkValue(f.Index(j), visit)
			}
		}
	}
}

func walkValue(v reflect.Value, visit func(Node) bool) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() || !v.CanInterface() {
			return
		}
		if n, ok := v.Interface().(Node); ok {
			Walk(n, visit)
		}
	case reflect.Struct: // FrameBound, PartitionValue: parts held by value
		walkFields(v, visit)
	}
}
