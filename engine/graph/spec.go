package graph

import (
	"github.com/bramble-stream/bramble/engine/agg"
	"github.com/bramble-stream/bramble/engine/expr"
	"github.com/bramble-stream/bramble/engine/vec"
)

// TableSpec is a table as a connector sees it.
type TableSpec struct {
	Name      string `json:"name"`
	Connector string `json:"connector"`
	// Options are the WITH clause, connector key left out. Values may hold ${file:…} for secrets: resolve with op.Option when opening.
	Options map[string]string `json:"options"`
	// Schema has the columns that are read or written physically, in the order in which batches carry them.
	Schema *vec.Schema `json:"schema"`
	// Metadata[i] is the metadata key that column i of Schema comes from (or goes to), "" for a column of the format.
	Metadata []string `json:"metadata,omitempty"`
	// PrimaryKey and PartitionKeys are columns of Schema.
	PrimaryKey    []int `json:"primaryKey,omitempty"`
	PartitionKeys []int `json:"partitionKeys,omitempty"`
}

// SourceSpec reads a table.
type SourceSpec struct {
	Table TableSpec `json:"table"`
	// Bounded says that the connector's splits end.
	Bounded bool `json:"bounded"`
}

// ValuesSpec emits constant rows once.
type ValuesSpec struct {
	// Rows are constant expressions, one a column of the node's Out.
	Rows [][]*expr.Expr `json:"rows"`
}

// CalcSpec filters, then projects.
type CalcSpec struct {
	// Filter is BOOLEAN or nil: rows where it is not TRUE are left out.
	Filter *expr.Expr `json:"filter,omitempty"`
	// Exprs are over the input; nil means all input columns as they are.
	Exprs []*expr.Expr `json:"exprs,omitempty"`
}

// WatermarkSpec makes watermarks from a column, per split.
type WatermarkSpec struct {
	// TimeCol is the rowtime column, TIMESTAMP or TIMESTAMP_LTZ. A row with NULL in it is refused and counted.
	TimeCol int `json:"timeCol"`
	// Expr is the watermark over the input: usually the column minus an interval.
	Expr *expr.Expr `json:"expr"`
	// IdleMS: a split without rows for so long is idle; 0 never.
	IdleMS int64 `json:"idleMS,omitempty"`
	// MaxFutureMS: a row further ahead of the wall clock is refused and counted, so that it cannot push the watermark; 0 accepts all.
	MaxFutureMS int64 `json:"maxFutureMS,omitempty"`
	// FallbackMS: when no row has come for so long, the watermark follows the wall clock at this distance, so that the last windows
	// of a silent source close; 0 never.
	FallbackMS int64 `json:"fallbackMS,omitempty"`
	// LocalZone says that the column is TIMESTAMP (local wall-clock time): compared with the clock in table.local-time-zone.
	LocalZone bool `json:"localZone,omitempty"`
}

// WindowKind is a shape of window.
type WindowKind string

// The window kinds.
const (
	Tumble   WindowKind = "TUMBLE"
	Hop      WindowKind = "HOP"
	Cumulate WindowKind = "CUMULATE"
	Session  WindowKind = "SESSION"
	// Attached takes windows that the rows already carry in StartCol and EndCol.
	Attached WindowKind = "ATTACHED"
)

// Windowing assigns rows to windows. Windows are [start, end) with start aligned to OffsetMS + k * slide.
type Windowing struct {
	Kind WindowKind `json:"kind"`
	// SizeMS is the length (CUMULATE: the maximum), SlideMS the HOP slide or CUMULATE step, GapMS the SESSION gap.
	SizeMS   int64 `json:"sizeMS,omitempty"`
	SlideMS  int64 `json:"slideMS,omitempty"`
	GapMS    int64 `json:"gapMS,omitempty"`
	OffsetMS int64 `json:"offsetMS,omitempty"`
	// TimeCol is the time attribute's column, or -1 for processing time.
	TimeCol int `json:"timeCol"`
	// LTZ: times are UTC instants, and windows align to local time in table.local-time-zone; window_start and window_end are local TIMESTAMPs.
	LTZ bool `json:"ltz,omitempty"`
	// StartCol and EndCol are for Attached.
	StartCol int `json:"startCol,omitempty"`
	EndCol   int `json:"endCol,omitempty"`
}

// AssignSpec appends window_start, window_end, window_time to each row, once for each window that it is in.
// For SESSION, Keys partition the sessions (rows are held back until their session closes).
type AssignSpec struct {
	Windowing Windowing `json:"windowing"`
	Keys      []int     `json:"keys,omitempty"`
}

// Stage is how far a window aggregation goes.
type Stage string

// The stages: Single does all; Local pre-aggregates slices before the shuffle, Global merges and fires.
const (
	Single Stage = "single"
	Local  Stage = "local"
	Global Stage = "global"
)

// WindowSpec aggregates by key and window. Output of Single and Global: the Keys' columns, one column an aggregate, then
// window_start TIMESTAMP(3), window_end TIMESTAMP(3), window_time (TIMESTAMP or, with LTZ or processing time, TIMESTAMP_LTZ) =
// window_end - 1 ms. Output of Local: the Keys' columns, slice_end BIGINT, then the aggregates' partial columns (agg.PartialTypes); the input
// of Global is that, and its Keys are the first columns of it.
type WindowSpec struct {
	Windowing Windowing  `json:"windowing"`
	Stage     Stage      `json:"stage"`
	Keys      []int      `json:"keys"`
	Aggs      []agg.Spec `json:"aggs"`
	// InputKeyTypes are the types of Keys.
	InputKeyTypes []vec.Type `json:"keyTypes"`
}

// GroupSpec aggregates by key without windows; output is a changelog: the Keys' columns, then one column an aggregate.
type GroupSpec struct {
	Keys     []int      `json:"keys"`
	KeyTypes []vec.Type `json:"keyTypes"`
	Aggs     []agg.Spec `json:"aggs"`
	// InputRetracts: the input carries -U and -D rows, so accumulators must take rows back.
	InputRetracts bool `json:"inputRetracts,omitempty"`
	// EmitUpdateBefore: the consumer needs -U rows.
	EmitUpdateBefore bool `json:"emitUpdateBefore,omitempty"`
	// TTLMS drops a key's state when it has not been updated for so long; 0 never.
	TTLMS int64 `json:"ttlMS,omitempty"`
}

// ChangelogMode says which row kinds reach a sink.
type ChangelogMode string

// The changelog modes: Append has +I only, Upsert has +I +U -D by primary key, Retract all four.
const (
	Append  ChangelogMode = "append"
	Upsert  ChangelogMode = "upsert"
	Retract ChangelogMode = "retract"
)

// SinkSpec writes a table. The input has exactly the columns of Table.Schema.
type SinkSpec struct {
	Table TableSpec     `json:"table"`
	Mode  ChangelogMode `json:"mode"`
}
