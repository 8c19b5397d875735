package jobmanager

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bramble-stream/bramble/engine/graph"
	"github.com/bramble-stream/bramble/engine/job"
	"github.com/bramble-stream/bramble/engine/preview"
	"github.com/bramble-stream/bramble/engine/rest"
	"github.com/bramble-stream/bramble/engine/serve"
	"github.com/bramble-stream/bramble/engine/vec"
	pb "github.com/bramble-stream/bramble/proto/bramble/v1"
)

// Why a preview ended.
const (
	endFinished = "finished"
	endRows     = "maxRows"
	endTimeout  = "timeout"
)

// previewName is what previews are called among jobs.
const previewName = "preview"

// scriptError is the planner's error as a status that still has its positions.
type scriptError struct{ error }

func (e scriptError) Unwrap() error { return e.error }

// GRPCStatus has it be INVALID_ARGUMENT.
func (e scriptError) GRPCStatus() *status.Status { return status.New(codes.InvalidArgument, e.Error()) }

// failedPreview is the failure of a preview that ran.
type failedPreview struct {
	message      string
	line, column int
}

func (e *failedPreview) Error() string {
	if e.line > 0 {
		return fmt.Sprintf("%d:%d: %s", e.line, e.column, e.message)
	}
	return e.message
}

// Place is where in the script it failed, 0 when that is not known.
func (e *failedPreview) Place() (line, column int) { return e.line, e.column }

// GRPCStatus has it be ABORTED.
func (e *failedPreview) GRPCStatus() *status.Status { return status.New(codes.Aborted, e.Error()) }

// Preview implements pb.JobServiceServer.
func (s *jobService) Preview(req *pb.PreviewRequest, stream pb.JobService_PreviewServer) error {
	return s.preview(stream.Context(), req, stream.Send)
}

// previews are for the HTTP server.
type previews struct{ *jobService }

var _ rest.Previews = previews{}

// Preview implements rest.Previews.
func (p previews) Preview(ctx context.Context, req *pb.PreviewRequest, send func(*pb.PreviewResponse) error) error {
	return p.preview(ctx, req, send)
}

