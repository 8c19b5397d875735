// Package graph holds a job as data: vertices of chained operators, edges between them, and the specs of every operator. It is what the
// planner makes, the jobmanager schedules and a taskmanager builds tasks from. It runs nothing.
package graph

import (
	"encoding/json"

	"github.com/bramble-stream/bramble/engine/vec"
)

// JobGraph is a planned job. It marshals to JSON.
type JobGraph struct {
	Name string `json:"name"`
	// Vertices are in topological order.
	Vertices       []*Vertex `json:"vertices"`
	Edges          []*Edge   `json:"edges"`
	MaxParallelism int       `json:"maxParallelism"`
	// Config holds what SET and -D said, Flink's keys.
	Config map[string]string `json:"config,omitempty"`
}

// Vertex is a tree of operators that run chained in one task, times Parallelism.
type Vertex struct {
	// ID is stable over edits of the script that keep the vertex: 16 hex digits.
	ID          string `json:"id"`
	Name        string `json:"name"`
	Parallelism int    `json:"parallelism"`
	// Ops are in an order in which inputs come before their consumers; Ops[0] is the head: a source, or what the vertex's input edges feed.
	Ops []*Node `json:"ops"`
}

// Node is one operator in a vertex.
type Node struct {
	// ID is stable like Vertex.ID and unique in the job; it names the operator's state and metrics.
	ID   string `json:"id"`
	Name string `json:"name"`
	// In is the index in Vertex.Ops of the operator that feeds this one, -1 for the head.
	In int `json:"in"`
	// Tag says which output of In feeds it: "" for the main one, TagLate or TagBad for rows routed aside.
	Tag string `json:"tag,omitempty"`
	// Kind names the operator; Spec is the JSON of the kind's spec type.
	Kind Kind            `json:"kind"`
	Spec json.RawMessage `json:"spec"`
	// Out is what the operator emits; nil for sinks.
	Out *vec.Schema `json:"out,omitempty"`
	// SQL is the fragment that the operator came from, Line and Column where it begins.
	SQL    string `json:"sql,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// Tags of side outputs.
const (
	// TagLate carries rows behind the watermark, in the operator's input schema.
	TagLate = "late"
	// TagBad carries undecodable input: BadSchema.
	TagBad = "bad"
)

// BadSchema is what a TagBad output carries: where a record came from, why it was refused, and its first bytes.
var BadSchema = vec.NewSchema(
	vec.Field{Name: "source", Type: vec.TypeString},
	vec.Field{Name: "reason", Type: vec.TypeString},
	vec.Field{Name: "record", Type: vec.TypeBytes},
	vec.Field{Name: "at", Type: vec.TypeTimestampLTZ},
)

// Kind names an operator family.
type Kind string

// The operator kinds and their spec types.
const (
	KindSource    Kind = "source"    // SourceSpec
	KindValues    Kind = "values"    // ValuesSpec; a bounded source, runs in one task
	KindCalc      Kind = "calc"      // CalcSpec: filter and projection
	KindWatermark Kind = "watermark" // WatermarkSpec
	KindAssign    Kind = "assign"    // AssignSpec: window TVF without aggregation
	KindWindow    Kind = "window"    // WindowSpec
	KindGroup     Kind = "group"     // GroupSpec: unbounded aggregation
	KindJoin      Kind = "join"      // JoinSpec; two inputs
	KindRank      Kind = "rank"      // RankSpec: Top-N
	KindSink      Kind = "sink"      // SinkSpec
)

// Partition says how an edge distributes rows over the target's tasks.
type Partition string

// The partitionings.
const (
	Forward   Partition = "forward" // task i to task i; needs equal parallelism
	Hash      Partition = "hash"    // by key group of Keys
	Rebalance Partition = "rebalance"
	Broadcast Partition = "broadcast"
)

// Edge carries the output of one operator to the head of another vertex.
type Edge struct {
	// From and To are indexes into JobGraph.Vertices; FromOp into the source vertex's Ops; Tag as in Node.
	From      int       `json:"from"`
	FromOp    int       `json:"fromOp"`
	Tag       string    `json:"tag,omitempty"`
	To        int       `json:"to"`
	ToInput   int       `json:"toInput"`
	Partition Partition `json:"partition"`
	// Keys are columns of FromOp's output, for Hash.
	Keys []int `json:"keys,omitempty"`
	// Schema is what flows.
	Schema *vec.Schema `json:"schema"`
}
