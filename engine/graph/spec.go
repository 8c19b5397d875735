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
	// AwayMS: for so long the silence of a split that cannot be heard, because a connection is down, does not count for IdleMS and FallbackMS.
	AwayMS int64 `json:"awayMS,omitempty"`
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

// JoinType says which rows a join gives: pairs, and what of rows without a partner.
type JoinType string

// The join types. Semi and Anti give the left rows that have a partner, and those that have none.
const (
	InnerJoin JoinType = "INNER"
	LeftJoin  JoinType = "LEFT"
	RightJoin JoinType = "RIGHT"
	FullJoin  JoinType = "FULL"
	SemiJoin  JoinType = "SEMI"
	AntiJoin  JoinType = "ANTI"
)

// JoinMode says how long rows wait for partners.
type JoinMode string

// The join modes.
const (
	// Regular keeps rows for ever (or TTLMS); its output is a changelog when an input is one, or when the type gives rows without partners.
	Regular JoinMode = "regular"
	// WindowJoin joins rows of equal windows when the windows close. Keys include the window's bounds.
	WindowJoin JoinMode = "window"
	// IntervalJoin joins rows whose times are near each other.
	IntervalJoin JoinMode = "interval"
)

// JoinSpec joins input 0, the left one, and input 1, on equal keys; NULL equals nothing.
type JoinSpec struct {
	Type JoinType `json:"type"`
	Mode JoinMode `json:"mode"`
	// LeftKeys and RightKeys are columns of the inputs, of KeyTypes. Without keys there is one task.
	LeftKeys  []int      `json:"leftKeys"`
	RightKeys []int      `json:"rightKeys"`
	KeyTypes  []vec.Type `json:"keyTypes"`
	// Condition is BOOLEAN over the left columns followed by the right ones, or nil.
	Condition *expr.Expr `json:"condition,omitempty"`
	// Out lists the output's columns: indexes into the left columns followed by the right ones.
	Out []int `json:"out"`
	// LeftTime and RightTime are for WindowJoin the columns of window_end, for IntervalJoin the time attributes.
	LeftTime  int `json:"leftTime,omitempty"`
	RightTime int `json:"rightTime,omitempty"`
	// LowerMS and UpperMS bound left time - right time, both included, in an IntervalJoin.
	LowerMS int64 `json:"lowerMS,omitempty"`
	UpperMS int64 `json:"upperMS,omitempty"`
	// LTZ: window_end is local time, and watermarks are UTC instants (WindowJoin).
	LTZ bool `json:"ltz,omitempty"`
	// Retracts: an input carries -U and -D rows (Regular).
	Retracts bool `json:"retracts,omitempty"`
	// TTLMS drops rows that have been kept for so long (Regular); 0 never.
	TTLMS int64 `json:"ttlMS,omitempty"`
}

// RankSpec keeps the first Limit rows of each partition in an order. Output is the input's columns, and the rank with Number; it is a changelog
// unless Window.
type RankSpec struct {
	Keys     []int      `json:"keys"`
	KeyTypes []vec.Type `json:"keyTypes"`
	Order    []RankKey  `json:"order"`
	// Offset rows are left out before the first; Limit is the last rank that is given.
	Offset int64 `json:"offset,omitempty"`
	Limit  int64 `json:"limit"`
	// Number appends the rank, BIGINT, to the rows.
	Number bool `json:"number,omitempty"`
	// LastFirst: of rows that are equal in Order the one that came last is first; otherwise the one that came first.
	LastFirst bool `json:"lastFirst,omitempty"`
	// InputRetracts: the input carries -U and -D rows, so that all rows are kept.
	InputRetracts bool `json:"inputRetracts,omitempty"`
	// EmitUpdateBefore: the consumer needs -U rows.
	EmitUpdateBefore bool `json:"emitUpdateBefore,omitempty"`
	// Window says that the rows of a partition come to an end with their window: EndCol is window_end, and rows are given once, when it closes.
	Window bool `json:"window,omitempty"`
	EndCol int  `json:"endCol,omitempty"`
	LTZ    bool `json:"ltz,omitempty"`
	// TTLMS drops rows that have been kept for so long; 0 never.
	TTLMS int64 `json:"ttlMS,omitempty"`
}

// RankKey is a column to order by.
type RankKey struct {
	Col  int  `json:"col"`
	Desc bool `json:"desc,omitempty"`
	// NullsLast puts NULLs behind all values, whatever Desc says; otherwise they are before them.
	NullsLast bool `json:"nullsLast,omitempty"`
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
	// NotNull are columns that the table declares NOT NULL. A row with NULL in one fails the job, or is dropped with DropNulls.
	NotNull   []int `json:"notNull,omitempty"`
	DropNulls bool  `json:"dropNulls,omitempty"`
	// Line and Column are where the INSERT is, for errors.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}
