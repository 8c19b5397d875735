package checkpoint

import (
	"fmt"

	"github.com/bramble-stream/bramble/engine/stream"
)

// Task names a task of a job: the vertex's place in the graph and the index of the parallel instance. It converts to job.Ref.
type Task struct{ Vertex, Index int }

// String is "0/1".
func (t Task) String() string { return fmt.Sprintf("%d/%d", t.Vertex, t.Index) }

// TaskPart is one task's part of an operator.
type TaskPart struct {
	// Operator is graph.Node.ID, Name its name.
	Operator, Name string
	// Parallelism and MaxParallelism are the vertex's.
	Parallelism, MaxParallelism int
	// State's Index and Range are the task's.
	State TaskState
	// NewBytes is what had to be uploaded: the increment.
	NewBytes int64
}

// Event is something that happened. The set is closed.
type Event interface{ event() }

// The events. Those that name an epoch which is no longer pending are ignored, whatever their order and however often they come.
type (
	// Started says that all tasks of a new attempt run. Upstream[t] are the tasks that feed t, none for sources.
	Started struct {
		Tasks    []Task
		Upstream map[Task][]Task
	}
	// Stopped says that the attempt's tasks have failed or are being cancelled: what they report from now on does not count.
	Stopped struct{ Reason string }
	// Restart asks for Restore, to begin another attempt; it comes after Stopped.
	Restart struct{}
	// Tick tells the time; it is due at Deadline.
	Tick struct{}
	// Request asks for a savepoint, or for a checkpoint out of turn. ID comes back in SavepointDone or SavepointFailed.
	Request struct {
		ID        string
		Savepoint bool
		// Stop says that the job is to end after it; Path is where a savepoint goes.
		Stop bool
		// Drain, with Stop, says that event time comes to its end before it.
		Drain bool
		Path  string
	}
	// Acked says that a task's part is durable.
	Acked struct {
		Epoch stream.Epoch
		Task  Task
		Parts []TaskPart
		// Savepoint is the barrier's: the files belong to it alone, and the coordinator never deletes them.
		Savepoint bool
		// AlignMS, SnapshotMS and UploadMS are how long the task took for it.
		AlignMS, SnapshotMS, UploadMS int64
	}
	// Declined says that a task cannot do its part.
	Declined struct {
		Epoch  stream.Epoch
		Task   Task
		Reason string
		// Name is what people call the task, "" for its numbers.
		Name string
	}
	// Finished says that a task has come to its end, and what it leaves: it is part of every later checkpoint. Keyed state is not: nobody
	// will look it up any more.
	Finished struct {
		Task  Task
		Parts []TaskPart
	}
	// Written says that the manifest is durable and that this jobmanager still led after that.
	Written struct {
		Epoch stream.Epoch
		// Path is where it is, for people.
		Path string
	}
	// WriteFailed says that the manifest could not be written, or that nobody knows.
	WriteFailed struct {
		Epoch  stream.Epoch
		Reason string
	}
	// Deleted answers Delete: with an empty Failure all is gone.
	Deleted struct {
		Epochs  []stream.Epoch
		Files   []string
		Failure string
	}
	// Damaged says that a completed checkpoint cannot be restored from: a restart begins with the one before, and this one is deleted when
	// another has completed. The only one stays, as there is nothing else to begin with.
	Damaged struct{ Epoch stream.Epoch }
	// Fenced says that another jobmanager leads: nothing is done any more.
	Fenced struct{}
)

func (Started) event()     {}
func (Stopped) event()     {}
func (Restart) event()     {}
func (Tick) event()        {}
func (Request) event()     {}
func (Acked) event()       {}
func (Declined) event()    {}
func (Finished) event()    {}
func (Written) event()     {}
func (WriteFailed) event() {}
func (Deleted) event()     {}
func (Damaged) event()     {}
func (Fenced) event()      {}

// Command is something to do. The set is closed.
type Command interface{ command() }

// The commands.
type (
	// Trigger tells tasks to begin: those that run and have no upstream that does. A task that has the epoch already ignores it.
	Trigger struct {
		Barrier stream.Barrier
		Tasks   []Task
		// Path is where a savepoint goes, empty for checkpoints.
		Path string
	}
	// Abort tells tasks to give the epoch up.
	Abort struct {
		Epoch  stream.Epoch
		Tasks  []Task
		Reason string
	}
	// WriteManifest asks for Written or WriteFailed. Path is where a savepoint goes.
	WriteManifest struct {
		Manifest *Manifest
		Path     string
		// Stop: the job ends with this savepoint, and must not begin from anything older once it is committed.
		Stop bool
	}
	// Commit tells tasks that the epoch is complete. A task that reuses files afterwards reuses those of this epoch or later ones.
	// Savepoint: it is the one that the job stops with; others commit nothing, as no restart begins with them.
	Commit struct {
		Epoch     stream.Epoch
		Tasks     []Task
		Savepoint bool
		Stop      bool
	}
	// Delete removes the manifests of epochs first and, when all those are gone, the files. It asks for Deleted.
	Delete struct {
		Epochs []stream.Epoch
		Files  []string
	}
	// Restore names what the next attempt begins with; nil: from the beginning (or the savepoint that the job was submitted with). Path is
	// where it is if it is a savepoint: then the job was being stopped with it, and has committed it.
	Restore struct {
		Manifest *Manifest
		Path     string
	}
	// RequestDone answers a Request, as RequestFailed does. Path is empty where a later checkpoint, of Epoch, took the place of the one asked for.
	RequestDone struct {
		ID    string
		Epoch stream.Epoch
		Path  string
	}
	// RequestFailed answers a Request.
	RequestFailed struct{ ID, Reason string }
	// FailJob says that more checkpoints in a row have failed than are tolerable.
	FailJob struct{ Reason string }
)

func (Trigger) command()       {}
func (Abort) command()         {}
func (WriteManifest) command() {}
func (Commit) command()        {}
func (Delete) command()        {}
func (Restore) command()       {}
func (RequestDone) command()   {}
func (RequestFailed) command() {}
func (FailJob) command()       {}