// preview runs a query until it ends, enough rows have come, time is up, or ctx ends.
func (s *jobService) preview(ctx context.Context, req *pb.PreviewRequest, send func(*pb.PreviewResponse) error) error {
	r, schema, err := s.planPreview(req)
	if err != nil {
		return err
	}
	session, err := s.jm.previews.Open(r.id)
	if err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	defer session.Close()
	columns := &pb.PreviewColumns{}
	for _, f := range schema.Fields {
		columns.Columns = append(columns.Columns, &pb.PreviewColumn{Name: f.Name, Type: f.Type.String()})
	}
	if err := send(&pb.PreviewResponse{Message: &pb.PreviewResponse_Columns{Columns: columns}}); err != nil {
		return err
	}
	err = s.do(ctx, func(c *cluster) error {
		if err := c.submit(r); err != nil {
			return status.Error(codes.ResourceExhausted, err.Error())
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer s.endPreview(ctx, r)
	return s.watchPreview(ctx, req, r, session, send)
}

// planPreview makes a job of the query, without checkpoints and without another attempt: its rows would come twice.
func (s *jobService) planPreview(req *pb.PreviewRequest) (*running, *vec.Schema, error) {
	if req.Script == nil || req.RowsMax < 0 || req.TimeoutMs < 0 {
		return nil, nil, status.Error(codes.InvalidArgument, "a preview needs a script, and limits of at least 0")
	}
	plan := PlanRequest{
		File: req.Script.Name, Script: req.Script.Text, Name: previewName, Config: req.Script.Config, Parallelism: int(req.Script.Parallelism), Preview: true,
	}
	var p *Planned
	err := serve.Guard(s.jm.cfg.Log, "the planner", func() (err error) {
		p, err = s.jm.cfg.Plan(plan)
		return err
	})
	if err != nil {
		return nil, nil, scriptError{err}
	}
	schema, err := collected(p.Graph)
	if err != nil {
		return nil, nil, status.Error(codes.InvalidArgument, err.Error())
	}
	var raw [16]byte
	if _, err := io.ReadFull(s.jm.cfg.Rand, raw[:]); err != nil {
		return nil, nil, status.Errorf(codes.Internal, "make a job ID: %v", err)
	}
	r, err := s.jm.newRunning(hex.EncodeToString(raw[:]), plan, p, nil)
	if err != nil {
		return nil, nil, status.Error(codes.InvalidArgument, err.Error())
	}
	parallelism := make([]int, len(p.Graph.Vertices))
	for i, v := range p.Graph.Vertices {
		parallelism[i] = v.Parallelism
	}
	r.preview, r.ckpt = true, nil
	r.machine = job.New(s.jm.now().UnixMilli(), parallelism, s.jm.cfg.Limits, job.Strategy{})
	return r, schema, nil
}

// collected is the schema of the only sink of a preview.
func collected(g *graph.JobGraph) (*vec.Schema, error) {
	var found *vec.Schema
	for _, v := range g.Vertices {
		for _, n := range v.Ops {
			if n.Kind != graph.KindSink {
				continue
			}
			var spec graph.SinkSpec
			if err := json.Unmarshal(n.Spec, &spec); err != nil {
				return nil, fmt.Errorf("operator %q: decode its spec: %w", n.Name, err)
			}
			if found != nil {
				return nil, errors.New("a preview shows one query, and the script has several")
			}
			found = spec.Table.Schema
		}
	}
	if found == nil {
		return nil, errors.New("the script has no query to preview")
	}
	return found, nil
}

// previewEnd is what a preview's job came to.
type previewEnd struct {
	waiting string
	ended   bool
	failure error
}

// watchPreview passes rows on until something ends it.
func (s *jobService) watchPreview(ctx context.Context, req *pb.PreviewRequest, r *running, session *preview.Session, send func(*pb.PreviewResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	states := make(chan previewEnd)
	var watch sync.WaitGroup
	watch.Go(func() { s.previewStates(ctx, r, states) })
	defer func() {
		cancel()
		watch.Wait()
	}()
	var timeout <-chan time.Time
	if req.TimeoutMs > 0 {
		timer := time.NewTimer(time.Duration(req.TimeoutMs) * time.Millisecond)
		defer timer.Stop()
		timeout = timer.C
	}
	var sent int64
	end := func(reason string) error {
		return send(&pb.PreviewResponse{Message: &pb.PreviewResponse_End{End: &pb.PreviewEnd{Reason: reason, Rows: sent}}})
	}
	waiting := ""
	for {
		select {
		case rows := <-session.Rows():
			n, err := firstRows(&rows, req.RowsMax-sent, req.RowsMax > 0)
			if err != nil {
				return status.Error(codes.Internal, err.Error())
			}
			sent += n
			m := &pb.PreviewRows{RowsJson: rows.JSON, Kinds: rows.Kinds}
			if err := send(&pb.PreviewResponse{Message: &pb.PreviewResponse_Rows{Rows: m}}); err != nil {
				return err
			}
			if req.RowsMax > 0 && sent >= req.RowsMax {
				return end(endRows)
			}
		case st := <-states:
			if st.failure != nil {
				return st.failure
			}
			if st.ended {
				return end(endFinished)
			}
			if st.waiting != waiting {
				waiting = st.waiting
				if err := send(&pb.PreviewResponse{Message: &pb.PreviewResponse_Waiting{Waiting: waiting}}); err != nil {
					return err
				}
			}
		case <-timeout:
			return end(endTimeout)
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-s.jm.stopped:
			return status.Error(codes.Unavailable, errStopped.Error())
		}
	}
}

// previewStates tells what becomes of the job until it or ctx has ended, or the jobmanager has. A job that has finished has delivered its rows: its tasks
// waited for that.
func (s *jobService) previewStates(ctx context.Context, r *running, states chan<- previewEnd) {
	wake := make(chan struct{}, 1)
	if err := s.do(ctx, func(*cluster) error { r.watchers[wake] = struct{}{}; return nil }); err != nil {
		return
	}
	for {
		var st previewEnd
		if err := s.do(ctx, func(*cluster) error { st = r.previewState(); return nil }); err != nil {
			return
		}
		select {
		case states <- st:
		case <-ctx.Done():
			return
		}
		if st.ended || st.failure != nil {
			return
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

func (r *running) previewState() previewEnd {
	if f := r.machine.Failures(); len(f) > 0 {
		return previewEnd{failure: failureOfPreview(f[0].Message, f[0].Line, f[0].Column)}
	}
	if state := r.machine.State(); state == job.Canceled {
		return previewEnd{failure: status.Error(codes.Aborted, "the preview was cancelled")}
	} else if state == job.Finished {
		return previewEnd{ended: true}
	}
	for _, h := range r.health {
		if h.Error != "" {
			return previewEnd{waiting: h.Component + ": " + h.Error}
		}
	}
	reason := r.summary().WaitingReason
	if !strings.HasPrefix(reason, "needs") { // it is being deployed: a moment
		reason = ""
	}
	return previewEnd{waiting: reason}
}

// placeOf finds the position that messages of expressions begin with.
var placeOf = regexp.MustCompile(`^(\d{1,6}):(\d{1,6}): `)

// failureOfPreview takes the position out of a message that has one: it is nearer than the operator's.
func failureOfPreview(message string, line, column int) *failedPreview {
	if m := placeOf.FindStringSubmatch(message); m != nil {
		message = message[len(m[0]):]
		line, _ = strconv.Atoi(m[1])
		column, _ = strconv.Atoi(m[2])
	}
	return &failedPreview{message, line, column}
}

// endPreview has the job end, if it has not, and be forgotten then.
func (s *jobService) endPreview(ctx context.Context, r *running) {
	s.jm.post(context.WithoutCancel(ctx), func(c *cluster) { //nolint:errcheck // fails only at the end
		if !r.machine.State().Ended() {
			c.apply(r, job.Cancel{})
		}
	})
}

// firstRows cuts rows to a number, if limited, and says how many there are then.
func firstRows(r *preview.Rows, most int64, limited bool) (int64, error) {
	var all []json.RawMessage
	if err := json.Unmarshal(r.JSON, &all); err != nil {
		return 0, fmt.Errorf("rows of a preview: %w", err)
	}
	if len(r.Kinds) != 0 && len(r.Kinds) != len(all) {
		return 0, fmt.Errorf("rows of a preview: %d kinds of %d rows", len(r.Kinds), len(all))
	}
	if !limited || int64(len(all)) <= most {
		return int64(len(all)), nil
	}
	data, err := json.Marshal(all[:most])
	if err != nil {
		return 0, fmt.Errorf("rows of a preview: %w", err)
	}
	r.JSON = data
	if len(r.Kinds) > 0 {
		r.Kinds = r.Kinds[:most]
	}
	return most, nil
}

// Collect implements pb.TaskManagerServiceServer.
func (s *sessions) Collect(stream pb.TaskManagerService_CollectServer) error {
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&pb.CollectResponse{})
		} else if err != nil {
			return err
		}
		err = s.jm.previews.Deliver(stream.Context(), msg.JobId, preview.Rows{JSON: msg.RowsJson, Kinds: msg.Kinds})
		if errors.Is(err, preview.ErrGone) {
			return status.Error(codes.NotFound, err.Error())
		} else if err != nil {
			return status.FromContextError(err).Err()
		}
	}
}

// Observe implements pb.JobServiceServer.
func (s *jobService) Observe(ctx context.Context, req *pb.ObserveRequest) (*pb.ObserveResponse, error) {
	var (
		d   any
		err error
	)
	if v := (views{s.jm}); req.JobId == "" {
		d, err = v.Cluster(ctx)
	} else {
		d, err = v.Job(ctx, req.JobId)
	}
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(d)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "encode a document: %v", err)
	}
	return &pb.ObserveResponse{DocumentJson: data}, nil
}
