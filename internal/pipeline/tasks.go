package pipeline

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// serveTask runs a task of a step here and answers with what it prints, line by line.
func (s *Service) serveTask(w http.ResponseWriter, r *http.Request) error {
	// First noted, then looked at: a job that ends now waits for the task.
	ctx, done := s.busy.begin(r.Context(), r.PathValue("id"))
	defer done()
	row, err := s.job(r)
	if err != nil {
		return err
	}
	if s.tasks == nil {
		return fault.New(fault.Unavailable, "This server runs no tasks.")
	}
	body := bufio.NewReaderSize(http.MaxBytesReader(w, r.Body, protocol.MaxContext), 256<<10)
	in, err := taskRequest(body)
	if err != nil {
		return err
	}
	run, err := s.loadRun(ctx, s.db, row.run)
	if err != nil {
		return err
	}
	job, err := s.spec(ctx, row.id)
	if err != nil {
		return err
	}
	// An answer may begin only when the whole request has been read.
	files, err := s.receive(body)
	if err != nil {
		return err
	}
	defer func() {
		if err := errors.Join(files.Close(), os.Remove(files.Name())); err != nil {
			s.logger.Warn("removing the files of a task", "error", err)
		}
	}()
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	if err := rc.Flush(); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	// An agent that is gone ends the request's context and with it the task.
	say := func(reply protocol.TaskReply) {
		_ = enc.Encode(reply)
		_ = rc.Flush()
	}
	c := claims(run, row)
	outputs, err := s.tasks.Run(ctx, TaskCall{
		Job: c, Strategy: round(job, in.Step), Task: r.PathValue("task"), Inputs: in.Inputs, Context: files, Folder: s.jobFolder(row.id),
		Token: func(ctx context.Context, audience string) (string, error) {
			return s.jobToken(ctx, row.id, job, c, audience)
		},
		RunName: run.Name, Save: func(name string, data []byte) { say(protocol.TaskReply{File: name, Data: data}) },
		Connection: func(ctx context.Context, name string) (library.Lent, error) {
			return s.taskConnection(ctx, run, row, name)
		},
	}, func(line string) { say(protocol.TaskReply{Line: line}) })
	reply := protocol.TaskReply{Done: true, Outputs: outputs}
	if err != nil {
		message, next := fault.Public(err)
		if next != "" {
			message += " (" + next + ")"
		}
		reply.Error = message
		s.logger.Warn("a task failed", "task", r.PathValue("task"), "run", row.run, "job", row.path(), "error", err)
	}
	say(reply)
	return nil
}

// spec reads what the agent was told about a job.
func (s *Service) spec(ctx context.Context, id string) (*protocol.Job, error) {
	var raw string
	if err := s.db.QueryRow(ctx, `SELECT spec FROM pipeline_job WHERE id = ?`, id).Scan(&raw); err != nil {
		return nil, fmt.Errorf("reading job %s: %w", id, err)
	}
	var job protocol.Job
	if err := json.Unmarshal([]byte(raw), &job); err != nil {
		return nil, fmt.Errorf("reading job %s: %w", id, err)
	}
	return &job, nil
}

// taskDir holds the files of running tasks; what a killed server left there is removed
// at the next start.
func (s *Service) taskDir() string { return filepath.Join(s.opts.Data, "run", "tasks") }

// receive keeps the tar of a task in a file until the task has ended.
func (s *Service) receive(body io.Reader) (*os.File, error) {
	dir := s.taskDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making room for the files of a task: %w", err)
	}
	f, err := os.CreateTemp(dir, "context-")
	if err != nil {
		return nil, fmt.Errorf("making room for the files of a task: %w", err)
	}
	_, err = io.Copy(f, body)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		return f, nil
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		err = fault.New(fault.TooLarge, "The files of the task are larger than %d MiB.", int64(protocol.MaxContext)>>20).
			WithNext("leave out what the build does not need with a .dockerignore")
	} else {
		err = fmt.Errorf("receiving the files of a task: %w", err)
	}
	return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// jobToken issues a token for a task and hides it in the logs of the job.
func (s *Service) jobToken(ctx context.Context, id string, job *protocol.Job, c identity.JobClaims, audience string) (string, error) {
	token, err := s.token(ctx, job, c, audience)
	if err == nil {
		s.masker(id).Add(token)
	}
	return token, err
}

// taskRequest reads the first line of a task request.
func taskRequest(body *bufio.Reader) (protocol.TaskRequest, error) {
	var in protocol.TaskRequest
	var line []byte
	for {
		part, err := body.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > protocol.MaxJSON {
			return in, fault.Wrap(fault.Invalid, errors.Join(err, io.ErrUnexpectedEOF), "The request does not begin with the inputs of the task.")
		}
	}
	if err := json.Unmarshal(line, &in); err != nil {
		return in, fault.Wrap(fault.Invalid, err, "The request does not begin with the inputs of the task.")
	}
	return in, nil
}
