package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/bramble-stream/bramble/engine/stream"
	"github.com/bramble-stream/bramble/internal/sorting"
)

// Manifest lists all that a checkpoint or savepoint consists of. It is written last: who can read it can restore.
type Manifest struct {
	JobID string       `json:"jobID"`
	Epoch stream.Epoch `json:"epoch"`
	// Leader is the leader epoch of the jobmanager that completed it. Newer is by Leader first, then by Epoch: an epoch that an older
	// leader completed late does not count once a newer one has completed any.
	Leader uint64 `json:"leader"`
	// Savepoint says that its files are its own; a checkpoint shares them with others of the job.
	Savepoint bool `json:"savepoint,omitempty"`
	// GraphDigest identifies the job graph that it was taken of.
	GraphDigest string `json:"graphDigest"`
	// TriggeredMS and CompletedMS are milliseconds since 1970 by the jobmanager's clock.
	TriggeredMS stream.Time `json:"triggeredMS"`
	CompletedMS stream.Time `json:"completedMS"`
	// Operators are in the order of their IDs.
	Operators []OperatorState `json:"operators"`
}

// OperatorState is one operator's part.
type OperatorState struct {
	// ID is graph.Node.ID, by which a restore finds it again.
	ID string `json:"id"`
	// Name is for messages to people.
	Name           string `json:"name,omitempty"`
	Parallelism    int    `json:"parallelism"`
	MaxParallelism int    `json:"maxParallelism"`
	// Form says how the state is written, graph.StateForm; only an operator with the same reads it. "" is none, or of a manifest of version 1, which
	// did not say.
	Form string `json:"form,omitempty"`
	// Tasks has one entry for each task, in the order of Index, which is 0 to Parallelism-1.
	Tasks []TaskState `json:"tasks"`
}

// TaskState is what one task says about one operator.
type TaskState struct {
	Index int `json:"index"`
	// Range are the key groups that the files hold.
	Range stream.KeyRange `json:"range"`
	// Finished says that the task had come to its end.
	Finished bool `json:"finished,omitempty"`
	// Files are the keyed state: one store's snapshot.
	Files []File `json:"files,omitempty"`
	// State is the operator's own, nil for none.
	State        []byte        `json:"state,omitempty"`
	Splits       []Split       `json:"splits,omitempty"`
	Committables []Committable `json:"committables,omitempty"`
}

// File is one immutable file of state.
type File struct {
	// Path is the object's name below the job's directory, or the savepoint's.
	Path string `json:"path"`
	// Name is what the store's snapshot calls it.
	Name      string   `json:"name"`
	SizeBytes int64    `json:"sizeBytes"`
	Checksum  Checksum `json:"checksum"`
}

// Checksum is XXH3-64 of a file, written as 16 hex digits since not every reader of JSON keeps 64 bits of a number.
type Checksum uint64

// MarshalText implements encoding.TextMarshaler.
func (c Checksum) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(c)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Checksum) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil || len(b) != 16 {
		return fmt.Errorf("checksum %.20q is not 16 hex digits", b)
	}
	*c = Checksum(v)
	return nil
}

// Split is a part of a source with the position to read on from.
type Split struct {
	ID  string `json:"id"`
	Pos []byte `json:"pos,omitempty"`
	// Ended says that it has been read to its end.
	Ended bool `json:"ended,omitempty"`
}

// Committable is what a sink prepared at an epoch and has to commit now.
type Committable struct {
	Epoch stream.Epoch `json:"epoch"`
	Data  []byte       `json:"data"`
}

// Newer reports whether m counts before o when a job restores.
func (m *Manifest) Newer(o *Manifest) bool {
	return cmp.Or(cmp.Compare(m.Leader, o.Leader), cmp.Compare(m.Epoch, o.Epoch)) > 0
}

// Files calls f for each file, in order.
func (m *Manifest) Files(f func(*File)) {
	for i := range m.Operators {
		for j := range m.Operators[i].Tasks {
			files := m.Operators[i].Tasks[j].Files
			for k := range files {
				f(&files[k])
			}
		}
	}
}

