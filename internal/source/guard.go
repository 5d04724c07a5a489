package source

import (
	"context"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/hook"
)

// Guard decides about a push before any ref moves, whatever door it came through: HTTP,
// SSH, a merge, an edit in the browser. Guards are asked in order and each sees the whole
// push; what they refuse is told to the pusher together. An error refuses the push too:
// a guard that cannot judge fails closed.
type Guard interface {
	// Check returns why the push is refused, nothing when it is not. It may read the
	// repository at Push.Dir with Push.Env and must not change it.
	Check(ctx context.Context, p Push) ([]Refusal, error)
}

// Doors through which refs move.
const (
	DoorHTTP  = "http"
	DoorSSH   = "ssh"
	DoorMerge = "merge" // of a pull request
	DoorEdit  = "edit"  // in the browser, or by the API
)

// Push is what a guard judges.
type Push struct {
	Repo    Repo
	Actor   identity.Actor
	Door    string
	Moves   []hook.Move // every ref of the push, before and after
	Options []string    // push options ("git push -o"), at most 16 of 256 bytes

	// Dir is the repository's folder, Env the variables with which git sees the objects
	// of the push (the quarantine); Objects is the quarantine's own folder, absolute, ""
	// when the push brings no objects. By the platform's own doors it holds all objects that
	// branches and tags gain, also those that lay in the repository without a ref.
	Dir     string
	Env     []string
	Objects string

	// Pull is the number of the pull request that is being merged, 0 for other doors. What
	// it may do is judged by the caller of Update, who holds its reviews and checks.
	Pull int64
}

// Refusal is one reason against a push.
type Refusal struct {
	event.Refusal
	// Text is what the pusher reads: what was found, where, and how to go on; several
	// lines, without a line break at its end. It never holds a secret.
	Text string
}
