package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// NeedsServer reports whether a task ("Docker@2") does its work on a server: it has images,
// clusters and caches that no agent has by itself.
func NeedsServer(task string) bool {
	switch strings.ToLower(task) {
	case "docker@2", "helmdeploy@0", "helmdeploy@1", "kubernetes@1", "kubernetesmanifest@1", "reviewapp@0", "cache@2":
		return true
	}
	return false
}

// remote has the server run the task of the step: inputs are what the step says with
// the given ones over it, files what goes with it as a tar. Output variables become
// those of the step.
func (s *stepRun) remote(ctx context.Context, inputs map[string]string, files []entry) error {
	all := map[string]string{}
	for k, v := range s.step.Inputs {
		all[k] = s.expand(v)
	}
	maps.Copy(all, inputs)
	head, err := json.Marshal(protocol.TaskRequest{Inputs: all, Step: s.step.Number})
	if err != nil {
		return err
	}
	body, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		_, err := writer.Write(append(head, '\n'))
		if err == nil {
			err = s.space.pack(writer, files)
		}
		packed <- err
		_ = writer.CloseWithError(err)
	}()
	res, err := s.agent.client.send(ctx, http.MethodPost, "jobs/"+s.job.ID+"/tasks/"+url.PathEscape(s.step.Task), s.job.Lease, body, nil)
	if err == nil {
		// The server may answer while it still reads.
		err = s.follow(res.Body)
		drain(res.Body)
	}
	_ = body.CloseWithError(io.ErrClosedPipe)
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		return perr
	}
	return err
}

// follow prints what a task prints until it ends.
func (s *stepRun) follow(body io.Reader) error {
	dec := json.NewDecoder(bufio.NewReaderSize(body, 64<<10))
	for {
		var r protocol.TaskReply
		if err := dec.Decode(&r); err != nil {
			return fmt.Errorf("the server stopped answering in the middle of the task: %w", err)
		}
		if r.File != "" {
			keep := s.keep
			if s.take != nil {
				keep = s.take
			}
			if err := keep(r.File, r.Data); err != nil {
				return err
			}
			continue
		}
		if !r.Done {
			s.print(r.Line)
			s.note([]byte(r.Line))
			if r.Line == "" {
				s.lines([][]byte{nil})
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
			s.setOutput(s.outputName(), name, plan.Value{Text: r.Outputs[name]})
			if plainOutputs[name] {
				s.vars.Set(plan.Value{Name: name, Text: r.Outputs[name]})
			}
		}
		if r.Error != "" {
			return errors.New(r.Error)
		}
		return nil
	}
}

// plainOutputs are outputs that later steps of the job find without the step's name too.
var plainOutputs = map[string]bool{"helmExitCode": true, "helmOutput": true, "KubectlOutput": true}

// keep puts a file that a task made into the folder for temporary files.
func (s *stepRun) keep(name string, data []byte) error {
	if name != path.Base(name) || name == "." || name == ".." || name == "/" {
		return fmt.Errorf("the server calls a file %q, which is no name", name)
	}
	at := path.Join(dirTemp, fmt.Sprintf("task-%d", s.step.Number), name)
	if err := s.space.root.RemoveAll(path.Dir(at)); err != nil {
		return fmt.Errorf("making room for %s: %w", name, err)
	}
	if err := errors.Join(s.space.mkdirAll(path.Dir(at)), s.space.write(at, data, 0o644)); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	s.made = at
	return nil
}
