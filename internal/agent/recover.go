package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Why a job ended whose agent went away.
const (
	Lost    = "agent lost: it was killed while the job ran"
	Stopped = "agent lost: it was told to stop while the job ran"
)

// recoverJob brings the spool of one job to the server and ends the job as failed.
func (a *Agent) recoverJob(ctx context.Context, dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, ownerFile))
	var o owner
	if err != nil || json.Unmarshal(raw, &o) != nil {
		// The agent was killed before it wrote anything of worth.
		return os.RemoveAll(dir)
	}
	sp, err := newSpool(dir, a.client, &protocol.Job{ID: o.Job, Lease: o.Lease})
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return err
	}
	for _, n := range numbers(files) {
		st, err := sp.step(n)
		if err != nil {
			return err
		}
		if err := st.adopt(); err != nil {
			return err
		}
	}
	dctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go sp.deliver(dctx)
	err = sp.flush(ctx)
	if err == nil {
		err = retry(ctx, func() error {
			return a.client.call(ctx, "jobs/"+o.Job+"/complete", o.Lease, protocol.Complete{Result: plan.Failed, Why: Lost}, nil)
		})
	}
	if permanent(err) {
		err = nil
	}
	return errors.Join(err, sp.close(err != nil))
}

// numbers returns the step numbers of spool files in order.
func numbers(files []string) []int {
	var out []int
	for _, f := range files {
		if n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(f), ".log")); err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// adopt counts the whole lines that stand in the file.
func (st *stepSpool) adopt() error {
	br := bufio.NewReaderSize(st.file, 256<<10)
	var partial int64
	for {
		part, err := br.ReadSlice('\n')
		partial += int64(len(part))
		switch {
		case err == nil:
			st.lines++
			st.size += partial
			partial = 0
		case errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("reading the spool of step %d: %w", st.update.Number, err)
		}
	}
}
