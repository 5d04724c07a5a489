package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
)

// kindTell are the questions that people are still to hear of.
const kindTell = "pipeline.tell"

// Question is what ManualValidation@1 asks the people of notifyUsers to look at.
type Question struct {
	Project string   `json:"project"`
	Run     int64    `json:"run"`
	Entry   string   `json:"entry"` // what an answer names
	Title   string   `json:"title"`
	Text    string   `json:"text"`  // the instructions, no secret in them
	Asked   []string `json:"asked"` // "user:ada", "role:maintain"
}

// Herald tells people of a question. It may be asked again for the same one after a crash.
// fault.Invalid and fault.Denied mean that trying again is of no use.
type Herald interface {
	Ask(ctx context.Context, q Question) error
}

// tellLater has people told of the entry of a validation once it is written.
func (t *serverTurn) tellLater(e *check.Entry, told []string) error {
	if t.s.herald == nil || len(told) == 0 {
		return nil
	}
	hide := t.s.masker(t.row.id)
	return t.s.queue.Enqueue(t.ctx, t.tx, kindTell, e.Entry, Question{
		Project: t.run.Project, Run: t.run.Number, Entry: e.Entry, Title: string(hide.Bytes([]byte(e.Title))), Text: string(hide.Bytes([]byte(e.Approval.Instructions))), Asked: told,
	})
}

// onTell tells people of a question that nobody has answered yet.
func (s *Service) onTell(ctx context.Context, payload json.RawMessage) error {
	var q Question
	if err := json.Unmarshal(payload, &q); err != nil {
		return fmt.Errorf("reading a question: %w", err)
	}
	e, err := loadEntry(ctx, s.db, q.Entry)
	if err != nil || e == nil || e.Status.Over() {
		return err
	}
	err = s.herald.Ask(ctx, q)
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Denied) {
		s.logger.Warn("nobody could be told of a question", "run", q.Run, "asked", strings.Join(q.Asked, ", "), "error", err)
		return nil
	}
	return err
}
