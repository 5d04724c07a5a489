package pipeline

import (
	"context"

	"towpath.dev/towpath/internal/identity"
)

// PullOrder asks for the run of a pull request.
type PullOrder struct {
	Repo      string // "project/repo"
	Number    int64
	Title     string
	Source    string // "refs/heads/fix"
	Target    string // "refs/heads/main"
	Head      string // commit of Source
	Base      string // commit of Target that Merge was made on, its first parent; "" when it is not known
	Merge     string // commit of refs/pull/N/merge
	Requester string // user who opened or pushed
	Draft     bool
}

// StartPull starts the run of a pull request at its merge commit, for the system. The file
// of that commit decides: its `pr` says for which targets and paths; a file without `pr`
// means every pull request, as Azure Pipelines does for repositories of GitHub. Runs of
// the same pull request that still go on are cancelled unless autoCancel is false.
//
// It may be repeated: a merge commit of a pull request has one run, which is returned
// again. A zero Run says that nothing is to run: no file, no match, or a file that does
// not compile, which is an event (run.refused) about the head.
func (s *Service) StartPull(ctx context.Context, o PullOrder) (Run, error) {
	return s.startPull(ctx, o)
}

// Target is one place to which a pipeline deploys.
type Target struct {
	Environment string
	Stage, Job  string
	Line        int // of the step in File
	// Namespace is that of the step; "" takes the environment's.
	Namespace string
	// Release, ChartPath, ValueFiles and Set are those of HelmDeploy@1. Paths are from the
	// root of the repository.
	Release    string
	ChartPath  string
	ValueFiles []string
	Set        []string // "key=value", as written; macros that are known are expanded
	Reuse      bool     // the release starts from the values of the one before
	// Manifests are the patterns of KubernetesManifest@1.
	Manifests []string
	// Unknown are the keys of Set with macros that only a run knows.
	Unknown []string
	// Why says what of the step only a run knows, so that nothing can be rendered; "" when
	// it can.
	Why string
}

// Targets lists where the pipeline of a commit deploys to, in the order of the file. It
// needs the read role. A commit without a file has no targets; one whose file does not
// compile is fault.Invalid.
func (s *Service) Targets(ctx context.Context, a identity.Actor, repo, commit string) ([]Target, error) {
	return s.targets(ctx, a, repo, commit)
}
