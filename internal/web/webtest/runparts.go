package webtest

import (
	"context"
	"io"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Summary is the Markdown that a step of every run wrote for people.
const Summary = "## Coverage\n\n| package | lines |\n|---|---:|\n| cart | 88.1 % |\n| web <script>alert(1)</script> | 79.4 % |\n\n1. read the [report](https://example.com/report)\n2. not [this](javascript:alert(1))\n\n![x](https://example.com/x.png)\n"

// attempts is how often the job Build.cart of a run was begun: that which failed, twice.
func attempts(r pipeline.Run) int {
	if r.Result == plan.Failed {
		return 2
	}
	return 1
}

func attachments() []pipeline.Attachment {
	return []pipeline.Attachment{
		{ID: "01SUMMARY", Job: "Build.cart", Step: 3, Type: protocol.AttachmentSummary, Name: "coverage.md", Bytes: int64(len(Summary)), Digest: Digest},
		{ID: "01FILE", Job: "Build.cart", Step: 3, Type: protocol.AttachmentFile, Name: "<script>alert(1)</script>.txt", Bytes: 5, Digest: Digest},
	}
}

func coverage() []pipeline.Coverage {
	return []pipeline.Coverage{{Job: "Build.cart", File: "coverage.xml", Format: "Cobertura", Lines: 2000, LinesCovered: 1762, Branches: 400, BranchesCovered: 301, Digest: Digest}}
}

// OpenAttachment returns Summary, or a few bytes.
func (p Pipeline) OpenAttachment(ctx context.Context, a identity.Actor, n int64, id string) (pipeline.Attachment, io.ReadCloser, error) {
	if _, err := p.find(ctx, a, n, identity.Read); err != nil {
		return pipeline.Attachment{}, nil, err
	}
	for _, at := range attachments() {
		if at.ID == id {
			text := "bytes"
			if at.Type == protocol.AttachmentSummary {
				text = Summary
			}
			return at, io.NopCloser(strings.NewReader(text)), nil
		}
	}
	return pipeline.Attachment{}, nil, fault.New(fault.NotFound, "Run %d has no attachment %s.", n, id)
}

// Attempts is the first attempt of Build.cart in the run that failed: it ended in its first
// step.
func (p Pipeline) Attempts(ctx context.Context, a identity.Actor, n int64) ([]pipeline.Job, error) {
	r, err := p.find(ctx, a, n, identity.Read)
	if err != nil || attempts(r) == 1 {
		return nil, err
	}
	at := r.Started
	return []pipeline.Job{{
		Path: "Build.cart", Name: "cart", DisplayName: "cart", Attempt: 1, Status: plan.Completed, Result: plan.Failed, Why: "the agent was lost", Queued: at, Started: at, Finished: at.Add(3 * time.Second),
		Steps: []pipeline.Step{{Number: 1, DisplayName: "Checkout, the first time", Status: plan.Completed, Result: plan.Failed, Started: at, Finished: at.Add(2 * time.Second), Lines: 13}},
	}}, nil
}

// Given differs between the run that failed and the others.
func (p Pipeline) Given(ctx context.Context, a identity.Actor, n int64) (pipeline.Given, error) {
	r, err := p.find(ctx, a, n, identity.Read)
	g := pipeline.Given{Parameters: map[string]string{"region": "eu", "note": "<script>alert(1)</script>"}, Variables: map[string]string{"retries": "1"}}
	if r.Result == plan.Failed {
		g.Parameters = map[string]string{"region": "us", "note": "<script>alert(1)</script>"}
		g.Skip = []string{"Docs"}
	}
	return g, err
}

// StartStage and SkipStage need the write role and note what was asked for.
func (p Pipeline) StartStage(ctx context.Context, a identity.Actor, n int64, stage string) error {
	return p.note(ctx, a, n, "start "+stage)
}

// SkipStage is beside StartStage.
func (p Pipeline) SkipStage(ctx context.Context, a identity.Actor, n int64, stage string) error {
	return p.note(ctx, a, n, "skip "+stage)
}

func (p Pipeline) note(ctx context.Context, a identity.Actor, n int64, said string) error {
	if _, err := p.find(ctx, a, n, identity.Write); err != nil {
		return err
	}
	p.f.Lock()
	defer p.f.Unlock()
	p.f.Said = append(p.f.Said, said)
	return nil
}