// SizeBytes is that of all files and all that the manifest itself holds of operators.
func (m *Manifest) SizeBytes() int64 {
	var n int64
	for i := range m.Operators {
		for j := range m.Operators[i].Tasks {
			n += m.Operators[i].Tasks[j].SizeBytes()
		}
	}
	return n
}

// SizeBytes is that of the files, the state, the positions and the committables.
func (t *TaskState) SizeBytes() int64 {
	n := int64(len(t.State))
	for _, f := range t.Files {
		n += f.SizeBytes
	}
	for _, s := range t.Splits {
		n += int64(len(s.Pos))
	}
	for _, c := range t.Committables {
		n += int64(len(c.Data))
	}
	return n
}

// Operator returns the operator's part, nil for none.
func (m *Manifest) Operator(id string) *OperatorState {
	i, ok := slices.BinarySearchFunc(m.Operators, id, func(o OperatorState, id string) int { return cmp.Compare(o.ID, id) })
	if !ok {
		return nil
	}
	return &m.Operators[i]
}

// sort brings operators and tasks into their order, so that equal checkpoints are equal bytes.
func (m *Manifest) sort() {
	sorting.By(m.Operators, func(a, b OperatorState) int { return cmp.Compare(a.ID, b.ID) })
	for i := range m.Operators {
		sorting.By(m.Operators[i].Tasks, func(a, b TaskState) int { return cmp.Compare(a.Index, b.Index) })
	}
}

// limitParallelism is the number of key groups that a stream.KeyGroup can name.
const limitParallelism = 1 << 15

// Validate checks what a restore relies on.
func (m *Manifest) Validate() error {
	if m.JobID == "" || m.Epoch == 0 {
		return fmt.Errorf("%w: job %q, epoch %d", errInvalid, m.JobID, m.Epoch)
	}
	sizes := map[string]File{}
	for i := range m.Operators {
		o := &m.Operators[i]
		if i > 0 && m.Operators[i-1].ID >= o.ID || o.ID == "" {
			return fmt.Errorf("%w: operator %q is not in order", errInvalid, o.ID)
		}
		if err := o.validate(sizes); err != nil {
			return fmt.Errorf("operator %q: %w", o.ID, err)
		}
	}
	return nil
}

var errInvalid = errors.New("invalid manifest")

func (o *OperatorState) validate(sizes map[string]File) error {
	if o.Parallelism < 1 || o.MaxParallelism < o.Parallelism || o.MaxParallelism > limitParallelism || len(o.Tasks) != o.Parallelism {
		return fmt.Errorf("%w: parallelism %d of at most %d, %d tasks", errInvalid, o.Parallelism, o.MaxParallelism, len(o.Tasks))
	}
	splits := map[string]bool{}
	for i := range o.Tasks {
		t := &o.Tasks[i]
		if t.Index != i || t.Range != stream.RangeOf(i, o.MaxParallelism, o.Parallelism) {
			return fmt.Errorf("%w: entry %d is of task %d, key groups [%d, %d)", errInvalid, i, t.Index, t.Range.First, t.Range.Limit)
		}
		names := map[string]bool{}
		for _, f := range t.Files {
			before, ok := sizes[f.Path]
			if f.Path == "" || f.Name == "" || f.SizeBytes < 0 || names[f.Name] || ok && (before.SizeBytes != f.SizeBytes || before.Checksum != f.Checksum) {
				return fmt.Errorf("%w: task %d, file %q at %q of %d bytes", errInvalid, i, f.Name, f.Path, f.SizeBytes)
			}
			names[f.Name], sizes[f.Path] = true, f
		}
		for _, s := range t.Splits {
			if s.ID == "" || splits[s.ID] {
				return fmt.Errorf("%w: task %d, split %q", errInvalid, i, s.ID)
			}
			splits[s.ID] = true
		}
	}
	return nil
}
